#!/usr/bin/python3
"""Reads the simulated library with an independent reader, Debian's pynvml, and compares with what the scenario says.

    judges.py LIBRARY_FOLDER SCENARIO [PYNVML_FOLDER]

LIBRARY_FOLDER holds libnvidia-ml.so.1; SCENARIO is h100x8.toml. pynvml is looked for in PYNVML_FOLDER (see
fetch-judges.sh), then where Python finds it. Exit status 77: it is not there. The expected numbers are written down here
once more, from the captures that the scenario was made of, so that a slip in either shows.
"""

import os
import subprocess
import sys
import time

SKIPPED = 77
MIB = 1 << 20


def restart_with_library(folder, scenario):
    """The loader looks at LD_LIBRARY_PATH once, at start."""
    environment = dict(os.environ)
    environment["LD_LIBRARY_PATH"] = folder
    environment["ACCELMON_SCENARIO"] = scenario
    environment["ACCELMON_SIM_EPOCH_NS"] = str(time.clock_gettime_ns(time.CLOCK_MONOTONIC) - 100 * 10**9)
    environment["ACCELMON_JUDGE"] = "1"
    return subprocess.run([sys.executable, *sys.argv], env=environment, timeout=60, check=False).returncode


FAILED = []


def check(what, got, want):
    good = want(got) if callable(want) else got == want
    if not good:
        FAILED.append(what)
        print(f"judges: {what}: got {got!r}" + ("" if callable(want) else f", want {want!r}"))


def field(nvml, device, number, scope=0):
    value = nvml.c_nvmlFieldValue_t()
    value.fieldId = number
    value.scopeId = scope
    array = (nvml.c_nvmlFieldValue_t * 1)(value)
    function = nvml._nvmlGetFunctionPointer("nvmlDeviceGetFieldValues")
    nvml._nvmlCheckReturn(function(device, 1, array))
    nvml._nvmlCheckReturn(array[0].nvmlReturn)
    return array[0]


