#!/usr/bin/env python3
"""A wall clock that is set back a little, forward by an hour, and back again, while exporters are at work.

A preloaded library moves the clock of the agent and its collectors. The agent's own file, which takes everything, says
what was read; of it a receiver of remote write must get every sample in order, but for those that it could only refuse:
what was read until the clock had passed where it was. Those are counted and told."""
import collections
import json
import mmap
import os
import pathlib
import struct
import tempfile
import unittest

import receivers
from agent_fixture import Agent, main, wait_for

LITTLE = 10_000  # milliseconds that a clock may be set back by without being believed at once


@unittest.skipUnless(receivers.proto("remote"), "no protoc or python3-protobuf: remote write has no judge")
@unittest.skipUnless(os.environ.get("JUMPING_CLOCK"), "JUMPING_CLOCK does not say where the library is")
class ClockJumps(unittest.TestCase):
    def jump(self, seconds):
        self.offset[:8] = struct.pack("=q", seconds * 1_000_000_000)

    def state(self, name):
        return next(one for one in self.agent.status()["exporters"] if one["name"] == name)

    def newest(self):
        return max((at for _, at, _ in self.arrived), default=0)

    def new_samples(self, what, condition=lambda at: True):
        """Waits for a sample of that kind to arrive from now on."""
        seen = len(self.arrived)
        wait_for(what, lambda: any(condition(at) for _, at, _ in self.arrived[seen:]))
        states = {one["name"]: one for one in self.agent.status()["exporters"]}
        self.assertEqual({one["state"] for one in states.values()}, {"ok"}, states)
        self.assertEqual({(one["requests_failed"], one["rejected_samples"], one["lost_polls"])
                          for one in states.values()}, {(0, 0, 0)})

    def test_every_jump(self):
        folder = tempfile.TemporaryDirectory(prefix="accelmon-test-")
        self.addCleanup(folder.cleanup)
        path = pathlib.Path(folder.name)
        with open(path / "offset", "w+b") as file:
            file.write(bytes(8))
            file.flush()
            self.offset = mmap.mmap(file.fileno(), 8)
        self.addCleanup(self.offset.close)
        self.arrived = []

        def take(request):
            self.arrived.extend(receivers.written(request.raw))
            return 204, {}, b""
        sink = receivers.HttpSink(take)
        self.addCleanup(sink.end)
        section = 'interval = "500ms"\nevery_poll = true\nonly = ["hw.energy", "hw.power"]\n'
        config = (f'[store]\npath = "{path}/history.db"\ncommit = "100ms"\n'
                  f'[exporters.write]\ntype = "remote_write"\nurl = "{sink.url("/api/v1/write")}"\n{section}'
                  f'[exporters.file]\ntype = "json_lines"\npath = "{path}/polls.jsonl"\n{section}')
        self.agent = Agent(simulate="t4", config=config, env={"LD_PRELOAD": os.environ["JUMPING_CLOCK"],
                                                              "ACCELMON_CLOCK_OFFSET": str(path / "offset")})
        self.addCleanup(self.agent.end)
        wait_for("both to have begun", lambda: {one["state"] for one in self.agent.status()["exporters"]} == {"ok"})
        self.new_samples("the first samples")
        self.assertEqual(self.state("write")["late_samples"], 0)

        self.jump(-3)
        wait_for("samples to be left out", lambda: self.state("write")["late_samples"] > 10)
        state = self.state("write")
        self.assertRegex(state["message"], r"\A\d+ samples were left out: the clock was set back\Z")
        self.assertEqual((state["state"], state["rejected_samples"]), ("ok", 0))
        self.assertEqual((self.state("file")["message"], self.state("file")["late_samples"]), ("", 0))
        wait_for("the page to say so", lambda: self.agent.page().value(
            "accelmon_exporter_late_total", exporter="write") > 10)
        page = self.agent.page()
        self.assertEqual(page.value("accelmon_exporter_late_total", exporter="file"), 0)
        self.assertEqual(page.value("accelmon_exporter_up", exporter="write"), 1)
        before = self.newest()
        self.new_samples("the clock to have passed where it was", lambda at: at > before)
        wait_for("the state to be as before", lambda: self.state("write")["message"] == "")

        self.jump(3600)
        before = self.newest()
        self.new_samples("samples of an hour ahead", lambda at: at > before + 3_500_000)
        self.jump(0)
        self.new_samples("samples of an hour before", lambda at: at < before + 60_000)
        late = self.state("write")["late_samples"]
        self.assertEqual(self.agent.log().count("samples were left out"), 1, "said once")
        self.assertEqual(self.agent.end(), 0)

        rows = collections.defaultdict(list)
        for line in (path / "polls.jsonl").read_text().splitlines():
            row = json.loads(line)
            for metric in row["metrics"]:
                rows[metric["name"], row["device"]["hw.id"], str(metric.get("attributes"))].append(
                    (round(row["timestamp"] * 1000), metric["value"]))
        self.assertGreaterEqual(len(rows), 2)
        wanted, left_out = [], 0
        for points in rows.values():
            kept = []
            for at, value in points:
                if kept and kept[-1][0] - LITTLE <= at <= kept[-1][0]:
                    left_out += 1
                else:
                    kept.append((at, value))
            wanted.append(kept)
        found = collections.defaultdict(list)
        for labels, at, value in self.arrived:
            found[labels].append((at, value))
        self.assertEqual(sorted(found.values()), sorted(wanted))
        self.assertEqual(late, left_out)


if __name__ == "__main__":
    main(100)
