#!/usr/bin/env python3
"""A real Prometheus and a real VictoriaMetrics scrape one agent and are pushed to by it, all at once: the four must
tell the same."""
import unittest

import receivers
from agent_fixture import Agent, have, main, wait_for

# What the servers themselves say of a scrape.
OWN = ("up", "scrape_")
# Rewritten with every page: of the agent's last poll in what is pushed, of the moment in what is scraped.
OF_THE_MOMENT = ("accelmon_agent_", "accelmon_collector_", "accelmon_exporter_", "accelmon_history_", "process_",
                 "target_info")


def series_of(receiver, job):
    """{labels without job and instance: {milliseconds: value}}"""
    found = {}
    for labels, samples in receiver.samples(f'{{job="{job}"}}').items():
        name = dict(labels)["__name__"]
        if not name.startswith(OWN):
            found[frozenset(pair for pair in labels if pair[0] not in ("job", "instance"))] = dict(samples)
    return found


def name_of(labels):
    return dict(labels)["__name__"]


@unittest.skipUnless(have("prometheus") and have("victoria-metrics"), "Prometheus or VictoriaMetrics is not installed")
class Scrapes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        port = receivers.free_port()
        cls.prometheus = receivers.Prometheus(scrapes=port)
        cls.addClassCleanup(cls.prometheus.end)
        cls.vm = receivers.VictoriaMetrics(scrapes=port)
        cls.addClassCleanup(cls.vm.end)
        # One source a device: where an earlier one takes over, the page shows a poll of it that is not handed on.
        config = "[collectors.intel_kernel]\nenabled = false\n"
        config += "".join(f'[exporters.{name}]\ntype = "remote_write"\nurl = "{server.write_url}"\n'
                          'labels = ["job=pushed", "instance=one"]\ninterval = "1s"\nevery_poll = true\n'
                          for name, server in (("prometheus", cls.prometheus), ("victoria", cls.vm)))
        cls.agent = Agent(simulate="mixed", poll="500ms", address=f"127.0.0.1:{port}", config=config)
        cls.addClassCleanup(cls.agent.end)
        for server in (cls.prometheus, cls.vm):
            wait_for("eight scrapes", lambda: any(len(values) >= 8 for values in  # pylint: disable=cell-var-from-loop
                                                  server.samples('up{job="scraped"}').values()), 60)
        assert cls.agent.end() == 0
        cls.scraped = [series_of(server, "scraped") for server in (cls.prometheus, cls.vm)]
        cls.pushed = [series_of(server, "pushed") for server in (cls.prometheus, cls.vm)]

    def same_series(self, one, other):
        # A poll at either end may have been seen by one alone; what stood for three scrapes must be at both.
        for first, second in ((one, other), (other, one)):
            lasting = {labels for labels, samples in first.items() if len(samples) >= 3}
            self.assertEqual(sorted(map(str, lasting - set(second)))[:3], [])

    def test_both_scrape_the_same_series(self):
        self.assertGreater(len(self.scraped[0]), 900)
        self.same_series(*self.scraped)

    def test_both_were_pushed_the_same_samples(self):
        self.same_series(*self.pushed)
        agreed = 0
        for labels, samples in self.pushed[0].items():
            theirs = self.pushed[1].get(labels, {})
            for at in samples.keys() & theirs.keys():
                # VictoriaMetrics keeps decimals of some twelve digits.
                self.assertAlmostEqual(samples[at], theirs[at], delta=1e-11 * abs(samples[at]), msg=str((labels, at)))
                agreed += 1
        self.assertGreater(agreed, 0.9 * sum(map(len, self.pushed[0].values())))
        print(f"pushed: {len(self.pushed[0])} series, {agreed} samples the same at both")

    def test_what_was_scraped_is_what_was_pushed(self):
        for which, server in enumerate(("Prometheus", "VictoriaMetrics")):
            agreed = 0
            for labels, samples in self.scraped[which].items():
                if name_of(labels).startswith(OF_THE_MOMENT) or labels not in self.pushed[0]:
                    continue
                polls = self.pushed[0][labels]
                for at, value in samples.items():
                    if at < min(polls) + 1000:  # the page may be scraped before the first poll is handed on
                        continue
                    near = [polls[t] for t in polls if at - 4000 <= t <= at]
                    self.assertTrue(any(abs(value - one) <= 1e-11 * abs(one) for one in near),
                                    (server, labels, at, value, near))
                    agreed += 1
            self.assertGreater(agreed, 4000)
            print(f"{server}: {agreed} scraped samples are those of a poll that was pushed")


if __name__ == "__main__":
    main()
