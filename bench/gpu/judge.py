#!/usr/bin/env python3
"""Compares the agent's page with what NVIDIA's own Python binding (pynvml) reads of the same boards.

usage: judge.py URL        for example http://127.0.0.1:19400/metrics

Both read the same driver, through different layouts: a field that we declare wrongly shows up here. Values that stand
still must be equal; those that move may differ by what a second can bring. Prints Markdown; exit code 1 on a
difference.
"""
import sys
import urllib.request

import pynvml
from prometheus_client.parser import text_string_to_metric_families


def page(url):
    text = urllib.request.urlopen(url, timeout=10).read().decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {k: v for k, v in sample.labels.items() if k not in ("hw_type", "gpu", "hw_vendor")}
            found.setdefault((sample.name, labels.pop("hw_id", "")), []).append((labels, sample.value))
    return found


def field(handle, number, scope=0):
    value = pynvml.nvmlDeviceGetFieldValues(handle, [(number, scope)])[0]
    if value.nvmlReturn != 0:
        raise pynvml.NVMLError(value.nvmlReturn)
    arm = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal", 6: "usVal"}[value.valueType]
    return getattr(value.value, arm)


# Name, labels that tell the series from its siblings, how pynvml reads it (in the page's unit), tolerance as a share of
# the value and absolute.
def checks(h):
    n = pynvml
    memory = lambda: n.nvmlDeviceGetMemoryInfo(h, version=n.nvmlMemory_v2)
    clocks = {"graphics": 0, "sm": 1, "memory": 2, "video": 3}
    for task, read in (("general", lambda: n.nvmlDeviceGetUtilizationRates(h).gpu),
                       ("encoder", lambda: n.nvmlDeviceGetEncoderUtilization(h)[0]),
                       ("decoder", lambda: n.nvmlDeviceGetDecoderUtilization(h)[0])):
        yield "hw_gpu_utilization_ratio", {"hw_gpu_task": task}, lambda r=read: r() / 100, 0, 0.1
    yield "accelmon_gpu_memory_controller_utilization_ratio", {}, lambda: n.nvmlDeviceGetUtilizationRates(h).memory / 100, 0, 0.1
    yield "hw_gpu_memory_limit_bytes", {}, lambda: memory().total, 0, 0
    yield "hw_gpu_memory_usage_bytes", {}, lambda: memory().used, 0, 0
    yield "accelmon_gpu_memory_free_bytes", {}, lambda: memory().free, 0, 0
    yield "accelmon_gpu_memory_reserved_bytes", {}, lambda: memory().reserved, 0, 0
    yield "accelmon_gpu_memory_bar_usage_bytes", {}, lambda: n.nvmlDeviceGetBAR1MemoryInfo(h).bar1Used, 0, 0
    yield "accelmon_gpu_memory_bar_limit_bytes", {}, lambda: n.nvmlDeviceGetBAR1MemoryInfo(h).bar1Total, 0, 0
    yield "hw_temperature_celsius", {"hw_sensor_location": "gpu"}, lambda: n.nvmlDeviceGetTemperature(h, 0), 0, 3
    yield "hw_temperature_celsius", {"hw_sensor_location": "memory"}, lambda: field(h, 82), 0, 3
    yield "accelmon_temperature_margin_celsius", {}, lambda: n.nvmlDeviceGetMarginTemperature(h), 0, 3
    for reading, number in (("average", 185), ("instant", 186)):
        for scope, which in (("gpu", 0), ("module", 1), ("memory", 2)):
            yield ("hw_power_watts", {"accelmon_power_scope": scope, "accelmon_power_reading": reading},
                   lambda f=number, s=which: field(h, f, s) / 1000, 0.15, 15)
    yield "accelmon_power_limit_watts", {"limit": "enforced"}, lambda: n.nvmlDeviceGetEnforcedPowerLimit(h) / 1000, 0, 0
    yield "accelmon_power_limit_watts", {"limit": "default"}, lambda: n.nvmlDeviceGetPowerManagementDefaultLimit(h) / 1000, 0, 0
    for i, which in ((0, "minimum"), (1, "maximum")):
        yield ("accelmon_power_limit_watts", {"limit": which},
               lambda i=i: n.nvmlDeviceGetPowerManagementLimitConstraints(h)[i] / 1000, 0, 0)
    yield "hw_energy_joules_total", {}, lambda: n.nvmlDeviceGetTotalEnergyConsumption(h) / 1000, 0, 2500
    for domain, which in clocks.items():
        yield "accelmon_gpu_clock_frequency_hertz", {"domain": domain}, lambda w=which: n.nvmlDeviceGetClockInfo(h, w) * 1e6, 0.1, 0
        yield "accelmon_gpu_clock_limit_hertz", {"domain": domain}, lambda w=which: n.nvmlDeviceGetMaxClockInfo(h, w) * 1e6, 0, 0
    yield "accelmon_gpu_performance_state", {}, lambda: n.nvmlDeviceGetPerformanceState(h), 0, 0
    reasons = {"idle": 1, "application_clocks": 2, "power_cap": 4, "hardware_slowdown": 8, "sync_boost": 0x10,
               "thermal_software": 0x20, "thermal_hardware": 0x40, "power_brake": 0x80, "display": 0x100}
    for reason, bit in reasons.items():
        yield ("accelmon_gpu_throttle_active", {"reason": reason},
               lambda b=bit: int(n.nvmlDeviceGetCurrentClocksEventReasons(h) & b != 0), 0, 0)
    for reason, number in (("power_cap", 74), ("sync_boost", 76), ("current", 77), ("reliability", 79)):
        yield "accelmon_gpu_throttle_time_seconds_total", {"reason": reason}, lambda f=number: field(h, f) / 1e9, 0, 2.5
    for which, read in (("current", n.nvmlDeviceGetCurrPcieLinkGeneration), ("maximum", n.nvmlDeviceGetMaxPcieLinkGeneration)):
        yield "accelmon_gpu_pcie_generation", {"which": which}, lambda r=read: r(h), 0, 0
    for which, read in (("current", n.nvmlDeviceGetCurrPcieLinkWidth), ("maximum", n.nvmlDeviceGetMaxPcieLinkWidth)):
        yield "accelmon_gpu_pcie_width", {"which": which}, lambda r=read: r(h), 0, 0
    yield "accelmon_gpu_pcie_replays_total", {}, lambda: n.nvmlDeviceGetPcieReplayCounter(h), 0, 0
    for i, which in ((0, "current"), (1, "pending")):
        yield "accelmon_gpu_ecc_enabled", {"which": which}, lambda i=i: n.nvmlDeviceGetEccMode(h)[i], 0, 0
        yield "accelmon_gpu_mig_enabled", {"which": which}, lambda i=i: n.nvmlDeviceGetMigMode(h)[i], 0, 0
    for i, state in enumerate(("remapped_corrected", "remapped_uncorrected", "pending", "failed")):
        yield "accelmon_gpu_memory_rows", {"state": state}, lambda i=i: n.nvmlDeviceGetRemappedRows(h)[i], 0, 0
    for kind, error in (("corrected", 0), ("uncorrected", 1)):
        for block, location in (("dram", 2), ("sram", 7)):
            for name, counter in (("hw_errors_total", 0), ("accelmon_gpu_errors_lifetime_total", 1)):
                yield (name, {"error_type": kind, "accelmon_error_block": block},
                       lambda e=error, c=counter, l=location: n.nvmlDeviceGetMemoryErrorCounter(h, e, c, l), 0, 0)


def main():
    pynvml.nvmlInit()
    found = page(sys.argv[1])
    equal = different = 0
    print("| series | page | pynvml | |\n|---|---|---|---|")
    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        uuid = pynvml.nvmlDeviceGetUUID(handle)
        for name, labels, read, share, absolute in checks(handle):
            try:
                theirs = float(read())
            except pynvml.NVMLError as error:
                theirs = str(error)
            except (AttributeError, TypeError) as error:
                theirs = f"not in this pynvml: {error}"
            ours = [value for have, value in found.get((name, uuid), []) if labels.items() <= have.items()]
            text = f"{name} {' '.join(labels.values())}"
            if isinstance(theirs, str):
                good = not ours or theirs.startswith("not in")
            else:
                good = len(ours) == 1 and abs(ours[0] - theirs) <= absolute + share * abs(theirs)
            equal += good
            different += not good
            print(f"| {text} | {ours} | {theirs} | {'' if good else 'DIFFERS'} |")
    print(f"\n{equal} agree, {different} differ")
    return different != 0


if __name__ == "__main__":
    sys.exit(main())
