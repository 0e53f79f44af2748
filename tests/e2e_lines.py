#!/usr/bin/env python3
"""The line encoders before real receivers: carbon-cache and InfluxDB take the lines, and give the same numbers back.

What the numbers are is told by the JSON lines of the same snapshot, which Python's own parser reads."""
import collections
import datetime
import http.client
import json
import os
import re
import socket
import subprocess
import time
import unittest
import urllib.parse

import receivers
from agent_fixture import PATIENCE, have, main, wait_for

TOOL = os.environ.get("ENCODE_LINES", "build/debug/bin/encode_lines")
NOW = int(time.time())


def encode(form):
    return subprocess.run([TOOL, form, str(NOW)], capture_output=True, timeout=PATIENCE, check=True).stdout.decode()


def rows():
    """(device or None, metric, attributes, value) of every sample, from the JSON lines."""
    for line in encode("json").splitlines():
        row = json.loads(line)
        yield from ((row.get("device"), metric["name"], metric.get("attributes", {}), metric["value"])
                    for metric in row["metrics"])


class JsonLines(unittest.TestCase):
    def test_rows(self):
        samples = list(rows())
        self.assertGreater(len(samples), 150)
        self.assertTrue(all(isinstance(value, (int, float)) for *_, value in samples))
        first = json.loads(encode("json").splitlines()[0])
        self.assertEqual(first["timestamp"], NOW)
        self.assertEqual(datetime.datetime.strptime(first["time"], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp(), NOW)

    @unittest.skipUnless(have("jq"), "no jq")
    def test_jq(self):
        done = subprocess.run([have("jq"), "-c", 'select(.device."hw.id" == "GPU-0") | .metrics[] | '
                               'select(.name == "hw.power") | .value'],
                              input=encode("json"), capture_output=True, text=True, timeout=PATIENCE, check=True)
        wanted = [value for device, name, _, value in rows()
                  if name == "hw.power" and device and device["hw.id"] == "GPU-0"]
        self.assertEqual([float(line) for line in done.stdout.split()], wanted)


@unittest.skipUnless(have("carbon-cache"), "no carbon-cache (graphite-carbon): Graphite's lines have no judge")
class Carbon(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not receivers.Carbon.works():
            raise unittest.SkipTest("carbon-cache lacks its Python packages (python3-twisted, python3-whisper)")
        cls.server = receivers.Carbon()
        cls.addClassCleanup(cls.server.end)
        cls.folder = cls.server.folder

    def send(self, text):
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=PATIENCE) as connection:
            connection.sendall(text.encode())

    def stored(self, files):
        """What carbon wrote: {file: value at NOW}."""
        code = ("import json, sys, whisper\n"
                "out = {}\n"
                "for path in json.load(sys.stdin):\n"
                "    (begin, _, step), values = whisper.fetch(path, %d - 1, %d)\n"
                "    out[path] = [v for v in values if v is not None]\n"
                "print(json.dumps(out))" % (NOW, NOW + 1))
        done = subprocess.run([receivers.PYTHON, "-c", code], input=json.dumps([str(path) for path in files]),
                              capture_output=True, text=True, env={**os.environ, **self.server.env}, timeout=PATIENCE, check=True)
        return json.loads(done.stdout)

    def refusals(self):
        # Debian's carbon logs to the given folder.
        said = "".join(path.read_text(errors="replace") for path in (self.folder / "log").rglob("*.log"))
        return [line for line in (said + self.server.server.log()).splitlines() if "invalid" in line.lower()]

    def test_plain_lines_come_back(self):
        lines = [line.split(" ") for line in encode("graphite").splitlines()]
        self.assertTrue(all(len(words) == 3 for words in lines))
        self.send("".join(" ".join(words) + "\n" for words in lines))
        paths = {self.folder / "whisper" / (words[0].replace(".", "/") + ".wsp"): float(words[1]) for words in lines}
        self.assertEqual(len(paths), len(lines), "two series have one path")
        wait_for("carbon to write all", lambda: all(path.exists() and self.stored([path])[str(path)]
                                                    for path in sorted(paths)[-1:]) and
                 all(path.exists() for path in paths))
        wait_for("the values", lambda: all(self.stored(paths).values()))
        self.assertEqual({path: values[-1] for path, values in self.stored(paths).items()},
                         {str(path): value for path, value in paths.items()})
        # The numbers are those of the snapshot: all but infos, once each.
        wanted = collections.Counter(float(value) for _, name, _, value in rows() if not name.endswith(".info"))
        self.assertEqual(collections.Counter(paths.values()), wanted)
        self.assertEqual(self.refusals(), [])

    def test_tagged_lines_are_series_to_carbon(self):
        text = encode("graphite-tagged")
        code = ("import sys, json\n"
                "from carbon.util import TaggedSeries\n"
                "out = []\n"
                "for line in sys.stdin.buffer.read().decode().split('\\n')[:-1]:\n"
                "    metric, value, stamp = line.strip().split()\n"
                "    series = TaggedSeries.parse(metric)\n"
                "    out.append([series.metric, series.tags, float(value), int(stamp)])\n"
                "print(json.dumps(out))")
        done = subprocess.run([receivers.PYTHON, "-c", code], input=text.encode(), capture_output=True,
                              env={**os.environ, **self.server.env}, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        series = json.loads(done.stdout)
        self.assertEqual(len(series), len(list(rows())))
        self.assertEqual(len({json.dumps(one[:2], sort_keys=True) for one in series}), len(series))
        for (name, tags, value, stamp), (device, metric, attributes, wanted) in zip(
                sorted(series, key=lambda one: (one[2], one[0])),
                sorted(rows(), key=lambda one: (one[3], one[1]))):
            self.assertEqual(stamp, NOW)
            self.assertEqual(value, wanted)
            self.assertEqual(tags["host"], "h1")
            self.assertEqual(tags["cluster"], "a_b")
            if device and device["hw.id"].startswith("GPU"):
                self.assertEqual(tags["hw_id"], device["hw.id"])
        self.send(text)
        wait_for("carbon to store one", lambda: list((self.folder / "whisper/_tagged").rglob("*.wsp"))
                 if (self.folder / "whisper/_tagged").exists() else [])
        wait_for("all of them", lambda: len(list((self.folder / "whisper/_tagged").rglob("*.wsp"))) == len(series))
        self.assertEqual(self.refusals(), [])


@unittest.skipUnless(have("influxd"), "no influxd (influxdb): the line protocol has no judge")
class Influx(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = receivers.InfluxDB("test")
        cls.addClassCleanup(cls.server.end)

    @classmethod
    def request(cls, method, target, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", cls.server.port, timeout=PATIENCE)
        try:
            connection.request(method, target, body=body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def test_lines_come_back(self):
        text = encode("influx")
        status, said = self.request("POST", "/write?db=test&precision=ns", text.encode())
        self.assertEqual((status, said), (204, ""))
        query = urllib.parse.urlencode({"db": "test", "epoch": "ns", "q": "SELECT * FROM accelmon GROUP BY *"})
        status, said = self.request("GET", "/query?" + query)
        self.assertEqual(status, 200)
        found, series = collections.Counter(), 0
        for one in json.loads(said)["results"][0]["series"]:
            series += 1
            self.assertEqual((one["tags"]["host"], one["tags"]["cluster"]), ("h1", "a b"))
            self.assertEqual(len(one["values"]), 1)
            point = dict(zip(one["columns"], one["values"][0]))
            self.assertEqual(point.pop("time"), NOW * 10**9)
            for field, value in point.items():
                if value is not None:
                    found[one["tags"].get("hw_id", ""), field, float(value)] += 1
        self.assertEqual(series, len(text.splitlines()))
        # A number that is a count to InfluxDB has lost its fraction, and no more.
        types = json.loads(self.request("GET", "/query?" + urllib.parse.urlencode(
            {"db": "test", "q": "SHOW FIELD KEYS FROM accelmon"}))[1])["results"][0]["series"][0]["values"]
        types = dict(types)
        vocabulary = {entry["name"]: entry["prometheus"] for entry in self.vocabulary()}
        wanted = collections.Counter()
        for device, metric, _, value in rows():
            field = vocabulary[metric]
            if types[field] == "integer":
                value = float(int(value + 0.5))
            hw_id = device["hw.id"].replace("\\", "/") if device else ""
            wanted[hw_id, field, float(value)] += 1
        self.assertEqual(found, wanted)
        self.assertEqual(types["hw_gpu_memory_usage_bytes"], "integer")
        self.assertEqual(types["hw_energy_joules_total"], "float")

    def vocabulary(self):
        program = os.environ.get("ACCELMON", "build/debug/bin/accelmon")
        done = subprocess.run([program, "metrics", "--format", "json"], capture_output=True, timeout=PATIENCE, check=True)
        return json.loads(done.stdout)["metrics"]


class Statsd(unittest.TestCase):
    """No package of Debian 12 has a StatsD server that tells what it took: the grammar, as its documents have it."""

    def check(self, form, expression):
        datagrams = encode(form).split("\n\n")[:-1]
        self.assertGreater(len(datagrams), 1)
        numbers = []
        for datagram in datagrams:
            self.assertLessEqual(len(datagram.encode()), 1432)
            for line in datagram.split("\n"):
                match = re.fullmatch(expression, line)
                self.assertTrue(match, line)
                numbers.append(float(match.group(1)))
        return numbers

    def test_plain(self):
        numbers = self.check("statsd", r"[A-Za-z0-9_.-]+:(-?[0-9.e+-]+)\|g")
        gauges = collections.Counter(numbers) - collections.Counter([0.0])
        kinds = {entry["name"]: entry["kind"] for entry in Influx.vocabulary(self)}
        wanted = collections.Counter(float(value) for _, name, _, value in rows() if kinds[name] not in ("counter", "info"))
        self.assertEqual(gauges, wanted - collections.Counter([0.0]))

    def test_tags(self):
        self.check("dogstatsd", r"[a-z0-9_.]+:(-?[0-9.e+-]+)\|g\|#[^|\n,#]+:[^|\n,#]*(?:,[^|\n,#]+:[^|\n,#]*)*")


if __name__ == "__main__":
    main(240)
