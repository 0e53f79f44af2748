#!/usr/bin/env python3
"""The system metrics command of TorchServe: the published expression on every line, and the way TorchServe starts it."""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from agent_fixture import PATIENCE, PROGRAM, SOURCE, Agent, have, main

LINE = re.compile(r"\s*([\w\s]+)\.([\w\s]+):([0-9\-,.e]+)\|#([^|]*)(\|#type:([^|,]+))?\|#hostname:([^,]+),([^,]+)(,(.*))?",
                  re.A)
HOST = {"CPUUtilization": "Percent", "MemoryUsed": "Megabytes", "MemoryAvailable": "Megabytes",
        "MemoryUtilization": "Percent", "DiskUsage": "Gigabytes", "DiskAvailable": "Gigabytes",
        "DiskUtilization": "Percent"}
DEVICE = {"GPUUtilization": "Percent", "GPUMemoryUtilization": "Percent", "GPUMemoryUsed": "Megabytes"}


class Output:
    def __init__(self, text):
        first, _, second = text.partition("\n\n") if not text.startswith("\n") else ("", "", text[1:])
        if "\n\n" not in text and not text.startswith("\n"):
            raise AssertionError(f"no empty line: {text!r}")
        self.gauges = []
        for line in first.splitlines():
            match = LINE.fullmatch(line)
            if not match:
                raise AssertionError(f"TorchServe would refuse {line!r}")
            dimensions = dict(pair.split(":") for pair in match.group(4).split(","))
            if list(dimensions) not in (["Level"], ["Level", "DeviceId"]):
                raise AssertionError(f"the dimensions of {line!r} are in another order")
            self.gauges.append((match.group(1), match.group(2), dimensions.get("DeviceId"), float(match.group(3)),
                                match.group(7), int(match.group(8))))
        self.workers = [tuple(map(int, line.split(":"))) for line in second.splitlines()]

    def of(self, device=None):
        return {gauge[0]: gauge[3] for gauge in self.gauges if gauge[2] == device}

    def units(self):
        return {gauge[0]: gauge[1] for gauge in self.gauges}

    def devices(self):
        return sorted({gauge[2] for gauge in self.gauges if gauge[2] is not None})


def collect(*arguments, stdin="\n", env=None):
    done = subprocess.run([PROGRAM, "torchserve-collect", *arguments], input=stdin, capture_output=True, text=True,
                          timeout=PATIENCE, env={**os.environ, **(env or {})}, check=False)
    return done.returncode, Output(done.stdout), done.stderr


class Collect(unittest.TestCase):
    def check_defaults(self, output, devices):
        self.assertEqual(output.devices(), devices)
        host = output.of()
        self.assertEqual(set(host), set(HOST))
        for device in devices:
            self.assertTrue(set(DEVICE) <= set(output.of(device)), output.of(device))
        self.assertTrue({**HOST, **(DEVICE if devices else {})}.items() <= output.units().items(), output.units())
        for name, value in host.items():
            self.assertGreaterEqual(value, 0, name)
            if name.endswith("Utilization"):
                self.assertLessEqual(value, 100, name)
        for gauge in output.gauges:
            self.assertTrue(gauge[4])
            self.assertLess(abs(gauge[5] - time.time()), 3600)


class WithAgent(Collect):
    @classmethod
    def setUpClass(cls):
        cls.agent = Agent(simulate="h100x8")
        cls.addClassCleanup(cls.agent.end)
        cls.config = ["--config", str(cls.agent.config_path)]

    def test_default_gauges(self):
        code, output, error = collect(*self.config)
        self.assertEqual((code, error), (0, ""))
        self.check_defaults(output, [str(i) for i in range(8)])

    def test_values_are_the_agents(self):
        # Full memory does not move within a poll.
        before = self.agent.page()
        _, output, _ = collect(*self.config)
        limits = before.values("hw_gpu_memory_limit_bytes")
        self.assertEqual(len(limits), 8)
        for device in output.devices():
            shown = output.of(device)
            self.assertIn(round(shown["GPUMemoryTotal"]), [round(limit / 2**20) for limit in limits])
            self.assertAlmostEqual(shown["GPUMemoryUtilization"] / 100,
                                   before.value("hw_gpu_memory_utilization_ratio", gpu=device), delta=0.25)

    def test_workers(self):
        gone = subprocess.Popen(["true"])
        gone.wait()
        _, output, _ = collect(*self.config, stdin=f"{os.getpid()},{gone.pid},{self.agent.pid}\n")
        self.assertEqual([pid for pid, _ in output.workers], [os.getpid(), gone.pid, self.agent.pid])
        self.assertGreater(output.workers[0][1], 1 << 20)
        self.assertEqual(output.workers[1][1], 0)

    def test_nothing_else_is_ever_a_worker(self):
        for stdin in ("", "\n", "x,,-4,99999999999,1.5\n", "\0" * 1000, "," * 70000):
            with self.subTest(stdin=stdin[:20]):
                _, output, _ = collect(*self.config, stdin=stdin)
                self.assertEqual(output.workers, [])

    def test_gpu_option(self):
        self.assertEqual(collect(*self.config, "--gpu", "2")[1].devices(), ["0", "1"])
        self.check_defaults(collect(*self.config, "--gpu", "0")[1], [])
        self.assertEqual(collect(*self.config, env={"CUDA_VISIBLE_DEVICES": "5,3"})[1].devices(), ["3", "5"])

    def test_a_silent_standard_input_costs_a_second_at_most(self):
        ours, theirs = os.pipe()
        self.addCleanup(os.close, theirs)
        done = subprocess.run([PROGRAM, "torchserve-collect", *self.config], stdin=ours, capture_output=True, text=True,
                              timeout=PATIENCE, check=True)
        os.close(ours)
        self.check_defaults(Output(done.stdout), [str(i) for i in range(8)])

    def test_german_numbers(self):
        _, output, error = collect(*self.config, env={"LC_ALL": "de_DE.UTF-8"})
        self.assertEqual(error, "")
        self.check_defaults(output, [str(i) for i in range(8)])


