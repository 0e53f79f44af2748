#!/usr/bin/env python3
"""A real Prometheus scrapes the agent for a while; what it then knows must be right."""
import collections
import json
import pathlib
import re
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.parse
import urllib.request

from agent_fixture import PATIENCE, SOURCE, Agent, free_port, have, main, wait_for


class Scraped(unittest.TestCase):
    """An agent and a Prometheus that scrapes it."""

    SCENARIO = None
    FLAGS = []

    @classmethod
    def setUpClass(cls):
        if have("prometheus") is None:
            raise unittest.SkipTest("prometheus is not installed")
        cls.agent = Agent(simulate=cls.SCENARIO)
        cls.addClassCleanup(cls.agent.end)
        folder = tempfile.TemporaryDirectory(prefix="accelmon-prometheus-")
        cls.addClassCleanup(folder.cleanup)
        config = pathlib.Path(folder.name) / "prometheus.yml"
        config.write_text(f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: accelmon
    honor_timestamps: true
    static_configs: [{{targets: ['127.0.0.1:{cls.agent.port}']}}]
""")
        cls.port = free_port()
        cls.log = open(pathlib.Path(folder.name) / "log", "w+b")
        cls.addClassCleanup(cls.log.close)
        cls.server = subprocess.Popen(
            [have("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder.name}/data",
             f"--web.listen-address=127.0.0.1:{cls.port}", "--web.console.templates=", "--web.console.libraries=",
             *cls.FLAGS],
            stdin=subprocess.DEVNULL, stdout=cls.log, stderr=cls.log, cwd=folder.name)
        cls.addClassCleanup(cls.stop)
        wait_for("Prometheus to be ready", cls.is_ready, 60)
        # Enough scrapes for rates: each is a second after the last.
        wait_for("ten scrapes", lambda: (cls.query('count_over_time(up{job="accelmon"}[5m])') or [(0, 0)])[0][1] >= 10, 60)

    @classmethod
    def stop(cls):
        cls.server.terminate()
        try:
            cls.server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            cls.server.kill()
            cls.server.wait()

    @classmethod
    def api(cls, path, **parameters):
        url = f"http://127.0.0.1:{cls.port}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return json.load(answer)["data"]

    @classmethod
    def is_ready(cls):
        if cls.server.poll() is not None:
            cls.log.seek(0)
            raise AssertionError(f"Prometheus ended: {cls.log.read().decode()}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{cls.port}/-/ready", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    @classmethod
    def query(cls, expression):
        return [(series["metric"], float(series["value"][1]))
                for series in cls.api("/api/v1/query", query=expression)["result"]]


class Prometheus(Scraped):
    SCENARIO = "h100x8"
    FORMAT = "openmetrics"

    def test_every_scrape_succeeded(self):
        target = self.api("/api/v1/targets")["activeTargets"][0]
        self.assertEqual((target["health"], target["lastError"]), ("up", ""))
        self.assertEqual(self.query('min_over_time(up{job="accelmon"}[5m])')[0][1], 1)
        self.log.seek(0)
        log = self.log.read().decode()
        for word in ("Error on ingesting", "duplicate", "out-of-order", "out of order", "append failed"):
            self.assertNotIn(word, log)

    def test_the_format_that_it_prefers(self):
        scrapes = dict((labels["format"], value) for labels, value in self.query("accelmon_agent_scrapes_total"))
        self.assertGreater(scrapes.pop(self.FORMAT), 5)
        self.assertEqual(set(scrapes.values()), {0}, scrapes)

    def test_eight_devices(self):
        self.assertEqual(len(self.query("hw_gpu_utilization_ratio{hw_gpu_task=\"general\"}")), 8)
        self.assertEqual(self.query("count(count by (hw_id) (hw_gpu_memory_usage_bytes))")[0][1], 8)
        joined = self.query("hw_gpu_utilization_ratio{hw_gpu_task=\"general\"}"
                            " * on (hw_id) group_left (hw_model) accelmon_device_info")
        self.assertEqual(len(joined), 8)
        for labels, _ in joined:
            self.assertIn("H100", labels["hw_model"])

    def test_rates_of_counters_are_powers(self):
        # Joules per second are watts: two ways to the same number, which differ only by the sampling. The range is one
        # that the scrapes have filled, as rate() divides by all of it.
        energy = dict((labels["gpu"], value) for labels, value in self.query("rate(hw_energy_joules_total[8s])"))
        power = dict((labels["gpu"], value) for labels, value in self.query(
            "avg by (gpu) (avg_over_time(hw_power_watts{accelmon_power_scope=\"gpu\"}[8s]))"))
        self.assertEqual(len(energy), 8)
        for gpu, watts in energy.items():
            self.assertGreater(watts, 0)
            self.assertTrue(0.5 < watts / power[gpu] < 2, (gpu, watts, power[gpu]))

    def test_no_counter_is_reset(self):
        # One name at a time: resets() drops it, and two families may have series of the same labels.
        counters = [name for name in self.api("/api/v1/label/__name__/values") if name.endswith("_total")]
        self.assertGreater(len(counters), 20)
        for name in counters:
            for labels, resets in self.query(f'resets({name}{{job="accelmon"}}[5m])'):
                self.assertEqual(resets, 0, (name, labels))

    def test_metadata(self):
        metadata = {entry["metric"]: entry for entry in self.api(
            "/api/v1/targets/metadata", match_target='{job="accelmon"}')}
        for name, kind in (("hw_gpu_utilization_ratio", "gauge"), ("hw_energy_joules", "counter"),
                           ("hw_gpu_memory_usage_bytes", "gauge"), ("system_cpu_time_seconds", "counter")):
            entry = metadata.get(name) or metadata.get(name + "_total")
            self.assertIsNotNone(entry, f"no metadata of {name}")
            self.assertEqual(entry["type"], kind, name)
            self.assertTrue(entry["help"], name)

    def test_samples_keep_the_number_of_series(self):
        count = self.query('scrape_samples_scraped{job="accelmon"}')[0][1]
        self.assertGreater(count, 300)
        kept = self.query('scrape_samples_post_metric_relabeling{job="accelmon"}')[0][1]
        self.assertEqual(count, kept)


class PrometheusByProtobuf(Prometheus):
    """The same by protobuf, which a scraper of native histograms prefers."""

    FLAGS = ["--enable-feature=native-histograms"]
    FORMAT = "protobuf"


class OneQueryForEveryMaker(Scraped):
    """docs/queries.md, typed as written: each of its queries has an answer from every maker's boards."""

    SCENARIO = "mixed"

    def test_every_documented_query(self):
        text = (SOURCE / "docs/queries.md").read_text()
        queries = [query.strip() for query in re.findall(r"```promql\n(.*?)```", text, re.DOTALL)]
        self.assertGreaterEqual(len(queries), 8)
        for query in queries:
            with self.subTest(query=query):
                answer = self.query(query)
                if query.startswith("# Nothing"):
                    self.assertEqual(answer, [])
                    continue
                series = collections.Counter(labels.get("hw_vendor") for labels, _ in answer)
                self.assertEqual(set(series), {"nvidia", "amd", "intel"}, answer)
                if "reason" not in query:  # makers have reasons of their own
                    self.assertEqual(len(set(series.values())), 1, f"boards of one maker have more series: {series}")
                for labels, value in answer:
                    self.assertEqual(value, value, f"not a number: {labels}")


if __name__ == "__main__":
    main(400)
