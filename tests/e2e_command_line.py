#!/usr/bin/env python3
"""The verbs, against a running agent and without one."""
import csv
import io
import json
import os
import pathlib
import tempfile
import unittest

from agent_fixture import Agent, Page, command_line, main, run, wait_for

VERBS = ("serve", "status", "doctor", "release", "resume", "metrics", "config",
         "torchserve-collect", "findings", "version", "help")


class WithAgent(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.agent = Agent(simulate="h100x8")
        cls.addClassCleanup(cls.agent.end)
        cls.config = ["--config", str(cls.agent.config_path)]

    def test_status_table(self):
        code, out, err = run(["status", *self.config])
        self.assertEqual((code, err), (0, ""))
        self.assertIn("H100", out)
        self.assertNotIn("\x1b", out, "colour though this is no terminal")
        rows = [line for line in out.splitlines() if "H100" in line]
        self.assertEqual(len(rows), 8)
        self.assertLessEqual(max(len(line) for line in out.splitlines()), 200)

    def test_status_json(self):
        code, out, _ = run(["status", *self.config, "--format", "json"])
        self.assertEqual(code, 0)
        status = json.loads(out)
        self.assertEqual(status["pid"], self.agent.pid)
        self.assertEqual(len(status["devices"]), 8)

    def test_status_csv(self):
        code, out, _ = run(["status", *self.config, "--format", "csv"])
        self.assertEqual(code, 0)
        rows = list(csv.DictReader(io.StringIO(out)))
        self.assertGreaterEqual(len(rows), 8)
        self.assertTrue(all(None not in row and None not in row.values() for row in rows), "rows of unequal length")

    def test_status_prometheus(self):
        code, out, _ = run(["status", *self.config, "--format", "prometheus"])
        self.assertEqual(code, 0)
        self.assertEqual(len(Page(out).values("hw_gpu_memory_limit_bytes")), 8)

    def test_doctor(self):
        code, out, err = run(["doctor", *self.config])
        self.assertIn(code, (0, 1))
        self.assertEqual(err, "")
        self.assertIn("nvidia", out)
        self.assertIn("host", out)

    def test_release_and_resume(self):
        self.assertIn("nvml", self.agent.collectors())
        code, out, err = run(["release", "nvidia", *self.config])
        self.assertEqual(code, 0, err)
        self.assertTrue(out.strip())
        wait_for("the process to be gone", lambda: "nvml" not in self.agent.collectors())
        self.assertEqual(self.agent.collector("nvml")["state"], "released")
        wait_for("the series to be gone", lambda: not self.agent.page().values("hw_gpu_utilization_ratio"))
        self.assertEqual(self.agent.page().value("accelmon_collector_up", collector="host"), 1)
        code, _, err = run(["resume", "nvidia", *self.config])
        self.assertEqual(code, 0, err)
        wait_for("the series to be back", lambda: len(
            self.agent.page().values("hw_gpu_utilization_ratio", hw_gpu_task="general")) == 8)

    def test_release_of_a_stranger(self):
        code, _, err = run(["release", "matrox", *self.config])
        self.assertNotEqual(code, 0)
        self.assertIn("matrox", err)


class WithoutAgent(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="accelmon-test-")
        self.addCleanup(folder.cleanup)
        path = pathlib.Path(folder.name) / "accelmon.toml"
        path.write_text(f'[listen]\naddress = "127.0.0.1:0"\nsocket = "{folder.name}/s"\n')
        self.config = ["--config", str(path)]

    def test_status_samples_by_itself(self):
        code, out, err = run(["status", *self.config, "--simulate", "h100x8", "--format", "json"])
        self.assertEqual(code, 0, err)
        status = json.loads(out)
        self.assertEqual(len(status["devices"]), 8)
        values = {entry["metric"] for device in status["devices"] for entry in device["values"]
                  if entry["state"] == "ok"}
        self.assertTrue({"hw.gpu.utilization", "hw.gpu.memory.usage", "hw.power", "hw.energy"} <= values, values)

    def test_no_process_is_left_behind(self):
        run(["status", *self.config, "--simulate", "t4"])
        mine = [pid for pid in os.listdir("/proc") if pid.isdigit() and "collect" in command_line(int(pid))
                and self.config[1] in " ".join(command_line(int(pid)))]
        self.assertEqual(mine, [])

    def test_status_on_a_machine_without_accelerators(self):
        code, out, err = run(["status", *self.config])
        self.assertIn(code, (0, 1), err)
        self.assertTrue(out.strip())

    def test_doctor_without_an_agent(self):
        code, out, _ = run(["doctor", *self.config, "--simulate", "t4"])
        self.assertIn(code, (0, 1))
        self.assertIn("nvidia", out)

    def test_release_without_an_agent(self):
        code, _, err = run(["release", "nvidia", *self.config])
        self.assertEqual(code, 1)
        self.assertIn("agent", err)


class Words(unittest.TestCase):
    def test_help_fits_a_screen(self):
        for arguments in (["--help"], ["help"], *[[verb, "--help"] for verb in VERBS if verb not in ("help", "version")]):
            with self.subTest(arguments=arguments):
                code, out, err = run(arguments)
                self.assertEqual((code, err), (0, ""))
                self.assertLessEqual(max(len(line) for line in out.splitlines()), 120)

    def test_help_of_a_verb_is_its_help(self):
        self.assertEqual(run(["help", "serve"]), run(["serve", "--help"]))

    def test_unknown_words(self):
        for arguments, nearest in ((["statsu"], "status"), (["status", "--fromat", "json"], "--format"),
                                   (["status", "--format", "jsno"], "json")):
            with self.subTest(arguments=arguments):
                code, _, err = run(arguments)
                self.assertEqual(code, 2, err)
                self.assertIn(nearest, err)

    def test_version(self):
        code, out, _ = run(["--version"])
        self.assertEqual(code, 0)
        self.assertRegex(out, r"\d+\.\d+\.\d+")

    def test_full_disk_behind_output_is_a_failure(self):
        import subprocess

        from agent_fixture import PROGRAM
        for arguments in (["--version"], ["metrics"], ["help"]):
            with self.subTest(arguments=arguments), open("/dev/full", "wb") as full:
                done = subprocess.run([PROGRAM, *arguments], stdout=full, stderr=subprocess.PIPE, timeout=30, check=False)
                self.assertEqual(done.returncode, 1, "output was lost and nobody was told")


if __name__ == "__main__":
    main(240)
