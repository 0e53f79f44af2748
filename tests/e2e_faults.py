#!/usr/bin/env python3
"""Drivers that hang, crash, lie, or go away: what the agent serves meanwhile, and that it comes back.

The collector under test is the real one; the library that it loads is the simulator, whose scenario file is rewritten
while it runs.
"""
import os
import pathlib
import tempfile
import time
import unittest

from agent_fixture import Agent, Scenario, is_alive, main, wait_for

UTILIZATION = "hw_gpu_utilization_ratio"


class KernelLog(unittest.TestCase):
    def test_a_record_wakes_its_collector(self):
        """It is polled every ten seconds, and yet shows an Xid at once."""
        with tempfile.TemporaryDirectory(prefix="accelmon-test-") as folder:
            pipe = pathlib.Path(folder) / "kmsg"
            os.mkfifo(pipe)
            log = os.open(pipe, os.O_RDWR)
            self.addCleanup(os.close, log)
            with Agent(simulate="t4", config=f'[collectors.kernel_log]\npath = "{pipe}"\n') as agent:
                wait_for("its first frame", lambda: agent.collector("kernel_log")["frames"] >= 1)
                self.assertLessEqual(agent.collector("kernel_log")["frames"], 2)
                for code in (31, 79):
                    os.write(log, f"4,{code},{time.monotonic_ns() // 1000},-;NVRM: Xid (PCI:0000:18:00): {code}, "
                                  "pid=1, name=python3, a test\n".encode())
                    wait_for(f"Xid {code}", lambda code=code: [
                        value for value in agent.page().values("accelmon_gpu_events_total", code=f"xid:{code}")], 5)
                self.assertLessEqual(agent.collector("kernel_log")["frames"], 8, "it is woken, not polled")


