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
    CONFIG = ""

    @classmethod
    def setUpClass(cls):
        if have("prometheus") is None:
            raise unittest.SkipTest("prometheus is not installed")
        cls.agent = Agent(simulate=cls.SCENARIO, config=cls.CONFIG)
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


def documented_queries(name):
    text = (SOURCE / "docs" / name).read_text()
    return [query.strip() for query in re.findall(r"```promql\n(.*?)```", text, re.DOTALL)]


class OneQueryForEveryMaker(Scraped):
    """docs/queries.md, typed as written: each of its queries has an answer from every maker's boards."""

    SCENARIO = "mixed"

    def test_every_documented_query(self):
        queries = documented_queries("queries.md")
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


class DcgmNames(Scraped):
    """docs/dcgm.md: dashboards and rules that were written for dcgm-exporter, typed as they are."""

    SCENARIO = "h100x8"
    CONFIG = '[exposition]\nvocabularies = ["otel", "dcgm"]\n'

    def test_every_documented_query(self):
        queries = documented_queries("dcgm.md")
        self.assertGreaterEqual(len(queries), 20)
        for query in queries:
            with self.subTest(query=query):
                answer = self.query(query)
                if query.startswith("# Nothing"):
                    self.assertEqual(answer, [])
                    continue
                one = re.match(r"(avg|sum)\(", query)
                self.assertEqual(len(answer), 1 if one else 8, answer)
                for labels, value in answer:
                    self.assertEqual(value, value, f"not a number: {labels}")
                    self.assertGreaterEqual(value, 0)

    def test_every_default_counter_but_the_license(self):
        names = set(self.api("/api/v1/label/__name__/values"))
        for name in """SM_CLOCK MEM_CLOCK MEMORY_TEMP GPU_TEMP POWER_USAGE TOTAL_ENERGY_CONSUMPTION PCIE_REPLAY_COUNTER GPU_UTIL
                MEM_COPY_UTIL ENC_UTIL DEC_UTIL XID_ERRORS FB_FREE FB_USED FB_RESERVED NVLINK_BANDWIDTH_TOTAL
                UNCORRECTABLE_REMAPPED_ROWS CORRECTABLE_REMAPPED_ROWS ROW_REMAP_FAILURE""".split():
            self.assertIn("DCGM_FI_DEV_" + name, names)
        for name in "GR_ENGINE_ACTIVE PIPE_TENSOR_ACTIVE DRAM_ACTIVE PCIE_TX_BYTES PCIE_RX_BYTES".split():
            self.assertIn("DCGM_FI_PROF_" + name, names)

    def test_both_vocabularies_say_the_same(self):
        for dcgm, otel, factor in (("DCGM_FI_DEV_GPU_UTIL", 'hw_gpu_utilization_ratio{hw_gpu_task="general"}', 100),
                                   ("DCGM_FI_DEV_FB_USED", "hw_gpu_memory_usage_bytes", 1 / 1048576),
                                   ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "hw_energy_joules_total", 1000)):
            # In one query, so that both are of one scrape.
            answer = self.query(f"abs(label_replace({dcgm}, 'hw_id', '$1', 'UUID', '(.*)')"
                                f" - on (hw_id) {otel} * {factor})")
            self.assertEqual(len(answer), 8, dcgm)
            for labels, difference in answer:
                self.assertLess(difference, 1e-3, (dcgm, labels))

    def test_labels(self):
        for labels, _ in self.query("DCGM_FI_DEV_GPU_TEMP"):
            self.assertRegex(labels["pci_bus_id"], r"^[0-9A-F]{8}:[0-9A-F]{2}:[0-9A-F]{2}\.0$")
            self.assertRegex(labels["UUID"], "^GPU-")
            self.assertEqual(labels["device"], "nvidia" + labels["gpu"])
            self.assertIn("H100", labels["modelName"])
            self.assertTrue(labels["Hostname"])
            self.assertTrue(labels["DCGM_FI_DRIVER_VERSION"])

    def test_types(self):
        metadata = {entry["metric"]: entry["type"] for entry in self.api(
            "/api/v1/targets/metadata", match_target='{job="accelmon"}')}
        self.assertEqual(metadata["DCGM_FI_DEV_GPU_UTIL"], "gauge")
        self.assertEqual(metadata["DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL"], "gauge")
        self.assertEqual(metadata["DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"], self.COUNTER)

    COUNTER = "unknown"  # as OpenMetrics has it


class DcgmNamesByProtobuf(DcgmNames):
    FLAGS = ["--enable-feature=native-histograms"]
    COUNTER = "counter"


class DcgmNamesOfEveryMaker(Scraped):
    """A dashboard for NVIDIA's exporter shows a mixed fleet."""

    SCENARIO = "mixed"
    CONFIG = '[exposition]\nvocabularies = ["dcgm"]\n'

    def test_boards_of_every_maker(self):
        self.assertEqual(self.query("hw_gpu_utilization_ratio"), [], "no other vocabulary")
        for name in ("DEV_GPU_TEMP", "DEV_POWER_USAGE", "DEV_SM_CLOCK", "DEV_GPU_UTIL", "DEV_FB_USED", "DEV_FB_FREE",
                     "PROF_GR_ENGINE_ACTIVE", "DEV_TOTAL_ENERGY_CONSUMPTION"):
            with self.subTest(name=name):
                answer = self.query("DCGM_FI_" + name)
                makers = collections.Counter(re.sub(r"[0-9]+$", "", labels["device"]) for labels, _ in answer)
                self.assertEqual(set(makers), {"nvidia", "amd", "intel"}, answer)


if __name__ == "__main__":
    main(400)
