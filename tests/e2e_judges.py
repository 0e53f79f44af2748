#!/usr/bin/env python3
"""Other people's parsers read the page: Prometheus' Python client, promtool, curl."""
import subprocess
import unittest

from agent_fixture import OPENMETRICS, TEXT, Agent, have, main, wait_for

try:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
    from prometheus_client.parser import text_string_to_metric_families as parse_text
except ImportError:
    parse_text = parse_openmetrics = None


class Judges(unittest.TestCase):
    SCENARIO = "h100x8"

    @classmethod
    def setUpClass(cls):
        cls.agent = Agent(simulate=cls.SCENARIO)
        cls.addClassCleanup(cls.agent.end)
        wait_for("the windows to fill", lambda: cls.agent.page().values("accelmon_gpu_utilization_window_ratio"))

    def check_families(self, families):
        names = [family.name for family in families]
        self.assertEqual(len(names), len(set(names)), "a family stands twice")
        samples = [(sample.name, tuple(sorted(sample.labels.items())))
                   for family in families for sample in family.samples]
        self.assertEqual(len(samples), len(set(samples)), "a sample stands twice")
        self.assertGreaterEqual(sum(1 for _, labels in samples if "gpu" in dict(labels)), 250)
        for family in families:
            self.assertTrue(family.documentation, f"{family.name} has no HELP")
            self.assertNotIn(family.type, ("unknown", "untyped"), family.name)
            self.assertTrue(family.samples, f"{family.name} has a header and no samples")
        return {family.name: family for family in families}

    @unittest.skipIf(parse_text is None, "python3-prometheus-client is not installed")
    def test_client_parses_text(self):
        families = self.check_families(list(parse_text(self.agent.get("/metrics", accept=TEXT).text)))
        self.assertEqual(families["hw_gpu_utilization_ratio"].type, "gauge")
        self.assertEqual(families["hw_energy_joules"].type, "counter")

    @unittest.skipIf(parse_openmetrics is None, "python3-prometheus-client is not installed")
    def test_client_parses_openmetrics(self):
        # This parser refuses what the format forbids: units that do not match, families in pieces, a missing EOF.
        families = self.check_families(list(parse_openmetrics(self.agent.get("/metrics", accept=OPENMETRICS).text)))
        self.assertEqual(families["hw_energy_joules"].type, "counter")
        self.assertEqual(families["hw_energy_joules"].unit, "joules")
        self.assertEqual(families["hw_gpu_memory_usage_bytes"].unit, "bytes")
        self.assertEqual(families["accelmon_device"].type, "info")

    @unittest.skipIf(parse_text is None, "python3-prometheus-client is not installed")
    def test_both_formats_say_the_same(self):
        def constant(families):
            return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value
                    for family in families for sample in family.samples if "limit" in sample.name}

        text = constant(parse_text(self.agent.get("/metrics", accept=TEXT).text))
        openmetrics = constant(parse_openmetrics(self.agent.get("/metrics", accept=OPENMETRICS).text))
        self.assertGreater(len(text), 16)
        self.assertEqual(text, openmetrics)

    @unittest.skipUnless(have("promtool"), "promtool is not installed")
    def test_promtool_has_nothing_to_say(self):
        page = self.agent.get("/metrics", accept=TEXT).raw
        done = subprocess.run([have("promtool"), "check", "metrics"], input=page, capture_output=True, timeout=60,
                              check=False)
        self.assertEqual((done.returncode, done.stderr.decode()), (0, ""))

    @unittest.skipUnless(have("curl"), "curl is not installed")
    def test_curl_reads_it(self):
        url = f"http://127.0.0.1:{self.agent.port}"
        # Twice over one connection, compressed, with the failure of either being the failure of both.
        done = subprocess.run([have("curl"), "-sS", "--fail", "--compressed", "--max-time", "20", "--write-out",
                               "%{num_connects} ", "-o", "/dev/null", "-o", "/dev/null", f"{url}/metrics",
                               f"{url}/metrics"], capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.decode().split(), ["1", "0"])
        done = subprocess.run([have("curl"), "-sS", "--fail", "--max-time", "20", "--unix-socket", self.agent.socket,
                               "http://local/api/v1/status"], capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)


class MixedHost(Judges):
    """Boards of three makers on one page."""

    SCENARIO = "mixed"

    def test_all_makers_are_there(self):
        vendors = {labels["hw_vendor"] for _, labels, _ in self.agent.page().samples if labels.get("hw_type") == "gpu"}
        self.assertEqual(vendors, {"nvidia", "amd", "intel"})


if __name__ == "__main__":
    main(160)
