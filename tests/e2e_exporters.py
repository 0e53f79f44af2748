#!/usr/bin/env python3
"""One agent sends to everything at once; every receiver must then hold what was read, and nothing else.

The truth is the agent's own file of JSON lines (every poll, exact numbers), read by Python's parser. It is itself
compared with a real Prometheus that scrapes the page meanwhile: each scraped value must be that of a poll just before
the scrape. Of the others each sample must have an exact twin in the file, at the same time in milliseconds (seconds in
Graphite, none in StatsD), and the other way round: no series and no poll may be missing.
"""
import collections
import json
import math
import pathlib
import re
import subprocess
import tempfile
import time
import unittest

import receivers
from agent_fixture import PATIENCE, PROGRAM, Agent, have, main, wait_for
from aws_judge import check_signature

GAVE_WAY = "remote write 1.0: the receiver took remote write 2.0 and stored nothing"
POLL = "500ms"
REGION, KEY_ID, SECRET = "eu-central-1", "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def label_name(key):
    return re.sub(r"[^a-zA-Z0-9_]", "_", key)


def path_word(text):
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)


def vocabulary():
    done = subprocess.run([PROGRAM, "metrics", "--format", "json"], capture_output=True, timeout=PATIENCE, check=True)
    return {entry["name"]: entry for entry in json.loads(done.stdout)["metrics"]}


class Truth:
    """What the file of JSON lines holds."""

    def __init__(self, files, metrics):
        self.metrics = metrics
        self.series = collections.defaultdict(dict)  # (Prometheus name, labels) -> {ms: value}
        self.paths = {}  # the same -> Graphite's path without the prefix
        self.kinds = {}
        self.sources = {}
        self.open_names = {}  # -> OpenTelemetry name
        self.lines = 0
        for file in files:
            for line in file.read_text().splitlines():
                self.add(json.loads(line))

    def add(self, row):
        self.lines += 1
        at = round(row["timestamp"] * 1000)
        device = row.get("device", {})
        for metric in row["metrics"]:
            entry = self.metrics[metric["name"]]
            attributes = metric.get("attributes", {})
            labels = {label_name(key): value for key, value in {**device, **attributes}.items()}
            key = (entry["prometheus"], frozenset(labels.items()))
            if at in self.series[key]:
                raise AssertionError(f"{key} has two values at {at}")
            self.series[key][at] = float(metric["value"])
            if key not in self.kinds:
                self.kinds[key] = entry["kind"]
                self.sources[key] = row["source"]
                self.open_names[key] = metric["name"]
                where = [path_word(device["hw.type"]), path_word(device["hw.id"])] if device else ["host"]
                self.paths[key] = ".".join(where + [entry["prometheus"]] + [path_word(v) for v in attributes.values()])

    def times(self):
        return sorted({at for values in self.series.values() for at in values})


# Series of the page that are no sample of a poll.
PAGE_ALONE = ("target_info", "up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_series_added",
              "scrape_samples_post_metric_relabeling")


