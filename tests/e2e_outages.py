#!/usr/bin/env python3
"""Far ends that are away, broken, busy, slow or picky, and an agent that is killed meanwhile: nothing is lost.

Each fault has a receiver of its own, all at the same time. A file that takes everything says what was polled."""
import base64
import collections
import json
import os
import pathlib
import signal
import tempfile
import threading
import time
import unittest

import receivers
from agent_fixture import PATIENCE, Agent, free_port, main, wait_for

OUTAGE = 20  # seconds
POLL_MS = 200
ONLY = 'only = ["hw.energy", "hw.power"]\n'


class Recorder:
    """A receiver of remote write with a fault that can be mended."""

    # What the state of an exporter says while the fault lasts.
    SAYS = {"down": "onnect", "fails": "HTTP 500", "busy": "HTTP 429", "unavailable": "HTTP 503", "closes": "",
            "resets": "", "hangs": "timed out", "half": "", "cut": "70 bytes", "lies": "30 out of 100 bytes",
            "redirects": "HTTP 307", "password": "HTTP 401: who are you?", "token": "HTTP 403: not you"}
    # What it takes to be let in, where that is the fault, and what it is sent at first.
    CREDENTIALS = {"password": ('username = "somebody"\npassword_file = ', "right-EXAMPLE", "wrong-EXAMPLE"),
                   "token": ("bearer_token_file = ", "right-EXAMPLE-token", "wrong-EXAMPLE-token")}

    def __init__(self, fault, folder):
        self.fault = fault
        self.more = ""
        self.secret = folder / fault
        if fault in self.CREDENTIALS:
            key, _, wrong = self.CREDENTIALS[fault]
            self.more = f'{key}"{self.secret}"\n'
            self.secret.write_text(wrong + "\n")
        self.broken = fault != "picky"
        self.mended = threading.Event()
        self.arrived = []  # (series, ms, value), as they came
        self.tries = 0
        self.tries_at = []
        self.lock = threading.Lock()
        self.port = free_port()
        self.sink = None if fault == "down" else self.listen()

    def listen(self):
        return receivers.HttpSink(self.answer, self.port, before=self.resets)

    def resets(self, _):
        if not self.broken or self.fault != "resets":
            return False
        self.tries += 1
        self.tries_at.append(time.monotonic())
        return True

    def stranger(self, request):
        """Who sends the wrong password or token is one for good: it is for the user to mend it."""
        _, right, _ = self.CREDENTIALS[self.fault]
        told = request.headers.get("authorization", "")
        return told not in (f"Bearer {right}", "Basic " + base64.b64encode(f"somebody:{right}".encode()).decode())

    @staticmethod
    def thirty_of_a_hundred(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + 30 * b"x")
        handler.wfile.flush()

    def lie(self, handler):
        """The rest never comes, and neither does the end."""
        self.thirty_of_a_hundred(handler)
        self.mended.wait(OUTAGE)

    def answer(self, request):
        self.tries += 1
        self.tries_at.append(time.monotonic())
        if self.broken:
            if self.fault == "fails":
                return 500, {}, b"out of order"
            if self.fault == "busy":
                return 429, {"Retry-After": "2"}, b"too many samples"
            if self.fault == "unavailable":
                return 503, {}, b"come back later"
            if self.fault == "closes":
                return None
            if self.fault == "half":
                return lambda handler: handler.wfile.write(b"HTTP/1.1 20")
            if self.fault == "cut":
                return self.thirty_of_a_hundred
            if self.fault == "lies":
                return self.lie
            if self.fault == "hangs":
                self.mended.wait(OUTAGE)
                return None
            if self.fault == "redirects":
                return 307, {"Location": f"http://127.0.0.1:{self.port}/elsewhere"}, b""
        if self.fault in self.CREDENTIALS and self.stranger(request):
            return (401, {}, b"who are you?") if self.fault == "password" else (403, {}, b"not you")
        samples = receivers.written(request.raw)
        if self.fault == "picky" and any(dict(labels)["__name__"] == "hw_energy_joules_total" and
                                         dict(labels)["gpu"] == "3" for labels, _, _ in samples):
            return 400, {}, b"I do not like that series"
        with self.lock:
            self.arrived += samples
        return 204, {}, b""

    def mend(self):
        self.broken = False
        self.mended.set()
        if self.fault in self.CREDENTIALS:
            self.secret.write_text(self.CREDENTIALS[self.fault][1] + "\n")
        if self.sink is None:
            self.sink = self.listen()

    def newest(self):
        with self.lock:
            return max((at for _, at, _ in self.arrived[-100:]), default=0)

    def series(self):
        found = collections.defaultdict(list)
        with self.lock:
            for labels, at, value in self.arrived:
                found[labels - {("job", "accelmon"), ("instance", os.uname().nodename)}].append((at, value))
        return found

    def end(self):
        if self.sink:
            self.mended.set()
            self.sink.end()


