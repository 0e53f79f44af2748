#!/usr/bin/env python3
"""The pages of a running agent: what they hold, their types, their negotiation."""
import gzip
import os
import socket
import stat
import unittest

from agent_fixture import OPENMETRICS, TEXT, Agent, Page, Scenario, main, run, wait_for

GPUS = [str(index) for index in range(8)]


class Pages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.agent = Agent(simulate="h100x8")
        cls.addClassCleanup(cls.agent.end)
        # The smoothed and windowed series need a few polls.
        wait_for("the windows to fill", lambda: cls.agent.page().values("accelmon_gpu_utilization_window_ratio"))

    def test_text_page_has_every_accelerator(self):
        answer = self.agent.get("/metrics", accept=TEXT)
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
        page = Page(answer.text)
        per_device = [sample for sample in page.samples if "gpu" in sample[1]]
        self.assertGreaterEqual(len(per_device), 250)
        self.assertEqual(sorted({labels["gpu"] for _, labels, _ in per_device}), GPUS)
        self.assertEqual(len({labels["hw_id"] for _, labels, _ in per_device}), 8)
        self.assertEqual({labels["hw_type"] for _, labels, _ in per_device}, {"gpu"})
        self.assertEqual({labels["hw_vendor"] for _, labels, _ in per_device}, {"nvidia"})

    def test_openmetrics_page(self):
        answer = self.agent.get("/metrics", accept=OPENMETRICS)
        self.assertTrue(answer.headers["content-type"].startswith(
            "application/openmetrics-text; version=1.0.0; charset=utf-8"), answer.headers["content-type"])
        self.assertTrue(answer.text.endswith("# EOF\n"))
        self.assertNotIn("# EOF", self.agent.get("/metrics", accept=TEXT).text)

    def test_values_are_plausible(self):
        page = self.agent.page()
        for gpu in GPUS:
            with self.subTest(gpu=gpu):
                self.assertTrue(0 <= page.value("hw_gpu_utilization_ratio", gpu=gpu, hw_gpu_task="general") <= 1)
                used = page.value("hw_gpu_memory_usage_bytes", gpu=gpu)
                limit = page.value("hw_gpu_memory_limit_bytes", gpu=gpu)
                free = page.value("accelmon_gpu_memory_free_bytes", gpu=gpu)
                self.assertTrue(70 * 2**30 < limit < 90 * 2**30, limit)
                self.assertTrue(0 < used < limit and used + free <= limit)
                self.assertTrue(0 <= page.value("hw_gpu_memory_utilization_ratio", gpu=gpu) <= 1)
                for celsius in page.values("hw_temperature_celsius", gpu=gpu):
                    self.assertTrue(10 < celsius < 110, celsius)
                for watts in page.values("hw_power_watts", gpu=gpu):
                    self.assertTrue(0 < watts < 1000, watts)
                for hertz in page.values("accelmon_gpu_clock_frequency_hertz", gpu=gpu):
                    self.assertTrue(1e8 < hertz < 4e9, hertz)
                self.assertEqual(page.value("accelmon_device_info", gpu=gpu), 1)
        for name, labels, value in page.samples:
            if name.endswith("_ratio") and "fan" not in name:
                self.assertTrue(0 <= value <= 1, (name, labels, value))

    def test_host_and_agent_stand_on_the_page(self):
        page = self.agent.page()
        self.assertEqual(page.value("system_cpu_logical_count_cpus"), os.cpu_count())
        self.assertGreater(page.value("system_memory_limit_bytes"), 2**28)
        self.assertGreater(page.value("system_uptime_seconds"), 0)
        self.assertEqual(page.value("accelmon_collector_up", collector="nvml"), 1)
        self.assertEqual(page.value("accelmon_collector_up", collector="host"), 1)
        self.assertEqual(len(page.values("accelmon_build_info")), 1)

    def test_energy_counter_and_busy_time_grow(self):
        before = {gpu: self.agent.page().value("hw_energy_joules_total", gpu=gpu) for gpu in GPUS}

        def grown():
            page = self.agent.page()
            return all(page.value("hw_energy_joules_total", gpu=gpu) > before[gpu] for gpu in GPUS)

        wait_for("every energy counter to grow", grown)

    def test_gzip(self):
        answer = self.agent.get("/metrics", accept=TEXT, accept_encoding="gzip")
        self.assertEqual(answer.headers["content-encoding"], "gzip")
        self.assertLess(len(answer.raw) * 4, len(gzip.decompress(answer.raw)))
        self.assertIn("hw_gpu_utilization_ratio", answer.text)
        self.assertNotIn("content-encoding", self.agent.get("/metrics", accept_encoding="gzip;q=0").headers)
        self.assertNotIn("content-encoding", self.agent.get("/metrics").headers)

    def test_head_is_get_without_a_body(self):
        answer = self.agent.get("/metrics", method="HEAD", accept=TEXT)
        self.assertEqual((answer.status, answer.raw), (200, b""))
        self.assertGreater(int(answer.headers["content-length"]), 10000)

    def test_other_pages(self):
        self.assertEqual(self.agent.get("/-/healthy").status, 200)
        self.assertEqual(self.agent.get("/-/ready").status, 200)
        missing = self.agent.get("/nosuchpage")
        self.assertEqual(missing.status, 404)
        self.assertTrue(missing.text.strip())
        landing = self.agent.get("/")
        self.assertEqual(landing.status, 200)
        self.assertTrue(landing.headers["content-type"].startswith("text/html"))
        self.assertIn('href="/metrics"', landing.text)
        post = self.agent.get("/metrics", method="POST")
        self.assertEqual(post.status, 405)
        self.assertEqual(post.headers["allow"], "GET, HEAD")

    def test_control_is_refused_over_the_network(self):
        self.assertGreaterEqual(self.agent.get("/api/v1/release?vendor=nvidia", method="POST").status, 400)
        self.assertEqual(self.agent.collector("nvml")["state"], "running")

    def test_status_document(self):
        answer = self.agent.get("/api/v1/status")
        self.assertEqual(answer.headers["content-type"], "application/json")
        status = answer.json()
        self.assertEqual(status["pid"], self.agent.pid)
        self.assertLessEqual({"nvml", "host", "amdgpu", "level_zero", "presence"},
                             {entry["name"] for entry in status["collectors"]})
        for entry in status["collectors"]:
            if entry["name"] not in ("nvml", "host"):
                continue
            self.assertEqual(entry["state"], "running")
        self.assertEqual(len(status["devices"]), 8)
        for device in status["devices"]:
            self.assertTrue(device["id"].startswith("GPU-"), device["id"])
            self.assertIn("H100", device["model"])
            for value in device["values"]:
                self.assertEqual(value["value"] is None, value["state"] != "ok", value)
        self.assertTrue(status["host"])
        self.assertTrue(status["simulated"])

    def test_status_and_page_agree(self):
        def limits_of_page():
            return {labels["hw_id"]: value for name, labels, value in self.agent.page().samples
                    if name == "hw_gpu_memory_limit_bytes"}

        limits = {device["id"]: entry["value"] for device in self.agent.status()["devices"]
                  for entry in device["values"] if entry["metric"] == "hw.gpu.memory.limit"}
        self.assertEqual(limits, limits_of_page())

    def test_socket_serves_the_same(self):
        self.assertTrue(stat.S_ISSOCK(os.stat(self.agent.socket).st_mode))
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(self.agent.socket)
            connection.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: local\r\nConnection: close\r\n\r\n")
            answer = b""
            while chunk := connection.recv(4096):
                answer += chunk
        self.assertTrue(answer.startswith(b"HTTP/1.1 200"), answer)


class Scenarios(unittest.TestCase):
    def test_every_shipped_scenario_runs(self):
        code, out, _ = run(["serve", "--help"])
        self.assertEqual(code, 0)
        self.assertIn("--simulate", out)
        names = sorted(path.stem for path in Scenario.BASE.glob("*.toml"))
        self.assertGreaterEqual(len(names), 5)
        for name in names:
            with self.subTest(scenario=name), Agent(simulate=name) as agent:
                devices = [device for device in agent.status()["devices"] if device["type"] == "gpu"]
                self.assertTrue(devices)
                self.assertTrue(agent.page().values("hw_gpu_memory_limit_bytes"))

    def test_unknown_scenario_names_the_known(self):
        code, _, err = run(["serve", "--simulate", "h100x9", "--listen", "127.0.0.1:0"])
        self.assertNotEqual(code, 0)
        self.assertIn("h100x8", err)
        self.assertIn("h100x9", err)


if __name__ == "__main__":
    main(180)
