#!/usr/bin/env python3
"""What needs attention: the endpoint, the verb and the end of `status`, on a host with ill devices and on one without."""
import json
import time
import unittest

from agent_fixture import Agent, main, run, wait_for


class Sick(unittest.TestCase):
    """The scenario whose second GPU falls off the bus after 20 s, and whose third waits for a reset."""

    @classmethod
    def setUpClass(cls):
        cls.agent = Agent(simulate="sick")
        cls.addClassCleanup(cls.agent.end)
        cls.config = ["--config", str(cls.agent.config_path)]
        wait_for("the findings", lambda: {"device_failed", "device_degraded"} <= cls.codes(), 60)

    @classmethod
    def findings(cls, query=""):
        answer = cls.agent.get("/api/v1/findings" + query)
        if answer.status != 200:
            raise AssertionError(answer.text)
        return answer.json()["findings"]

    @classmethod
    def codes(cls):
        return {finding["code"] for finding in cls.findings()}

    def test_the_most_severe_come_first(self):
        found = self.findings()
        order = ["critical", "warning", "info"]
        ranks = [order.index(finding["severity"]) for finding in found]
        self.assertEqual(ranks, sorted(ranks))
        self.assertEqual(len({(one["code"], one["device"], one["subject"]) for one in found}), len(found), "told twice")

    def test_the_lost_device_tells_what_happened_and_what_to_do(self):
        lost, = (one for one in self.findings() if one["code"] == "device_failed")
        self.assertEqual(lost["subject"], "nvidia 1")
        self.assertIn("Xid 79", lost["title"])
        self.assertIn("restart the node", lost["advice"])
        self.assertEqual([one for one in self.findings(f"?device={lost['device']}") if one["device"] != lost["device"]], [])

    def test_since_stays(self):
        def known():
            return {one["code"]: one["since"] for one in self.findings() if one["code"] == "device_degraded"}
        before = known()
        time.sleep(1)
        self.assertEqual(known(), before)

    def test_the_verb_says_the_same_and_ends_with_1(self):
        code, out, err = run(["findings", *self.config])
        self.assertEqual((code, err), (1, ""))
        self.assertIn("Xid 79", out)
        self.assertIn("-> restart the node", out)
        code, out, _ = run(["findings", *self.config, "--format", "json"])
        self.assertEqual(code, 1)
        self.assertIn("device_failed", {finding["code"] for finding in json.loads(out)["findings"]})

    def test_status_counts_them(self):
        _, out, _ = run(["status", *self.config])
        self.assertRegex(out.splitlines()[-1], r"^ \d+ things? needs? attention: accelmon findings$")


class Well(unittest.TestCase):
    """A host with idle and busy devices and nothing wrong."""

    def test_nothing_needs_attention(self):
        with Agent(simulate="l40s") as agent:
            config = ["--config", str(agent.config_path)]
            code, out, err = run(["findings", *config])
            self.assertEqual((code, err), (0, ""), out)
            self.assertNotIn("warning", out)
            self.assertNotIn("critical", out)
            _, out, _ = run(["status", *config])
            self.assertNotIn("attention", out)

    def test_without_an_agent_it_says_so(self):
        code, out, _ = run(["findings", "--simulate", "l40s"])
        self.assertEqual(code, 0, out)
        self.assertIn("no agent running", out)

    def test_wrong_use(self):
        code, _, err = run(["findings", "--format", "yellow"])
        self.assertEqual(code, 2)
        self.assertIn("Known: text, json", err)


if __name__ == "__main__":
    main(150)