class Everything(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.results = []
        cls.absent = []
        folder = tempfile.TemporaryDirectory(prefix="accelmon-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.sections = [f'[exporters.file]\ntype = "json_lines"\npath = "{cls.folder}/polls.jsonl"\n'
                        'max_bytes = "1MiB"\nkeep = 100\n']

        def add(present, why, make, *sections):
            """Starts a receiver where it is installed, and the exporters that send to it."""
            if not present:
                cls.absent.append(why)
                print(f"SKIPPED: {why} is not installed", flush=True)
                return None
            receiver = make()
            cls.addClassCleanup(receiver.end)
            for name, text in (section(receiver) for section in sections):
                cls.sections.append(f"[exporters.{name}]\n{text}")
            return receiver

        cls.vm = add(have("victoria-metrics"), "victoria-metrics", receivers.VictoriaMetrics,
                     lambda r: ("vm", f'type = "remote_write"\nurl = "{r.write_url}"\nlabels = ["job=vm"]\n'),
                     lambda r: ("vm_influx", f'type = "influx"\nurl = "{r.influx_url}"\n'))
        cls.influx = add(have("influxd"), "influxd", receivers.InfluxDB,
                         lambda r: ("influx", f'url = "{r.write_url}"\n'))
        cls.carbon = add(receivers.Carbon.works(), "carbon-cache", receivers.Carbon,
                         lambda r: ("graphite", f'address = "127.0.0.1:{r.port}"\nprefix = "p"\n'))
        cls.statsd = add(True, "", receivers.UdpSink,
                         lambda r: ("statsd", f'address = "127.0.0.1:{r.port}"\nprefix = "p"\n'))
        cls.statsd_server = add(receivers.StatsD.works(), "statsd", receivers.StatsD, lambda r: (
            "statsd_server", f'type = "statsd"\naddress = "127.0.0.1:{r.port}"\nprefix = "p"\n'))
        cls.dogstatsd = add(True, "", receivers.UdpSink,
                            lambda r: ("dogstatsd", f'type = "statsd"\naddress = "127.0.0.1:{r.port}"\ntags = true\n'))
        otlp = receivers.proto("otlp") is not None
        cls.grpc = add(otlp and receivers.module("grpc"), "python3-grpcio or protoc", receivers.GrpcSink,
                       lambda r: ("grpc", f'type = "otlp"\nprotocol = "grpc"\nurl = "http://127.0.0.1:{r.port}"\n'))
        cls.otlp = add(otlp, "protoc or python3-protobuf", receivers.HttpSink,
                       lambda r: ("otlp", f'url = "{r.url("/v1/metrics")}"\n'))
        cls.otlp_json = add(True, "", receivers.HttpSink, lambda r: (
            "otlp_json", f'type = "otlp"\nprotocol = "http/json"\nurl = "{r.url("/v1/metrics")}"\n'))
        cls.cloudwatch = add(True, "", receivers.HttpSink, lambda r: (
            "cloudwatch", f'url = "{r.url("/")}"\nregion = "{REGION}"\nperiod = "5s"\n'))
        cls.emf = add(True, "", receivers.TcpSink, lambda r: (
            "emf", f'address = "tcp:127.0.0.1:{r.port}"\nperiod = "5s"\n'))
        prometheus = have("prometheus")
        port = receivers.free_port() if prometheus else None
        if prometheus:
            cls.prometheus = receivers.Prometheus(scrapes=port)
            cls.addClassCleanup(cls.prometheus.end)
            cls.sections.append(f'[exporters.prometheus]\ntype = "remote_write"\nurl = "{cls.prometheus.write_url}"\n'
                                'labels = ["job=pushed", "instance=one"]\n')
            # A Prometheus of this age answers 2.0 with success and stores nothing.
            cls.sections.append(f'[exporters.prometheus2]\ntype = "remote_write"\nurl = "{cls.prometheus.write_url}"\n'
                                'version = "2.0"\nlabels = ["job=second", "instance=one"]\n')
        else:
            cls.prometheus = None
            cls.absent.append("prometheus")
        text = "".join(section + 'interval = "1s"\nevery_poll = true\n' for section in cls.sections)
        cls.agent = Agent(simulate="mixed", poll=POLL, address=f"127.0.0.1:{port or 0}",
                          config=f'[store]\npath = "{cls.folder}/history.db"\n{text}',
                          env={"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET,
                               "AWS_SESSION_TOKEN": "a/token+", "AWS_EC2_METADATA_DISABLED": "true"})
        cls.addClassCleanup(cls.agent.end)

        def busy():
            states = cls.agent.status()["exporters"]
            return len(states) == len(cls.sections) and all(one["requests_ok"] >= 6 for one in states)
        try:
            wait_for("every exporter to have sent six times", busy, max(40, PATIENCE))
        except AssertionError as error:
            raise AssertionError(f"{error}: {json.dumps(cls.agent.status()['exporters'], indent=1)}") from error
        if prometheus:
            wait_for("Prometheus to have scraped eight times",
                     lambda: any(len(one) >= 8 for one in cls.prometheus.samples('up{job="scraped"}').values()), 60)
        cls.states = {one["name"]: one for one in cls.agent.status()["exporters"]}
        cls.page = cls.agent.page()
        # The last turn sends what is there.
        cls.log = cls.agent.log()
        assert cls.agent.end() == 0
        cls.metrics = vocabulary()
        cls.files = sorted((file for file in cls.folder.glob("polls.jsonl*")),
                           key=lambda file: -int(file.suffix[1:]) if file.suffix[1:].isdigit() else 0)
        cls.truth = Truth(cls.files, cls.metrics)

    @classmethod
    def tearDownClass(cls):
        print("\n| receiver | protocol | series agreed | samples agreed | remark |\n|---|---|---:|---:|---|")
        for row in cls.results:
            print("| " + " | ".join(str(cell) for cell in row) + " |")
        for one in cls.absent:
            print(f"| {one} | – | – | – | not installed: skipped |")

    def compare(self, receiver, protocol, found, wanted, remark="exact", within=0.0):
        """Both are {series: {time: value}}."""
        self.assertEqual(len(set(wanted) - set(found)), 0, f"missing at {receiver}: {sorted(map(str, set(wanted) - set(found)))[:3]}")
        self.assertEqual(len(set(found) - set(wanted)), 0, f"nobody sent to {receiver}: {sorted(map(str, set(found) - set(wanted)))[:3]}")
        samples = 0
        for key, values in wanted.items():
            same = set(found[key]) == set(values) and all(
                abs(found[key][at] - value) <= within * abs(value) for at, value in values.items())
            if not same:
                lost = {at: value for at, value in values.items() if found[key].get(at) != value}
                more = {at: value for at, value in found[key].items() if values.get(at) != value}
                self.fail(f"{receiver}: {key}: sent {list(lost.items())[:5]}, has {list(more.items())[:5]} "
                          f"({len(lost)} and {len(more)} of {len(values)})")
            samples += len(values)
        self.assertGreater(samples, 1000)
        self.results.append((receiver, protocol, len(wanted), samples, remark))

    def stripped(self, samples, *names, prefix=""):
        """Without the labels that the destination adds to every series."""
        out = {}
        for labels, values in samples.items():
            labels = dict(labels)
            name = labels.pop("__name__")
            for one in names:
                self.assertIn(one, labels, labels)
                del labels[one]
            self.assertTrue(name.startswith(prefix), name)
            values = [(at, value) for at, value in values if value == value]  # stale markers
            if values:
                key = (name[len(prefix):], frozenset(labels.items()))
                self.assertNotIn(key, out)
                out[key] = dict(values)
                self.assertEqual(len(out[key]), len(values), "a time came twice")
        return out

    def need(self, receiver, name):
        if receiver is None:
            self.skipTest(f"{name} is not installed")

    def test_the_truth_is_whole(self):
        self.assertGreater(len(self.truth.series), 900)
        self.assertGreater(self.truth.lines, 100)
        # No poll is missing: the times of one source are a grid.
        values = self.truth.series[next(key for key in self.truth.series if key[0] == "hw_energy_joules_total")]
        steps = [b - a for a, b in zip(sorted(values), sorted(values)[1:])]
        self.assertGreaterEqual(len(steps), 10)
        if PATIENCE <= 30:
            self.assertLess(max(steps), 10_000, steps)

    def test_the_file_turned_over(self):
        self.assertGreater(len(self.files), 1)
        for file in self.files:
            self.assertLessEqual(file.stat().st_size, 1 << 20)
            self.assertTrue(file.read_bytes().endswith(b"}\n"))
        self.results.append(("a file", "json_lines", len(self.truth.series),
                             sum(map(len, self.truth.series.values())), f"the truth; {len(self.files)} files"))

    def test_states(self):
        for name, state in self.states.items():
            self.assertEqual((name, state["state"], state["message"]), (name, "ok", ""))
            gave_way = name == "prometheus2"
            self.assertEqual(state["rejected_samples"] + state["lost_polls"], 0, state)
            self.assertEqual(state["requests_failed"], 1 if gave_way else 0, state)
            self.assertEqual(state.get("note"), GAVE_WAY if gave_way else None)
            self.assertEqual(self.page.value("accelmon_exporter_up", exporter=name), 1)
            self.assertEqual(self.page.value("accelmon_exporter_status", exporter=name, exporter_state="ok"), 1)
            self.assertGreater(self.page.value("accelmon_exporter_samples_total", exporter=name), 0)
            self.assertGreater(self.page.value("accelmon_exporter_io_bytes_total", exporter=name), 0)
            self.assertEqual(self.page.value("accelmon_exporter_lost_total", exporter=name), 0)

    def test_scraped_and_pushed_agree(self):
        self.need(self.prometheus, "prometheus")
        scraped = self.prometheus.samples('{job="scraped"}')
        pushed = self.stripped(self.prometheus.samples('{job="pushed"}'), "job", "instance")
        kept = {labels: values for labels, values in scraped.items() if dict(labels)["__name__"] not in PAGE_ALONE}
        kept = self.stripped(kept, "job", "instance")
        # A poll may have come between the last scrape and the end, and brought something new; and the other way round.
        last = max(at for values in kept.values() for at in values)
        known = {key for key, values in pushed.items() if min(values) <= last - 1000 and max(values) >= last - 3000}
        self.assertEqual(sorted(map(str, known - set(kept)))[:5], [])
        # The history keeps no smoothed values: they are made of what it keeps.
        smoothed = {entry["prometheus"] for name, entry in self.metrics.items() if re.search(r"\.(ema|window)$", name)}
        for key in [key for key in kept if key[0] in smoothed]:
            self.assertNotIn(key, pushed)
            del kept[key]
        self.assertEqual(sorted(map(str, set(kept) - set(pushed)))[:5], [])
        agreed = 0
        for key, values in kept.items():
            # The agent's own numbers are those of the moment on the page, and of its last poll in what is pushed.
            if self.truth.sources[key] == "agent":
                continue
            times = sorted(pushed[key])
            for at, value in values.items():
                # What the page showed is one of the polls before the scrape.
                near = [pushed[key][t] for t in times if at - 4000 <= t <= at]
                self.assertIn(value, near, (key, at))
                agreed += 1
        self.results.append(("Prometheus", "scrape, against its remote write", len(kept), agreed,
                             "each value is that of a poll before the scrape; the agent's own by their names"))

    def test_prometheus_remote_write(self):
        self.need(self.prometheus, "prometheus")
        self.compare("Prometheus", "remote_write 1.0",
                     self.stripped(self.prometheus.samples('{job="pushed"}'), "job", "instance"), self.truth.series)

    def test_prometheus_without_remote_write_2(self):
        self.need(self.prometheus, "prometheus")
        self.compare("Prometheus", "remote_write 2.0, which it has not",
                     self.stripped(self.prometheus.samples('{job="second"}'), "job", "instance"), self.truth.series,
                     "exact, by 1.0")
        self.assertEqual(self.log.count(f"exporter prometheus2: {GAVE_WAY}"), 1, self.log)

    def test_victoria_metrics_remote_write(self):
        self.need(self.vm, "victoria-metrics")
        # It keeps numbers as decimals of some twelve digits.
        self.compare("VictoriaMetrics", "remote_write 1.0",
                     self.stripped(self.vm.samples('{job="vm"}'), "job", "instance"), self.truth.series,
                     "within 1e-11: it rounds", within=1e-11)

    def influx_truth(self, types=None):
        """Counts are whole numbers to InfluxDB."""
        out = {}
        for key, values in self.truth.series.items():
            whole = types and types.get(key[0]) == "integer"
            out[key] = {at: float(math.floor(value + 0.5)) if whole else value for at, value in values.items()}
        return out

    def test_victoria_metrics_influx(self):
        self.need(self.vm, "victoria-metrics")
        found = self.stripped(self.vm.samples('{db="influx"}'), "db", "host", prefix="accelmon_")
        types = self.types() if self.influx else {}
        if not types:
            self.skipTest("influxd, which tells what is whole, is not installed")
        self.compare("VictoriaMetrics", "influx", found, self.influx_truth(types), "within 1e-11: it rounds", within=1e-11)

    def types(self):
        return dict(self.influx.query("SHOW FIELD KEYS FROM accelmon")[0]["values"])

    def test_influxdb(self):
        self.need(self.influx, "influxd")
        found = self.stripped(self.influx.samples(), "host")
        self.compare("InfluxDB", "influx", found, self.influx_truth(self.types()), "counts are whole numbers")

    def path_truth(self):
        """{path: key}; the paths of two series are never the same."""
        paths = {}
        for key, path in self.truth.paths.items():
            if not self.truth.open_names[key].endswith(".info"):
                self.assertNotIn("p." + path, paths)
                paths["p." + path] = key
        return paths

    def test_graphite(self):
        self.need(self.carbon, "carbon-cache")
        found = {path: dict(values) for path, values in self.carbon.samples().items() if not path.startswith("carbon.")}
        wanted = {}
        for path, key in self.path_truth().items():
            # Of the polls of a second the last one stands.
            wanted[path] = {at // 1000: value for at, value in sorted(self.truth.series[key].items())}
        self.compare("carbon-cache", "graphite", found, wanted, "a second's last poll")

    def statsd_check(self, receiver, protocol, lines, name_of):
        """Gauges must be a reading, counters the growth between two of them."""
        gauges, growth = collections.defaultdict(list), collections.defaultdict(list)
        for name, kind, value in lines:
            (gauges if kind == "g" else growth)[name].append(float(value))
        keys = {name_of(key): key for key in self.truth.series if name_of(key)}
        samples = 0
        for name, values in gauges.items():
            readings = set(self.truth.series[keys[name]].values()) | {0.0}  # a zero goes before what is negative
            self.assertLessEqual(set(values), readings, name)
            samples += len(values)
        for name, values in growth.items():
            readings = sorted(self.truth.series[keys[name]].values())
            total = sum(values)
            near = any(abs(b - a - total) <= 1e-6 * max(1.0, abs(b)) for a in readings for b in readings)
            self.assertTrue(near, (name, total, readings))
            samples += len(values)
        # What stood for less than an interval (the kernel's word for a board until Level Zero has spoken) may be in none.
        wanted = {name for name, key in keys.items()
                  if self.truth.kinds[key] != "counter" and len(self.truth.series[key]) > 3}
        self.assertEqual(sorted(wanted - set(gauges))[:3], [])
        # Of counters those that grew after they were first seen.
        grown = {name for name, key in keys.items() if self.truth.kinds[key] == "counter"
                 and len(set(list(self.truth.series[key].values())[2:])) > 1}
        self.assertEqual(sorted(name for name in grown - set(growth) if len(self.truth.series[keys[name]]) > 8)[:3], [])
        self.results.append((receiver, protocol, len(gauges) + len(growth), samples,
                             "no time stamps: each is a reading, each sum a growth"))

    def test_statsd(self):
        self.statsd.end()
        lines = [re.fullmatch(r"([A-Za-z0-9_.-]+):(-?[0-9.e+-]+)\|([gc])", line) for line in self.statsd.lines()]
        self.assertTrue(all(lines))
        paths = {key: path for path, key in self.path_truth().items()}
        self.statsd_check("a UDP socket", "statsd", [(m[1], m[3], m[2]) for m in lines], paths.get)

    def test_statsd_server(self):
        self.need(self.statsd_server, "statsd")
        if self.statsd_server.drops():
            self.skipTest("this machine was too busy for the server: datagrams were dropped")
        paths = {key: path for path, key in self.path_truth().items()}
        self.statsd_check("statsd 0.9", "statsd", self.statsd_server.samples(), paths.get)

    def test_dogstatsd(self):
        self.dogstatsd.end()
        found = []
        for line in self.dogstatsd.lines():
            match = re.fullmatch(r"([a-z0-9_.]+):(-?[0-9.e+-]+)\|([gc])(?:\|#(.+))?", line)
            self.assertTrue(match, line)
            tags = dict(tag.split(":", 1) for tag in match[4].split(","))
            self.assertTrue(tags.pop("host"))
            found.append(((match[1], frozenset((label_name(k), v) for k, v in tags.items())), match[3], match[2]))
        self.statsd_check("a UDP socket", "dogstatsd", found, lambda key: (
            self.truth.open_names[key], frozenset((k, re.sub(r"[,|#\n]", "_", v)) for k, v in key[1])))

    # ---- OTLP ----

    def otlp_points(self, messages):
        found = collections.defaultdict(dict)
        names = {name: entry["prometheus"] for name, entry in self.metrics.items()}

        def text(value):
            self.assertIn(value.WhichOneof("value"), ("string_value", "int_value"))
            return str(getattr(value, value.WhichOneof("value")))
        for message in messages:
            for resource in message.resource_metrics:
                who = {one.key: text(one.value) for one in resource.resource.attributes}
                self.assertEqual((who["service.name"], who["os.type"]), ("accelmon", "linux"))
                for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                    data = getattr(metric, metric.WhichOneof("data"))
                    for point in data.data_points:
                        if point.flags & 1:
                            continue
                        labels = frozenset((label_name(one.key), text(one.value)) for one in point.attributes)
                        at = point.time_unix_nano // 1_000_000
                        values = found[names[metric.name], labels]
                        self.assertNotIn(at, values)
                        values[at] = float(getattr(point, point.WhichOneof("value")))
        return dict(found)

    def test_otlp_grpc(self):
        self.need(self.grpc, "python3-grpcio")
        kind = receivers.proto("otlp").ExportMetricsServiceRequest
        self.compare("python3-grpcio", "otlp, gRPC", self.otlp_points(map(kind.FromString, self.grpc.messages)),
                     self.truth.series)

    def test_otlp_protobuf(self):
        self.need(self.otlp, "protoc")
        kind = receivers.proto("otlp").ExportMetricsServiceRequest
        for request in self.otlp.requests:
            self.assertEqual((request.path, request.headers["content-type"], request.headers["content-encoding"]),
                             ("/v1/metrics", "application/x-protobuf", "gzip"))
        self.compare("libprotobuf", "otlp, http/protobuf",
                     self.otlp_points(kind.FromString(one.body) for one in self.otlp.requests), self.truth.series)

    def test_otlp_json(self):
        found = collections.defaultdict(dict)
        for request in self.otlp_json.requests:
            self.assertEqual(request.headers["content-type"], "application/json")
            for resource in json.loads(request.body)["resourceMetrics"]:
                for metric in (metric for scope in resource["scopeMetrics"] for metric in scope["metrics"]):
                    data = metric.get("gauge") or metric["sum"]
                    for point in data["dataPoints"]:
                        if point.get("flags", 0) & 1:
                            continue
                        labels = frozenset((label_name(one["key"]), next(iter(one["value"].values())))
                                           for one in point.get("attributes", []))
                        self.assertIsInstance(point["timeUnixNano"], str)
                        value = point["asDouble"] if "asDouble" in point else int(point["asInt"])
                        values = found[self.metrics[metric["name"]]["prometheus"], labels]
                        values[int(point["timeUnixNano"]) // 1_000_000] = float(value)
        self.compare("Python's json", "otlp, http/json", dict(found), self.truth.series)

    # ---- CloudWatch ----

    def test_cloudwatch_signatures(self):
        self.assertGreater(len(self.cloudwatch.requests), 2)
        judged = True
        for request in self.cloudwatch.requests:
            self.assertEqual(request.headers["x-amz-target"], "GraniteServiceVersion20100801.PutMetricData")
            judged &= check_signature(self, request, self.cloudwatch.url("/"), (KEY_ID, SECRET, "a/token+"), REGION)
        if not judged:
            print("SKIPPED: python3-botocore is not installed; an own signer has judged", flush=True)

    def readings(self, name, dimensions):
        """Every reading of the metric at the device that the dimensions name, and what it grew by."""
        found = []
        for key, values in self.truth.series.items():
            labels = dict(key[1])
            if self.truth.open_names[key] == name and labels.get("hw_id") == dimensions.get("Device"):
                found.append(list(values.values()))
        return found

    def cloudwatch_check(self, receiver, protocol, data):
        """data: (name, unit, dimensions, values)."""
        seen, samples = set(), 0
        for name, unit, dimensions, values in data:
            dimensions = dict(dimensions)
            self.assertTrue(dimensions.pop("Host", None))
            scale = 100 if unit == "Percent" else 1
            series = self.readings(name, dimensions)
            self.assertTrue(series, (name, dimensions))
            if self.metrics[name]["kind"] == "counter":
                continue
            known = {value * scale for one in series for value in one}
            for value in values:
                self.assertTrue(any(abs(value - one) <= 1e-9 * max(1, abs(one)) for one in known), (name, dimensions, value))
                samples += 1
            seen.add((name, frozenset(dimensions.items())))
        self.assertGreater(len(seen), 20)
        self.results.append((receiver, protocol, len(seen), samples, "each value is a reading of its device"))

    def test_cloudwatch_values(self):
        def data():
            for request in self.cloudwatch.requests:
                body = json.loads(request.body)
                self.assertEqual(body["Namespace"], "accelmon")
                for one in body["MetricData"]:
                    dimensions = [(d["Name"], d["Value"]) for d in one["Dimensions"]]
                    values = one.get("Values", [one.get("Value")])
                    self.assertEqual(one["Timestamp"] % 5, 0)
                    yield one["MetricName"], one["Unit"], dimensions, values
        self.cloudwatch_check("a signature checker", "cloudwatch", data())

    def test_emf(self):
        self.emf.end()

        def data():
            for line in self.emf.data.decode().splitlines():
                event = json.loads(line)
                for directive in event["_aws"]["CloudWatchMetrics"]:
                    for dimensions in directive["Dimensions"]:
                        for metric in directive["Metrics"]:
                            values = event[metric["Name"]]
                            yield (metric["Name"], metric["Unit"], [(name, event[name]) for name in dimensions],
                                   values if isinstance(values, list) else [values])
        self.cloudwatch_check("a TCP socket", "emf", data())


class Documented(unittest.TestCase):
    """docs/exporters.md: every example works as it is written; ports and paths alone are the test's."""

    def test_every_example(self):
        text = (receivers.SOURCE / "docs/exporters.md").read_text()
        examples = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
        self.assertGreaterEqual(len(examples), 10)
        folder = tempfile.TemporaryDirectory(prefix="accelmon-test-")
        self.addCleanup(folder.cleanup)
        took = {}  # port in the document -> (our port, what was taken)

        def receiver(port, make, took_it):
            one = make()
            self.addCleanup(one.end)
            took[port] = (one.port, lambda: took_it(one))
        if have("prometheus"):
            receiver(9090, receivers.Prometheus, lambda r: r.samples('{job="accelmon",instance="gpu-host-1"}'))
        else:
            receiver(9090, receivers.HttpSink, lambda r: r.requests)
        if have("victoria-metrics"):
            receiver(8428, receivers.VictoriaMetrics, lambda r: r.samples('{job="accelmon"}'))
        else:
            receiver(8428, receivers.HttpSink, lambda r: r.requests)
        if have("influxd"):
            receiver(8086, receivers.InfluxDB, lambda r: r.samples())
        else:
            receiver(8086, receivers.HttpSink, lambda r: r.requests)
        if receivers.module("grpc"):
            receiver(4317, receivers.GrpcSink, lambda r: r.messages)
        receiver(4318, receivers.HttpSink, lambda r: r.requests)
        receiver(2003, receivers.TcpSink, lambda r: b"accelmon.gpu-host-1.gpu." in r.data)
        receiver(25888, receivers.TcpSink, lambda r: b"CloudWatchMetrics" in r.data)
        receiver(8125, receivers.UdpSink, lambda r: {b"|#" in one for one in r.datagrams} == {True, False})
        cloudwatch, influx2 = receivers.HttpSink(), receivers.HttpSink()
        self.addCleanup(cloudwatch.end)
        self.addCleanup(influx2.end)
        pathlib.Path(folder.name, "influx.headers").write_text("Authorization: Token t\n")
        config = ""
        for example in examples:
            ports = [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", example)]
            if any(port not in took for port in ports):
                print(f"SKIPPED: no receiver for {example}", flush=True)
                continue
            for port in ports:
                example = example.replace(f"127.0.0.1:{port}", f"127.0.0.1:{took[port][0]}")
            example = example.replace("/var/log/accelmon", folder.name).replace("/etc/accelmon", folder.name)
            example = example.replace("https://influx.example:8086", influx2.url(""))
            if "cloudwatch" in example:
                example += f'url = "{cloudwatch.url()}"\n'
            config += example
        agent = Agent(simulate="mixed", config=config, env={
            "AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_EC2_METADATA_DISABLED": "true"})
        self.addCleanup(agent.end)
        states = agent.status()["exporters"]
        self.assertEqual(len(states), config.count("[exporters."))
        self.assertLessEqual({one["state"] for one in states}, {"starting", "ok"}, states)
        wait_for("some polls", lambda: agent.collector("nvml")["frames"] > 10)
        # Nobody waits for the intervals: the end sends what is there.
        log = agent.log
        agent.signal(15)
        agent.process.wait(PATIENCE)
        self.assertNotIn("WARN exporter", log())
        for port, (_, taken) in took.items():
            self.assertTrue(taken(), f"nothing arrived for the example with port {port}")
        self.assertTrue(cloudwatch.requests)
        self.assertEqual({(one.path, one.headers["authorization"]) for one in influx2.requests},
                         {("/api/v2/write?org=lab&bucket=accelmon", "Token t")})
        self.assertIn("hw.power", pathlib.Path(folder.name, "metrics.jsonl").read_text())


if __name__ == "__main__":
    main(170)
