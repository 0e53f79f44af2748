#!/usr/bin/env python3
"""Whole cycles under memcheck: start, collect in processes of their own, serve or show, end. No error, no definite leak."""
import pathlib
import subprocess
import tempfile
import unittest

import agent_fixture
from agent_fixture import OPENMETRICS, PROGRAM, Agent, have, main, wait_for

# Ten processes under memcheck, beside whatever else the machine does.
agent_fixture.PATIENCE = max(agent_fixture.PATIENCE, 120)


@unittest.skipIf(have("valgrind") is None, "valgrind is not installed")
class Memcheck(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="accelmon-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.valgrind = [have("valgrind"), "--quiet", "--trace-children=yes", "--leak-check=full",
                         "--errors-for-leak-kinds=definite", "--show-leak-kinds=definite", "--error-exitcode=99",
                         f"--log-file={folder.name}/valgrind.%p"]

    def check_logs(self):
        logs = {path.name: path.read_text() for path in self.folder.glob("valgrind.*")}
        self.assertGreaterEqual(len(logs), 3, "the agent and two collectors should have run under valgrind")
        for name, text in logs.items():
            self.assertEqual(text, "", name)

    def test_serve(self):
        with Agent(simulate="t4", poll="500ms", config='hang = "300s"\n', under=self.valgrind) as agent:
            for name in ("host", "nvml"):
                wait_for(f"frames of {name}", lambda: agent.collector(name)["frames"] >= 5, 120)
            self.assertTrue(agent.page().values("hw_gpu_utilization_ratio"))
            self.assertEqual(agent.get("/metrics", accept=OPENMETRICS, accept_encoding="gzip").status, 200)
            self.assertEqual(agent.get("/").status, 200)
            agent.get("/nosuchpage")
            agent.write_config("[smoothing]\nwindow = \"30s\"\n")
            agent.signal(1)
            wait_for("the reload", lambda: sum(agent.page().values("accelmon_agent_config_reloads_total", result="ok")))
            self.assertEqual(agent.end(), 0)
        self.check_logs()

    def test_status(self):
        config = self.folder / "accelmon.toml"
        config.write_text(f'[listen]\naddress = "127.0.0.1:0"\nsocket = "{self.folder}/s"\n[poll]\nhang = "300s"\n')
        done = subprocess.run([*self.valgrind, PROGRAM, "status", "--simulate", "t4", "--config", str(config)],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)
        # Under memcheck it may be too slow to see a frame in the time that it gives itself: it says so then.
        self.assertIn(done.returncode, (0, 1), done.stderr.decode())
        self.assertTrue(done.stdout)
        self.check_logs()


if __name__ == "__main__":
    main(400)