def judge(nvml):
    text = lambda value: value.decode() if isinstance(value, bytes) else value
    nvml.nvmlInit()
    check("driver", text(nvml.nvmlSystemGetDriverVersion()), "590.48.01")
    check("CUDA", nvml.nvmlSystemGetCudaDriverVersion(), 13010)
    check("count", nvml.nvmlDeviceGetCount(), 8)
    buses = ["1B", "43", "52", "61", "9D", "C3", "D1", "DF"]
    uuids, serials = set(), set()
    for index, bus in enumerate(buses):
        device = nvml.nvmlDeviceGetHandleByIndex(index)
        at = f"device {index}: "
        check(at + "name", text(nvml.nvmlDeviceGetName(device)), "NVIDIA H100 80GB HBM3")
        uuid = text(nvml.nvmlDeviceGetUUID(device))
        uuids.add(uuid)
        serials.add(text(nvml.nvmlDeviceGetSerial(device)))
        check(at + "uuid", uuid, lambda u: u.startswith("GPU-") and len(u) == 40)
        again = nvml.nvmlDeviceGetHandleByUUID(uuid.encode())
        check(at + "handle by uuid", nvml.nvmlDeviceGetIndex(again), index)
        pci = nvml.nvmlDeviceGetPciInfo(device)
        check(at + "bus id", text(pci.busId), f"00000000:{bus}:00.0")
        check(at + "PCI device", pci.pciDeviceId, 0x233010DE)
        check(at + "capability", nvml.nvmlDeviceGetCudaComputeCapability(device), (9, 0))
        check(at + "architecture", nvml.nvmlDeviceGetArchitecture(device), 9)
        check(at + "MIG", list(nvml.nvmlDeviceGetMigMode(device)), [0, 0])

        processes = nvml.nvmlDeviceGetComputeRunningProcesses(device)
        held = sum(process.usedGpuMemory for process in processes)
        check(at + "processes", len(processes), 2 if index == 7 else 1)
        old = nvml.nvmlDeviceGetMemoryInfo(device)
        new = nvml.nvmlDeviceGetMemoryInfo(device, version=nvml.nvmlMemory_v2)
        check(at + "memory", old.total, 81559 * MIB)
        check(at + "memory, sum", old.used + old.free, old.total)
        check(at + "reserved", new.reserved, 479 * MIB)
        check(at + "memory v2, sum", new.used + new.reserved + new.free, new.total)
        # What the processes hold, and 20 MiB beside; some of it moves between the calls.
        check(at + "used", abs(new.used - held - 20 * MIB), lambda off: off <= MIB)

        rates = nvml.nvmlDeviceGetUtilizationRates(device)
        check(at + "utilization", rates.gpu, lambda percent: 0 <= percent <= 100)
        check(at + "power", nvml.nvmlDeviceGetPowerUsage(device), lambda mw: 69000 <= mw <= 720000)
        check(at + "limit", nvml.nvmlDeviceGetPowerManagementLimit(device), 700000)
        check(at + "limits", list(nvml.nvmlDeviceGetPowerManagementLimitConstraints(device)), [200000, 700000])
        check(at + "temperature", nvml.nvmlDeviceGetTemperature(device, 0), lambda c: 40 <= c <= 90)
        check(at + "highest clock", nvml.nvmlDeviceGetMaxClockInfo(device, 0), 1980)
        check(at + "ECC", list(nvml.nvmlDeviceGetEccMode(device)), [1, 1])
        check(at + "links", field(nvml, device, 91).value.uiVal, 18)
        energy = field(nvml, device, 83)
        check(at + "energy", energy.value.ullVal, nvml.nvmlDeviceGetTotalEnergyConsumption(device).__ge__)
        check(at + "cost of a field", energy.latencyUsec, lambda us: us >= 1)
        try:
            nvml.nvmlDeviceGetFanSpeed(device)
            check(at + "fan", "answered", "not supported")
        except nvml.NVMLError_NotSupported:
            pass

    check("uuids", len(uuids), 8)
    check("serials", len(serials), 8)
    # The one that is idle with memory held stands still, so its numbers are exact.
    idle = nvml.nvmlDeviceGetHandleByIndex(6)
    rates = nvml.nvmlDeviceGetUtilizationRates(idle)
    check("idle: utilization", [rates.gpu, rates.memory], [0, 0])
    check("idle: power", nvml.nvmlDeviceGetPowerUsage(idle), 69800)
    check("idle: field 186", field(nvml, idle, 186).value.uiVal, 69800)
    check("idle: field 185, memory", field(nvml, idle, 185, scope=2).value.uiVal, 43000)
    check("idle: temperature", nvml.nvmlDeviceGetTemperature(idle, 0), 41)
    check("idle: memory temperature", field(nvml, idle, 82).value.uiVal, 48)
    check("idle: clock", nvml.nvmlDeviceGetClockInfo(idle, 0), 345)
    check("idle: reasons", nvml.nvmlDeviceGetCurrentClocksThrottleReasons(idle), 1)
    process = nvml.nvmlDeviceGetComputeRunningProcesses(idle)[0]
    check("idle: process", [process.pid, process.usedGpuMemory], [60112, 30210 * MIB])
    check("idle: used", nvml.nvmlDeviceGetMemoryInfo(idle).used, (30210 + 20 + 479) * MIB)
    nvml.nvmlShutdown()


def main():
    if len(sys.argv) not in (3, 4):
        print(__doc__, file=sys.stderr)
        return 2
    if len(sys.argv) == 4:
        sys.path.insert(0, sys.argv[3])
    try:
        import pynvml
    except ImportError:
        print("judges: skipped: there is no pynvml; simulator/fetch-judges.sh fetches it", file=sys.stderr)
        return SKIPPED
    if "ACCELMON_JUDGE" not in os.environ:
        return restart_with_library(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]))
    judge(pynvml)
    print("judges: pynvml " + ("disagrees" if FAILED else "agrees"))
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
