#!/usr/bin/env python3
"""Start, reload, stop: what an agent leaves behind, and what it says when it cannot start."""
import os
import pathlib
import re
import signal
import stat
import subprocess
import tempfile
import unittest

from agent_fixture import PATIENCE, PROGRAM, Agent, descriptors, is_alive, main, run, wait_for


def lasting(agent):
    """The collectors that find something on every machine; others look, find nothing and end."""
    return {name: pid for name, pid in agent.collectors().items() if name in ("host", "nvml")}


class Stop(unittest.TestCase):
    def check_stop(self, number):
        agent = Agent(simulate="t4")
        self.addCleanup(agent.end)
        collectors = agent.collectors()
        self.assertLessEqual({"host", "nvml"}, set(collectors))
        self.assertTrue(os.path.exists(agent.socket))
        agent.signal(number)
        self.assertEqual(agent.process.wait(PATIENCE), 0)
        self.assertFalse(os.path.exists(agent.socket))
        self.assertEqual(agent.log(), "", "an orderly end is nothing to warn of")
        wait_for("the collectors to be gone", lambda: not any(is_alive(pid) for pid in collectors.values()))

    def test_term_ends_it_cleanly(self):
        self.check_stop(signal.SIGTERM)

    def test_interrupt_ends_it_cleanly(self):
        self.check_stop(signal.SIGINT)

    def test_idle_connections_do_not_delay_the_end(self):
        agent = Agent(simulate="t4")
        self.addCleanup(agent.end)
        connections = [agent.connect() for _ in range(20)]
        self.addCleanup(lambda: [connection.close() for connection in connections])
        agent.signal(signal.SIGTERM)
        self.assertEqual(agent.process.wait(PATIENCE), 0)

    def test_killed_agent_leaves_no_orphan(self):
        agent = Agent(simulate="t4")
        self.addCleanup(agent.end)
        collectors = agent.collectors()
        self.assertGreaterEqual(len(collectors), 2)
        agent.process.kill()
        agent.process.wait(PATIENCE)
        wait_for("the collectors to follow it", lambda: not any(is_alive(pid) for pid in collectors.values()))
        # Its socket file is a dead one now: the next agent takes it over.
        with Agent(simulate="t4", socket_path=agent.socket) as second:
            self.assertTrue(stat.S_ISSOCK(os.stat(second.socket).st_mode))

    def test_killed_collector_is_started_again(self):
        with Agent(simulate="t4") as agent:
            victim = agent.collectors()["nvml"]
            os.kill(victim, signal.SIGKILL)
            fresh = wait_for("another collector", lambda: agent.collectors().get("nvml") not in (None, victim))
            self.assertTrue(fresh)
            wait_for("it to run", lambda: agent.collector("nvml")["state"] == "running")
            self.assertGreaterEqual(agent.collector("nvml")["restarts"], 1)
            self.assertGreaterEqual(agent.page().value("accelmon_collector_restarts_total", collector="nvml"), 1)

    def test_stopped_collector_does_not_stop_the_agent(self):
        with Agent(simulate="t4", poll="200ms") as agent:
            victim = agent.collectors()["nvml"]
            os.kill(victim, signal.SIGSTOP)
            wait_for("its series to go", lambda: not agent.page().values("hw_gpu_utilization_ratio"))
            self.assertEqual(agent.page().value("accelmon_collector_up", collector="nvml"), 0)
            self.assertEqual(agent.page().value("accelmon_collector_up", collector="host"), 1)
            os.kill(victim, signal.SIGCONT)
            wait_for("its series to come back", lambda: agent.page().values("hw_gpu_utilization_ratio"))


class Refusals(unittest.TestCase):
    def serve_in_vain(self, *arguments):
        code, out, err = run(["serve", "--simulate", "t4", *arguments])
        self.assertEqual(code, 1, err)
        self.assertNotIn("http://", out)
        return err

    def config(self, text):
        folder = tempfile.TemporaryDirectory(prefix="accelmon-test-")
        self.addCleanup(folder.cleanup)
        path = pathlib.Path(folder.name) / "accelmon.toml"
        path.write_text(text)
        return str(path)

    def test_address_in_use_names_the_holder(self):
        with Agent(simulate="t4") as agent:
            config = self.config(f'[listen]\naddress = "127.0.0.1:{agent.port}"\nsocket = "{agent.path}/other.sock"\n')
            err = self.serve_in_vain("--config", config)
            self.assertIn(f"127.0.0.1:{agent.port}", err)
            self.assertIn(str(agent.pid), err)
            self.assertFalse(os.path.exists(f"{agent.path}/other.sock"))
            self.assertEqual(agent.get("/-/healthy").status, 200)

    def test_socket_in_use(self):
        with Agent(simulate="t4") as agent:
            config = self.config(f'[listen]\naddress = "127.0.0.1:0"\nsocket = "{agent.socket}"\n')
            self.assertIn(agent.socket, self.serve_in_vain("--config", config))
            self.assertTrue(os.path.exists(agent.socket), "the loser removed the winner's socket")
            code, out, _ = run(["status", "--config", str(agent.config_path), "--format", "json"])
            self.assertEqual(code, 0)
            self.assertIn(str(agent.pid), out)

    def test_bad_configuration_is_located(self):
        config = self.config('[poll]\ninterval = 100\n')
        err = self.serve_in_vain("--config", config)
        self.assertRegex(err, re.escape(config) + r":2:\d+: ")
        self.assertIn("poll.interval", err)

    def test_missing_configuration(self):
        self.assertIn("/nonexistent/accelmon.toml", self.serve_in_vain("--config", "/nonexistent/accelmon.toml"))