class WithoutAgent(Collect):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="accelmon-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        path = self.folder / "accelmon.toml"
        path.write_text(f'[listen]\naddress = "127.0.0.1:0"\nsocket = "{folder.name}/s"\n')
        self.config = ["--config", str(path)]

    def test_it_samples_by_itself(self):
        for scenario, devices in (("h100x8", [str(i) for i in range(8)]), ("t4", ["0"])):
            with self.subTest(scenario=scenario):
                code, output, error = collect(*self.config, "--simulate", scenario)
                self.assertEqual((code, error), (0, ""))
                self.check_defaults(output, devices)

    def test_amd_and_intel(self):
        for scenario in ("mi300x-spx", "battlemage", "pvc", "radeon", "mixed"):
            with self.subTest(scenario=scenario):
                _, output, error = collect(*self.config, "--simulate", scenario)
                self.assertEqual(error, "")
                self.assertTrue(output.devices())
                for device in output.devices():
                    self.assertIn("GPUUtilization", output.of(device))
                    self.assertIn("GPUMemoryUsed", output.of(device))

    def test_a_machine_without_accelerators(self):
        code, output, _ = collect(*self.config)
        self.assertEqual(code, 0)
        self.assertEqual(set(output.of()), set(HOST))

    def test_a_broken_configuration_costs_the_devices_alone(self):
        broken = self.folder / "broken.toml"
        broken.write_text("[poll")
        code, output, error = collect("--config", str(broken), stdin=f"{os.getpid()}\n")
        self.assertEqual(code, 1)
        self.assertIn("broken.toml", error)
        self.assertEqual(set(output.of()), set(HOST))
        self.assertEqual(output.workers[0][0], os.getpid())

    def test_an_agent_that_does_not_answer(self):
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(self.folder / "s"))
        listener.listen(4)
        code, output, error = collect(*self.config)
        self.assertEqual(code, 1)
        self.assertIn("does not answer", error)
        self.assertEqual(set(output.of()), set(HOST))

    def test_an_agent_that_talks_nonsense(self):
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(self.folder / "s"))
        listener.listen(4)

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n{\"a\":[1]}")
        thread = threading.Thread(target=answer)
        thread.start()
        code, output, error = collect(*self.config)
        thread.join(PATIENCE)
        self.assertEqual(code, 1)
        self.assertIn("not a page of metrics", error)
        self.assertEqual(set(output.of()), set(HOST))

    def test_a_hanging_driver_holds_nobody(self):
        # The pipes end though the collector's process does not: TorchServe waits for their end without a limit.
        scenario = self.folder / "hang.toml"
        scenario.write_text((SOURCE / "simulator/scenarios/t4.toml").read_text() +
                            '\n[[fault]]\nkind = "hang"\ncall = "nvmlDeviceGetMemoryInfo*"\n')
        started = time.monotonic()
        done = subprocess.run([PROGRAM, "torchserve-collect", *self.config, "--simulate", str(scenario)], input="\n",
                              capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertLess(time.monotonic() - started, PATIENCE)
        if "scenario" in done.stderr:
            self.fail(done.stderr)
        self.assertEqual(set(Output(done.stdout).of()), set(HOST))
        self.assertEqual(Output(done.stdout).devices(), [])


@unittest.skipUnless(have("java") and have("javac"), "no JDK: the path through Java is not tried")
class AsTorchServeStartsIt(unittest.TestCase):
    """Properties, split, exec, expression and parsing by a program in Java, with the line that deploy/ ships."""

    @classmethod
    def setUpClass(cls):
        cls.agent = Agent(simulate="t4")
        cls.addClassCleanup(cls.agent.end)
        folder = tempfile.TemporaryDirectory(prefix="accelmon-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        properties = (SOURCE / "deploy/torchserve/config.properties").read_text()
        shipped = "'/usr/bin/accelmon',['accelmon','torchserve-collect']"
        if properties.count(shipped) != 1:
            raise AssertionError("config.properties has another command")
        ours = f"'{pathlib.Path(PROGRAM).resolve()}',['accelmon','torchserve-collect','--config','{cls.agent.config_path}']"
        (cls.folder / "config.properties").write_text(properties.replace(shipped, ours))

    def test_a_tick(self):
        gone = subprocess.Popen(["true"])
        gone.wait()
        done = subprocess.run([have("java"), "-Xshare:auto", str(SOURCE / "tests/TorchServeTick.java"),
                               str(self.folder / "config.properties"), sys.executable, str(self.folder),
                               f"{os.getpid()},{gone.pid}"],
                              capture_output=True, text=True, timeout=4 * PATIENCE, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        lines = done.stdout.splitlines()
        self.assertEqual([line for line in lines if not line.startswith(("gauge ", "worker "))], [])
        names = {line.split()[1] for line in lines if line.startswith("gauge ")}
        self.assertTrue({*HOST, *DEVICE} <= names, names)
        # The values of the dimensions are what TorchServe hands on, by their place.
        self.assertTrue(any(re.fullmatch(r"gauge GPUMemoryUsed Megabytes \S+ Host 0 at \d+", line) for line in lines),
                        lines)
        self.assertEqual([line.split()[1] for line in lines if line.startswith("worker ")],
                         [str(os.getpid()), str(gone.pid)])


if __name__ == "__main__":
    main(300)
