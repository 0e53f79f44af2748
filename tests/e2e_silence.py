#!/usr/bin/env python3
"""A source falls silent: whoever was sent its readings is told of their end, and does not go on believing the last."""
import json
import os
import signal
import time
import unittest

import receivers
from agent_fixture import Agent, have, main, wait_for

SERIES = "hw_temperature_celsius"


def current(port, selector):
    """What Prometheus says is so now: empty where a series has ended."""
    status, body = receivers.http_get(port, "/api/v1/query", query=selector)
    if status != 200:
        raise AssertionError(f"Prometheus answers {status}: {body[:500]}")
    return [float(one["value"][1]) for one in json.loads(body)["data"]["result"]]


class Silence(unittest.TestCase):
    def start(self, exporter, extra=""):
        self.agent = Agent(simulate="t4", poll="200ms", config=f"{extra}\n{exporter}")
        self.addCleanup(self.agent.end)
        wait_for("the device", lambda: self.agent.page().values(SERIES))

    def freeze(self):
        pid = self.agent.collectors()["nvml"]
        os.kill(pid, signal.SIGSTOP)
        # Should a check fail, the process must not stay behind.
        self.addCleanup(lambda: self.agent.collectors().get("nvml") == pid and os.kill(pid, signal.SIGCONT))
        return pid

    @unittest.skipUnless(have("prometheus"), "there is no Prometheus here")
    def test_prometheus_forgets_what_is_no_longer_read(self):
        prometheus = receivers.Prometheus()
        self.addCleanup(prometheus.end)
        self.start(f'[exporters.prometheus]\ntype = "remote_write"\nurl = "{prometheus.write_url}"\n'
                   'interval = "400ms"\nevery_poll = true\n')
        wait_for("samples", lambda: current(prometheus.port, SERIES))
        pid = self.freeze()
        # Without an end a query would go on answering with the last value for five minutes.
        wait_for("the series to end", lambda: not current(prometheus.port, SERIES))
        self.assertTrue(current(prometheus.port, "system_uptime_seconds"), "the host's are still there")
        os.kill(pid, signal.SIGCONT)
        wait_for("the series to be back", lambda: current(prometheus.port, SERIES))

    @unittest.skipUnless(have("prometheus"), "there is no Prometheus here")
    def test_a_killed_collector_ends_its_series_until_it_is_back(self):
        prometheus = receivers.Prometheus()
        self.addCleanup(prometheus.end)
        self.start(f'[exporters.prometheus]\ntype = "remote_write"\nurl = "{prometheus.write_url}"\n'
                   'interval = "400ms"\nevery_poll = true\n')
        wait_for("samples", lambda: current(prometheus.port, SERIES))
        os.kill(self.agent.collectors()["nvml"], signal.SIGKILL)
        wait_for("the series to end", lambda: not current(prometheus.port, SERIES))
        wait_for("the series to be back", lambda: current(prometheus.port, SERIES))

    def test_the_end_is_told_once(self):
        arrived = []

        def answer(request):
            arrived.extend(receivers.markers(request.raw))
            return 204, {}, b""

        sink = receivers.HttpSink(answer)
        self.addCleanup(sink.end)
        self.start(f'[exporters.sink]\ntype = "remote_write"\nurl = "{sink.url()}"\ninterval = "400ms"\n'
                   'every_poll = true\nonly = ["hw.temperature"]\n')
        self.freeze()
        frozen_at = time.time()
        wait_for("the end", lambda: arrived)
        time.sleep(2)  # ten polls' time for more of them
        self.assertEqual(len(arrived), len({labels for labels, _ in arrived}), "each series ends once")
        for _, at in arrived:
            self.assertGreater(at / 1000, frozen_at, "the end comes after the last reading")


if __name__ == "__main__":
    main()