class Reload(unittest.TestCase):
    def reloads(self, agent, result):
        return sum(agent.page().values("accelmon_agent_config_reloads_total", result=result))

    def test_good_configuration_is_taken(self):
        with Agent(simulate="t4") as agent:
            self.assertEqual(agent.status()["poll"]["interval_seconds"], 0.1)
            nvml = agent.collectors()["nvml"]
            agent.poll = "250ms"
            agent.write_config("")
            agent.signal(signal.SIGHUP)
            wait_for("the new interval", lambda: agent.status()["poll"]["interval_seconds"] == 0.25)
            self.assertEqual(self.reloads(agent, "ok"), 1)
            # It polls at another pace now: a collector is told its pace when it starts.
            wait_for("another collector", lambda: agent.collectors().get("nvml") not in (None, nvml))
            wait_for("it to run", lambda: agent.collector("nvml")["state"] == "running")

    def test_unchanged_configuration_disturbs_no_collector(self):
        with Agent(simulate="t4") as agent:
            before = lasting(agent)
            agent.signal(signal.SIGHUP)
            wait_for("the message", lambda: "configuration read again" in agent.log())
            frames = agent.collector("nvml")["frames"]
            wait_for("more frames", lambda: agent.collector("nvml")["frames"] > frames + 3)
            self.assertEqual(lasting(agent), before)

    def test_bad_configuration_keeps_the_old_one(self):
        with Agent(simulate="t4") as agent:
            before = lasting(agent)
            agent.poll = "100"
            agent.write_config("")
            agent.signal(signal.SIGHUP)
            wait_for("the complaint", lambda: "old configuration" in agent.log())
            self.assertRegex(agent.log(), re.escape(str(agent.config_path)) + r":5:\d+: poll\.interval")
            wait_for("the failure to be counted", lambda: sum(
                value for name, labels, value in agent.page().samples
                if name == "accelmon_agent_config_reloads_total" and labels["result"] != "ok") == 1)
            self.assertEqual(agent.status()["poll"]["interval_seconds"], 0.1)
            frames = agent.collector("nvml")["frames"]
            wait_for("more frames", lambda: agent.collector("nvml")["frames"] > frames + 3)
            self.assertEqual(lasting(agent), before)

    def test_collector_can_be_switched_off_and_on(self):
        with Agent(simulate="t4") as agent:
            agent.write_config("[collectors.nvml]\nenabled = false\n")
            agent.signal(signal.SIGHUP)
            wait_for("it to be off", lambda: agent.collector("nvml")["state"] == "disabled")
            wait_for("its process to be gone", lambda: "nvml" not in agent.collectors())
            wait_for("its series to be gone", lambda: not agent.page().values("hw_gpu_utilization_ratio"))
            self.assertEqual(agent.collector("host")["state"], "running")
            agent.write_config("")
            agent.signal(signal.SIGHUP)
            wait_for("its series to be back", lambda: agent.page().values("hw_gpu_utilization_ratio"))


class Surroundings(unittest.TestCase):
    def test_full_disk_behind_standard_error(self):
        # Every write of the log fails; nothing else may.
        with Agent(simulate="t4", stderr="/dev/full", config='[log]\nlevel = "debug"\n') as agent:
            for _ in range(3):
                agent.signal(signal.SIGHUP)
            wait_for("lost lines to be counted", lambda: sum(agent.page().values("accelmon_agent_log_lost_total")) > 0)
            self.assertEqual(agent.get("/-/healthy").status, 200)
            frames = agent.collector("nvml")["frames"]
            wait_for("more frames", lambda: agent.collector("nvml")["frames"] > frames)

    def test_full_disk_behind_standard_output(self):
        # The banner cannot be written: the port has to be known beforehand.
        from agent_fixture import free_port
        folder = tempfile.TemporaryDirectory(prefix="accelmon-test-")
        self.addCleanup(folder.cleanup)
        port = free_port()
        config = pathlib.Path(folder.name) / "accelmon.toml"
        config.write_text(f'[listen]\naddress = "127.0.0.1:{port}"\nsocket = "{folder.name}/s"\n')
        with open("/dev/full", "wb") as full:
            process = subprocess.Popen([PROGRAM, "serve", "--config", str(config), "--simulate", "t4"], stdout=full,
                                       stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        try:
            def answers():
                code, out, _ = run(["status", "--config", str(config), "--format", "json"])
                return code == 0 and str(process.pid) in out
            wait_for("an answer", answers)
        finally:
            process.terminate()
            self.assertEqual(process.wait(PATIENCE), 0)

    def test_no_descriptor_leaks_over_restarts(self):
        with Agent(simulate="t4") as agent:
            def restart():
                victim = agent.collectors()["nvml"]
                os.kill(victim, signal.SIGKILL)
                wait_for("another collector", lambda: agent.collectors().get("nvml") not in (None, victim))
                wait_for("it to run", lambda: agent.collector("nvml")["state"] == "running")

            restart()
            before = wait_for("a quiet moment", lambda: descriptors(agent.pid))
            restart()
            wait_for("as many descriptors as before", lambda: descriptors(agent.pid) <= before)

    def test_collector_gets_no_listener(self):
        # A vendor library must not inherit the agent's sockets.
        with Agent(simulate="t4") as agent:
            listeners = set()
            for line in pathlib.Path(f"/proc/{agent.pid}/net/tcp").read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == "0A":
                    listeners.add(f"socket:[{words[9]}]")
            for pid in agent.collectors().values():
                for entry in os.listdir(f"/proc/{pid}/fd"):
                    try:
                        self.assertNotIn(os.readlink(f"/proc/{pid}/fd/{entry}"), listeners)
                    except FileNotFoundError:
                        pass


if __name__ == "__main__":
    main(300)