@unittest.skipUnless(receivers.proto("remote"), "no protoc or python3-protobuf: remote write has no judge")
class Outages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="accelmon-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.recorders = {}
        for fault in [*Recorder.SAYS, "picky"]:
            cls.recorders[fault] = Recorder(fault, cls.folder)
            cls.addClassCleanup(cls.recorders[fault].end)
        config = f'[store]\npath = "{cls.folder}/history.db"\ncommit = "100ms"\n'
        for name, recorder in cls.recorders.items():
            config += (f'[exporters.{name}]\ntype = "remote_write"\nurl = "http://127.0.0.1:{recorder.port}/write"\n'
                       f'interval = "1s"\nevery_poll = true\ntimeout = "1s"\n{ONLY}{recorder.more}')
        config += (f'[exporters.file]\ntype = "json_lines"\npath = "{cls.folder}/polls.jsonl"\ninterval = "1s"\n'
                   f'every_poll = true\n{ONLY}')

        def start():
            agent = Agent(simulate="h100x8", poll=f"{POLL_MS}ms", config=config)
            cls.addClassCleanup(agent.end)
            return agent
        agent = start()
        began = time.monotonic()
        wait_for("every fault to be met", lambda: all(
            one["requests_failed"] >= 2 for one in agent.status()["exporters"] if one["name"] in Recorder.SAYS))
        cls.before_kill = {one["name"]: one for one in agent.status()["exporters"]}
        cls.page = agent.page()
        cls.killed_at = time.time()
        agent.signal(signal.SIGKILL)
        agent.process.wait(PATIENCE)
        agent = start()
        time.sleep(max(0, began + OUTAGE - time.monotonic()))
        cls.during = {one["name"]: one for one in agent.status()["exporters"]}
        for recorder in cls.recorders.values():
            recorder.mend()
        wait_for("everything to have arrived", lambda: all(
            one["state"] == "ok" and one["behind_polls"] < 20 for one in agent.status()["exporters"]), max(60, PATIENCE))
        # The last polls before the end may wait for the next start: nobody gets more than a second for them.
        cls.whole_until = time.time() * 1000
        wait_for("a later poll to have arrived everywhere", lambda: all(
            recorder.newest() > cls.whole_until for recorder in cls.recorders.values()))
        cls.after = {one["name"]: one for one in agent.status()["exporters"]}
        cls.log = agent.log()
        assert agent.end() == 0
        cls.truth = collections.defaultdict(dict)
        cls.rows = collections.Counter()
        for line in (cls.folder / "polls.jsonl").read_text().splitlines():
            row = json.loads(line)
            for metric in row["metrics"]:
                key = (metric["name"], row["device"]["hw.id"], tuple(sorted(metric.get("attributes", {}).items())))
                cls.truth[key][round(row["timestamp"] * 1000)] = metric["value"]
                cls.rows[key, round(row["timestamp"] * 1000)] += 1

    def around_the_kill(self, at):
        """What was polled in the last moment may have been neither on the disk nor sent yet."""
        return self.killed_at * 1000 - 1500 <= at <= self.killed_at * 1000 + 500

    def key_of(self, labels):
        labels = dict(labels)
        name = {"hw_energy_joules_total": "hw.energy", "hw_power_watts": "hw.power"}[labels.pop("__name__")]
        hw_id = labels.pop("hw_id")
        for one in ("hw_type", "gpu", "hw_vendor"):
            del labels[one]
        return name, hw_id, tuple(sorted((key.replace("accelmon_power_", "accelmon.power."), value)
                                         for key, value in labels.items()))

    def test_the_file_has_every_poll(self):
        self.assertGreaterEqual(len(self.truth), 16)
        for key, values in self.truth.items():
            times = sorted(values)
            self.assertGreater(len(times), 50)
            again = [at for at in times if self.rows[key, at] > 1]
            # A turn that was sent and not committed: a second and a half of polls, in a row.
            self.assertTrue(all(self.killed_at * 1000 - 2500 <= at <= self.killed_at * 1000 for at in again), again)
            if PATIENCE > 30:
                continue
            jumps = [(a, b) for a, b in zip(times, times[1:]) if b - a > 20 * POLL_MS and not self.around_the_kill(a)]
            self.assertEqual(jumps, [])

    def check(self, name, left_out=lambda key: False):
        found = {self.key_of(labels): values for labels, values in self.recorders[name].series().items()}
        wanted = {key: values for key, values in self.truth.items() if not left_out(key)}
        self.assertEqual(set(found), set(wanted))
        for key, values in found.items():
            times = [at for at, _ in values]
            backwards = [(a, b) for a, b in zip(times, times[1:]) if b <= a]
            self.assertLessEqual(len(backwards), 1, f"{key}: more than one repeat: {backwards}")
            if backwards:
                self.assertLessEqual(backwards[0][0], self.killed_at * 1000)
            other = [at for at in set(wanted[key]) ^ set(times)
                     if at <= self.whole_until and not self.around_the_kill(at)]
            missing, more = set(other) - set(times), set(other) - set(wanted[key])
            self.assertEqual((missing, more), (set(), set()), key)
            for at, value in values:
                if at in wanted[key]:
                    self.assertEqual(value, wanted[key][at])

    def test_nothing_is_lost(self):
        for name in Recorder.SAYS:
            with self.subTest(fault=name):
                self.check(name)
                self.assertEqual((self.after[name]["lost_polls"], self.after[name]["rejected_samples"]), (0, 0))

    def test_one_bad_series_costs_itself_alone(self):
        bad = {key for key in self.truth if key[0] == "hw.energy"}
        mine = {self.key_of(labels) for labels in self.recorders["picky"].series()}
        self.assertEqual(len(bad - mine), 1)
        self.check("picky", lambda key: key in bad - mine)
        state = self.after["picky"]
        self.assertGreater(state["rejected_samples"], 20)
        # Those of one series since the second start, and none of another.
        since = [at for at in self.truth[next(iter(bad - mine))] if at >= self.killed_at * 1000 - 2500]
        self.assertLessEqual(state["rejected_samples"], len(since))
        self.assertIn("refused: HTTP 400: I do not like that series", self.log)

    def test_states_tell(self):
        for name, says in Recorder.SAYS.items():
            for state in (self.before_kill[name], self.during[name]):
                self.assertEqual(state["state"], "waiting", state)
                self.assertIn(says, state["message"], name)
                self.assertTrue(state["message"], name)
                self.assertGreater(state["behind_polls"], 0, name)
                self.assertIn("next_try", state)
            self.assertEqual(self.page.value("accelmon_exporter_up", exporter=name), 0)
            self.assertEqual(self.page.value("accelmon_exporter_status", exporter=name, exporter_state="waiting"), 1)
            self.assertEqual(sum(self.page.values("accelmon_exporter_status", exporter=name)), 1)
            self.assertGreater(self.page.value("accelmon_exporter_behind", exporter=name), 0)
            self.assertIn(f"exporter {name}: waiting: ", self.log)
            self.assertEqual(self.log.count(f"exporter {name}: waiting: "), 1, "said once, not at every try")
            self.assertEqual((self.after[name]["state"], self.after[name]["message"]), ("ok", ""))
        self.assertEqual(self.page.value("accelmon_exporter_up", exporter="file"), 1)
        self.assertNotIn("EXAMPLE", self.log)
        self.assertEqual(self.during["file"]["state"], "ok")
        self.assertEqual(self.during["file"]["requests_failed"], 0)
        self.assertLess(self.during["file"]["behind_polls"], 40)

    def test_pauses_are_kept(self):
        busy = self.recorders["busy"].tries_at
        self.assertGreaterEqual(len(busy), 4)
        # But for the one over which it was killed.
        short = [b - a for a, b in zip(busy[:4], busy[1:4]) if b - a < 1.9]
        self.assertLessEqual(len(short), 1, busy)
        for name in ("fails", "closes", "redirects", "unavailable", "resets", "half", "cut", "lies", "password"):
            tries = self.recorders[name].tries_at
            self.assertGreaterEqual(len(tries), 4)


if __name__ == "__main__":
    main(170)