class Faults(unittest.TestCase):
    def start(self, scenario="t4", poll="100ms", config=""):
        self.base = (Scenario.BASE / f"{scenario}.toml").read_text()
        self.scenario = Scenario(self.base)
        self.addCleanup(self.scenario.folder.cleanup)
        self.agent = Agent(simulate=self.scenario, poll=poll, config=config)
        self.addCleanup(self.agent.end)
        wait_for("the devices", lambda: self.agent.page().values(UTILIZATION))
        return self.agent

    def fault(self, text):
        self.scenario.write(f"{self.base}\n[[fault]]\n{text}\n")

    def heal(self):
        self.scenario.write(self.base)

    def comes_back(self):
        self.heal()
        wait_for("the series to come back", lambda: self.agent.page().values(UTILIZATION))
        wait_for("the collector to run", lambda: self.agent.collector("nvml")["state"] == "running")

    def host_goes_on(self):
        frames = self.agent.collector("host")["frames"]
        uptime = self.agent.page().value("system_uptime_seconds")
        wait_for("more frames of the host", lambda: self.agent.collector("host")["frames"] >= frames + 3)
        self.assertGreater(self.agent.page().value("system_uptime_seconds"), uptime)
        self.assertEqual(self.agent.page().value("accelmon_collector_up", collector="host"), 1)

    def nvml_goes_dark(self):
        wait_for("its series to go", lambda: not self.agent.page().values(UTILIZATION))
        page = self.agent.page()
        # What the PCI bus still shows is there, as a device that nobody reads.
        shown_by_the_bus = ("hw_status", "accelmon_device_unread", "accelmon_device_info")
        self.assertEqual([labels for name, labels, _ in page.samples
                          if "gpu" in labels and name not in shown_by_the_bus], [],
                         "series of a silent collector stay on the page")
        self.assertEqual(page.value("accelmon_collector_up", collector="nvml"), 0)
        self.every_board_has_a_status()

    # An alert on hw_status must be able to see the commonest failure of all. For thirty intervals after it was well a
    # board is degraded, then failed.
    def every_board_has_a_status(self):
        def boards(state):
            return sorted(labels["gpu"] for name, labels, value in self.agent.page().samples
                          if name == "hw_status" and labels["hw_state"] == state and value == 1)
        known = sorted(labels["gpu"] for name, labels, _ in self.agent.page().samples if name == "accelmon_device_info"
                       and labels["hw_type"] == "gpu")
        self.assertTrue(known)
        wait_for("a status for each board", lambda: sorted(boards("degraded") + boards("failed")) == known)
        wait_for("each board to have failed", lambda: boards("failed") == known)

    def test_hanging_call(self):
        agent = self.start()
        self.fault('kind = "hang"\ncall = "nvmlDeviceGetUtilizationRates"')
        self.nvml_goes_dark()
        # It is answered at once: far below the interval of any scraper, let alone the time of the hang.
        self.assertEqual(agent.get("/metrics", seconds=5).status, 200)
        self.host_goes_on()
        call = wait_for("the call to be named", lambda: agent.collector("nvml")["current_call"])
        self.assertEqual(call["name"], "nvmlDeviceGetUtilizationRates")
        self.assertEqual(agent.collector("nvml")["state"], "silent")
        self.assertIn("nvmlDeviceGetUtilizationRates", agent.collector("nvml")["message"])
        self.assertGreater(agent.page().value("accelmon_collector_age_seconds", collector="nvml"), 0.3)
        self.comes_back()

    def test_call_that_hangs_for_ever_is_killed(self):
        agent = self.start(config='hang = "1s"\n')  # of [poll], which the fixture wrote last
        victim = agent.collectors()["nvml"]
        self.fault('kind = "hang"\ncall = "nvmlDeviceGetUtilizationRates"')
        wait_for("the process to be killed", lambda: not is_alive(victim))
        self.host_goes_on()
        self.comes_back()
        self.assertGreaterEqual(agent.collector("nvml")["restarts"], 1)

    def test_slow_call_is_timed(self):
        agent = self.start()
        self.fault('kind = "slow"\ncall = "nvmlDeviceGetPowerUsage"\nmilliseconds = 30')
        self.fault('kind = "slow"\ncall = "*"\nmilliseconds = 5')
        wait_for("the poll to take longer", lambda: agent.page().value(
            "accelmon_collector_duration_seconds", collector="nvml") > 0.02)
        self.host_goes_on()
        self.assertTrue(any(call["longest_seconds"] >= 0.005 for call in agent.collector("nvml")["calls"]))
        self.comes_back()

    def test_crash(self):
        agent = self.start()
        victim = agent.collectors()["nvml"]
        self.fault('kind = "crash"\ncall = "nvmlDeviceGetUtilizationRates"')
        wait_for("the process to end", lambda: not is_alive(victim))
        self.nvml_goes_dark()
        self.host_goes_on()
        self.assertIn("SIGABRT", wait_for("the reason", lambda: agent.collector("nvml")["message"]
                                          if "SIG" in agent.collector("nvml")["message"] else None))
        self.comes_back()
        self.assertGreaterEqual(agent.page().value("accelmon_collector_restarts_total", collector="nvml"), 1)

    def test_device_lost(self):
        agent = self.start("h100x8")
        self.fault('kind = "lost"\ndevice = 3')
        wait_for("device 3 to go", lambda: not agent.page().values(UTILIZATION, gpu="3"))
        page = agent.page()
        for gpu in "0124567":
            self.assertTrue(page.values(UTILIZATION, gpu=gpu), f"device {gpu} went too")
        wait_for("it to be named", lambda: self.status_of("3").get("state") in ("lost", "failed"))
        self.comes_back()
        wait_for("device 3 to come back", lambda: agent.page().values(UTILIZATION, gpu="3"))

    def status_of(self, index):
        """What the page says of a device that cannot be read: hw.status, by its state."""
        page = self.agent.page()
        for name, labels, value in page.samples:
            if name == "hw_status" and labels.get("gpu") == index and value == 1 and labels["hw_state"] != "ok":
                return {"state": labels["hw_state"]}
        return {}

    def test_driver_unloaded(self):
        agent = self.start()
        self.fault('kind = "driver_unloaded"')
        self.nvml_goes_dark()
        self.host_goes_on()
        wait_for("the reason", lambda: "driver" in agent.collector("nvml")["message"])
        self.comes_back()

    def test_garbage_is_counted_and_not_served(self):
        agent = self.start()
        self.fault('kind = "garbage"\ncall = "*"')
        wait_for("it to be noticed", lambda: sum(
            agent.page().values("accelmon_collector_implausible_total", collector="nvml")) > 0)
        for _ in range(20):
            for name, labels, value in agent.page().samples:
                if "gpu" not in labels:
                    continue
                if name.endswith("_ratio") and "fan" not in name:
                    self.assertTrue(0 <= value <= 1, (name, labels, value))
                elif name == "hw_temperature_celsius":
                    self.assertTrue(-40 <= value <= 150, (name, labels, value))
                elif name == "hw_power_watts":
                    self.assertTrue(0 <= value <= 5000, (name, labels, value))
                elif name.startswith("hw_gpu_memory") and name.endswith("_bytes"):
                    self.assertTrue(0 <= value <= 8e12, (name, labels, value))
        implausible = agent.collector("nvml")["implausible"]
        self.assertTrue(implausible and all(entry["count"] > 0 for entry in implausible))
        self.comes_back()

    def test_counters_that_run_backwards(self):
        agent = self.start("h100x8")
        before = agent.page().value("hw_energy_joules_total", gpu="0")
        self.fault('kind = "backwards"\ncall = "nvmlDeviceGetTotalEnergyConsumption"')
        last = before
        for _ in range(20):
            values = agent.page().values("hw_energy_joules_total", gpu="0")
            if values:
                self.assertGreaterEqual(values[0], last, "a counter fell")
                last = values[0]
        self.comes_back()

    def test_error_of_one_call_costs_its_series_alone(self):
        agent = self.start()
        self.fault('kind = "error"\ncall = "nvmlDeviceGetUtilizationRates"\ncode = "UNKNOWN"')
        wait_for("utilization to go", lambda: not agent.page().values(UTILIZATION, hw_gpu_task="general"))
        self.assertTrue(agent.page().values("hw_gpu_memory_usage_bytes"))
        self.assertEqual(agent.page().value("accelmon_collector_up", collector="nvml"), 1)
        wait_for("the error to be counted", lambda: sum(
            agent.page().values("accelmon_collector_errors_total", collector="nvml")) > 0)
        self.comes_back()

    def test_xid_becomes_an_event(self):
        agent = self.start("h100x8")
        self.fault('kind = "xid"\nxid = 79\ndevice = 2')
        event = wait_for("the event", lambda: [e for e in agent.status()["events"] if e["code"] == "xid:79"])[0]
        device = next(d for d in agent.status()["devices"] if d["index"] == "2")
        self.assertEqual(event["device"], device["id"])
        wait_for("its counter", lambda: sum(agent.page().values("accelmon_gpu_events_total", gpu="2", code="xid:79")) >= 1)


class Libraries(unittest.TestCase):
    """The machine as it is, with a library that is none."""

    def check(self, library, words):
        with Agent(simulate=None, config=f'[collectors.nvml]\nlibrary = "{library}"\n') as agent:
            nvml = wait_for("the collector's word", lambda: (
                lambda c: c if c["message"] and c["state"] not in ("starting",) else None)(agent.collector("nvml")))
            self.assertIn(nvml["state"], ("absent", "backing_off"))
            self.assertIn(str(library), nvml["message"])
            self.assertNotIn("\n", nvml["message"])
            for word in words:
                self.assertIn(word, nvml["message"])
            self.assertEqual(agent.page().value("accelmon_collector_up", collector="host"), 1)
            self.assertEqual(agent.page().value("accelmon_collector_up", collector="nvml"), 0)
            self.assertEqual(agent.page().values(UTILIZATION), [])

    def test_missing_library(self):
        self.check("/nonexistent/libnvidia-ml.so.1", [])

    def test_text_file_as_library(self):
        with tempfile.TemporaryDirectory(prefix="accelmon-test-") as folder:
            path = pathlib.Path(folder) / "libnvidia-ml.so.1"
            path.write_text("this is no library\n")
            self.check(path, [])

    def test_library_of_something_else(self):
        # A real library without a single NVML function.
        candidates = sorted(pathlib.Path("/lib/x86_64-linux-gnu").glob("libz.so.1*")) + sorted(
            pathlib.Path("/lib").glob("*/libm.so.6"))
        self.assertTrue(candidates)
        self.check(candidates[0], [])


if __name__ == "__main__":
    main(400)
