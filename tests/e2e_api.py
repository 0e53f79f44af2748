#!/usr/bin/env python3
"""The API to read with: every answer against docs/openapi.yaml, the stream, remote read and export against a Prometheus."""
import copy
import csv
import io
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

from agent_fixture import PATIENCE, SOURCE, Agent, free_port, have, main, run, wait_for

try:
    import jsonschema
    import yaml
except ImportError:
    jsonschema = None

POLLS = 40  # of 100 ms: what the history holds before anybody asks


class WithHistory(unittest.TestCase):
    """An agent with a history on disk of a few seconds."""

    ARGUMENTS = {}

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="accelmon-api-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.history = cls.folder / "history.db"
        cls.agent = Agent(config=f'[store]\npath = "{cls.history}"\ncommit = "100ms"\n', **cls.ARGUMENTS)
        cls.addClassCleanup(cls.agent.end)
        wait_for("a history", lambda: max((len(series["points"]) for series in cls.range(metric="hw.power")["series"]),
                                          default=0) >= POLLS)

    @classmethod
    def ask(cls, path, **parameters):
        query = "?" + urllib.parse.urlencode({key.rstrip("_"): value for key, value in parameters.items()})
        return cls.agent.get(path + (query if parameters else ""))

    @classmethod
    def range(cls, **parameters):
        answer = cls.ask("/api/v1/range", **parameters)
        if answer.status != 200:
            raise AssertionError(answer.text)
        return answer.json()


@unittest.skipIf(jsonschema is None, "python3-jsonschema or python3-yaml is not installed")
class Described(WithHistory):
    """Answers fit their schemas, and have no key that the schemas do not name."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.document = yaml.safe_load((SOURCE / "docs/openapi.yaml").read_text())
        cls.strict = copy.deepcopy(cls.document)
        cls.close(cls.strict)
        cls.seen = set()

    @classmethod
    def close(cls, node):
        if isinstance(node, dict):
            if node.get("type") == "object" and "properties" in node:
                node.setdefault("additionalProperties", False)
            for value in node.values():
                cls.close(value)
        elif isinstance(node, list):
            for value in node:
                cls.close(value)

    def check(self, schema, value):
        resolver = jsonschema.RefResolver.from_schema(self.strict)
        jsonschema.Draft202012Validator(schema, resolver=resolver).validate(value)

    def fits(self, path, method="get", answer=None, **parameters):
        """Asks, and holds the answer against the description of the path. Returns the answer."""
        answer = answer or self.ask(path, **parameters)
        operation = self.strict["paths"][path][method]
        self.assertIn(str(answer.status), operation["responses"], f"{path} {parameters} answers {answer.text[:200]}")
        response = operation["responses"][str(answer.status)]
        if "$ref" in response:
            response = self.strict["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
        kind = answer.headers["content-type"].split(";")[0]
        self.assertIn(kind, response["content"])
        if kind == "application/json" and answer.raw:  # HEAD has no body
            self.check(response["content"][kind]["schema"], answer.json())
        self.seen.add((path, answer.status))
        return answer

    def test_the_schemas_are_schemas(self):
        for name, schema in self.document["components"]["schemas"].items():
            with self.subTest(name):
                jsonschema.Draft202012Validator.check_schema(schema)

    def test_every_get_fits_its_schema(self):
        asked = {"/api/v1/range": {"metric": "*power*,hw.energy"}, "/api/v1/stream": None}
        for path, operations in self.document["paths"].items():
            if "get" not in operations or asked.get(path, {}) is None:
                continue
            with self.subTest(path):
                self.assertEqual(self.fits(path, **asked.get(path, {})).status, 200)
                head = self.agent.get(path + "?" + urllib.parse.urlencode(asked.get(path, {})), method="HEAD")
                self.assertEqual((head.status, head.raw), (200, b""))

    def test_errors_fit_their_schema(self):
        for path, parameters in [("/api/v1/devices", {"x": "1"}), ("/api/v1/metrics", {"metric": "quux"}),
                                 ("/api/v1/latest", {"metric": "hw.powr"}), ("/api/v1/range", {}),
                                 ("/api/v1/range", {"metric": "hw.power", "from_": "nan"}),
                                 ("/api/v1/range", {"metric": "hw.power", "from_": "now", "to": "-1h"}),
                                 ("/api/v1/range", {"metric": "hw.power", "max_points": "1e9"}),
                                 ("/api/v1/events", {"since": "yesterday"}), ("/api/v1/stream", {})]:
            with self.subTest(path, **parameters):
                self.assertEqual(self.fits(path, **parameters).status, 400)
        wrong = self.agent.get("/api/v1/range?metric=%zz")
        self.assertIn("hexadecimal", wrong.json()["error"])
        promql = self.agent.get("/api/v1/query?query=up")
        self.assertEqual(promql.status, 404)
        self.assertIn("/api/v1/read", promql.json()["hint"])

    def test_coarse_ranges_fit_too(self):
        answer = self.fits("/api/v1/range", metric="hw.*", from_="-10m", max_points="3").json()
        points = [point for series in answer["series"] for point in series["points"]]
        self.assertTrue(points)
        self.assertTrue(all(len(point) == 4 for point in points))

    def test_range_and_latest_agree(self):
        latest = self.ask("/api/v1/latest", metric="hw.energy").json()["series"]
        self.assertEqual(len(latest), 8)
        history = self.range(metric="hw.energy", from_="-1h")
        self.assertEqual(history["history"], "disk")
        for series in latest:
            points = [one for one in history["series"] if one["device"] == series["device"]][0]["points"]
            self.assertEqual(points, sorted(points))
            self.assertGreaterEqual(points[-1][1], series["value"] - 1e-6, "it was asked later")

    def test_the_stream(self):
        with socket.create_connection(("127.0.0.1", self.agent.port), timeout=PATIENCE) as connection:
            connection.sendall(b"GET /api/v1/stream?metric=hw.power&device=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            file = connection.makefile("rb")
            head = [file.readline() for _ in iter(lambda: file.peek(2)[:2] != b"\r\n", False)]
            self.assertIn(b"200", head[0])
            self.assertTrue(any(line.startswith(b"Content-Type: text/event-stream") for line in head), head)
            times = []
            while len(times) < 5:
                line = file.readline().decode()
                if line.startswith("data: "):
                    data = json.loads(line[6:])
                    self.check({"$ref": "#/components/schemas/StreamValues"}, data)
                    self.assertTrue(data["series"])
                    times.append(data["time"])
            self.assertEqual(times, sorted(set(times)), "each poll once, in order")
        # Others are answered while streams are open and their readers asleep; the ninth stream is told so.
        open_now = []
        try:
            for _ in range(8):
                one = self.agent.connect()
                one.sendall(b"GET /api/v1/stream?metric=* HTTP/1.1\r\nHost: localhost\r\n\r\n")
                open_now.append(one)
            wait_for("the bound of streams", lambda: self.fits("/api/v1/stream", answer=self.agent.get(
                "/api/v1/stream?metric=*", method="HEAD"), metric="*").status == 503)
            self.assertEqual(self.ask("/api/v1/latest").status, 200)
        finally:
            for one in open_now:
                one.close()
        wait_for("the streams to be given up", lambda: self.agent.get("/api/v1/stream?metric=*", method="HEAD").status == 200)

    def test_read_is_the_one_path_that_takes_post(self):
        answer = self.agent.get("/api/v1/read", method="POST")
        self.fits("/api/v1/read", method="post", answer=answer)
        self.assertEqual(answer.status, 400)
        self.assertEqual(self.agent.get("/api/v1/range", method="POST").status, 405)


class Judged(WithHistory):
    """A real Prometheus over the history."""

    def prometheus(self, config, data):
        port = free_port()
        path = self.folder / f"prometheus-{port}.yml"
        path.write_text(config)
        log = open(self.folder / f"prometheus-{port}.log", "w+b")
        self.addCleanup(log.close)
        server = subprocess.Popen([have("prometheus"), f"--config.file={path}", f"--storage.tsdb.path={data}",
                                   f"--web.listen-address=127.0.0.1:{port}", "--web.console.templates=",
                                   "--web.console.libraries="],
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)

        def stop():
            server.terminate()
            try:
                server.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

        self.addCleanup(stop)

        def ready():
            if server.poll() is not None:
                log.seek(0)
                raise AssertionError(f"Prometheus ended: {log.read().decode()}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5) as answer:
                    return answer.status == 200
            except (urllib.error.URLError, OSError):
                return False

        wait_for("Prometheus to be ready", ready, 60)

        def query(expression, at):
            url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": expression, "time": at})
            try:
                with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                    return json.load(answer)["data"]["result"]
            except urllib.error.HTTPError as error:
                raise AssertionError(f"{expression}: {error.read().decode()}") from error

        return query

    @classmethod
    def window(cls, metric, begin, end):
        """device -> values, of what /api/v1/range says."""
        found = {}
        for series in cls.range(metric=metric, device="*", from_=begin, to=end, max_points=50000)["series"]:
            key = (series["device"], json.dumps(series["attributes"], sort_keys=True))
            found[key] = series["points"]
        return found

    def past(self):
        """An instant before which there are three seconds of history, all of it written."""
        end = round(time.time(), 3)
        wait_for("the history to be written", lambda: all(
            points[-1][0] > end for points in self.window("hw.energy", end - 3, end + 60).values()))
        return end

    @unittest.skipIf(have("prometheus") is None, "prometheus is not installed")
    def test_promql_over_the_history_from_before_prometheus(self):
        end = self.past()
        query = self.prometheus(f"""
remote_read:
  - url: http://127.0.0.1:{self.agent.port}/api/v1/read?job=accelmon&instance=here
    read_recent: true
""", self.folder / "empty")
        energy = self.window("hw.energy", end - 3, end)
        self.assertEqual(len(energy), 8)

        counts = query('count_over_time(hw_energy_joules_total{job="accelmon",instance="here"}[3s])', end)
        self.assertEqual(sorted(float(one["value"][1]) for one in counts),
                         sorted(float(len(points)) for points in energy.values()))

        rates = query("rate(hw_energy_joules_total[3s])", end)
        self.assertEqual(len(rates), 8)
        for one in rates:
            points = [values for (device, _), values in energy.items() if device == one["metric"]["hw_id"]][0]
            slope = (points[-1][1] - points[0][1]) / (points[-1][0] - points[0][0])
            self.assertAlmostEqual(float(one["value"][1]), slope, delta=0.1 * slope + 1e-6)

        power = self.window("hw.power", end - 3, end)
        for function, of in [("max", max), ("min", min), ("sum", sum), ("last", lambda values: values[-1])]:
            got = sorted(float(one["value"][1]) for one in query(f"{function}_over_time(hw_power_watts[3s])", end))
            want = sorted(of([value for _, value in points]) for points in power.values())
            self.assertEqual(len(got), len(want))
            for one, other in zip(got, want):
                self.assertAlmostEqual(one, other, delta=1e-9 * abs(other) + 1e-9)

        # Over labels, and every kind of matcher.
        total = sum(points[-1][1] for points in energy.values())
        [everything] = query('sum by (hw_vendor) (hw_energy_joules_total{gpu=~"[0-9]",hw_type!="gpu_partition"})', end)
        self.assertEqual(everything["metric"], {"hw_vendor": "nvidia"})
        self.assertAlmostEqual(float(everything["value"][1]), total, delta=1e-9 * total)
        self.assertEqual(len(query('hw_energy_joules_total{gpu!~"0|1"}', end)), 6)
        self.assertEqual(len(query('{__name__=~"hw_energy.*",gpu="0"}', end)), 1)
        self.assertEqual(query('hw_energy_joules_total{job="another"}', end), [])

        # The labels are those of the page.
        page = {(name, tuple(sorted(labels.items()))) for name, labels, _ in self.agent.page().samples
                if name == "hw_power_watts"}
        read = {("hw_power_watts", tuple(sorted((key, value) for key, value in one["metric"].items()
                                                if key not in ("__name__", "job", "instance"))))
                for one in query("hw_power_watts", end)}
        self.assertEqual(read, page)

    @unittest.skipIf(have("promtool") is None or have("prometheus") is None, "promtool or prometheus is not installed")
    def test_exported_openmetrics_becomes_blocks(self):
        end = self.past()
        begin = end - 3
        code, text, error = run(["export", "--path", str(self.history), "--format", "openmetrics", "--from", str(begin),
                                 "--to", str(end)])
        self.assertEqual((code, error), (0, ""))
        self.assertTrue(text.endswith("# EOF\n"))
        (self.folder / "all.om").write_text(text)
        blocks = self.folder / "blocks"
        done = subprocess.run([have("promtool"), "tsdb", "create-blocks-from", "openmetrics",
                               str(self.folder / "all.om"), str(blocks)], capture_output=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode() + done.stdout.decode())
        query = self.prometheus("", blocks)
        for metric, name in [("hw.energy", "hw_energy_joules_total"), ("hw.power", "hw_power_watts")]:
            want = sorted(sum(value for _, value in points) for points in self.window(metric, begin, end).values())
            got = sorted(float(one["value"][1]) for one in query(f"sum_over_time({name}[3s])", end))
            self.assertEqual(len(got), len(want))
            for one, other in zip(got, want):
                self.assertAlmostEqual(one, other, delta=1e-9 * abs(other))


class Exported(WithHistory):
    def test_csv_and_json_say_what_range_says(self):
        written = wait_for("rows on the disk", lambda: self.csv("--metric", "hw.energy", "--device", "0"))
        end = float(self.seconds(written[-1]["time"]))
        [series] = self.range(metric="hw.energy", device="0", from_=0, to=end, max_points=50000)["series"]
        rows = self.csv("--metric", "hw_energy_joules_total", "--device", "0", "--to", str(end))
        self.assertEqual([[self.seconds(row["time"]), float(row["value"])] for row in rows], series["points"])
        self.assertEqual({(row["device"], row["unit"], row["minimum"], row["step_seconds"]) for row in rows},
                         {(series["device"], "J", "", "0")})
        code, text, _ = run(["export", "--path", str(self.history), "--format", "json", "--metric", "hw.energy",
                             "--device", "0", "--to", str(end)])
        self.assertEqual(code, 0)
        [line] = [json.loads(line) for line in text.splitlines()]
        self.assertEqual(line["points"], series["points"])

    def csv(self, *arguments):
        code, text, error = run(["export", "--path", str(self.history), *arguments])
        self.assertEqual((code, error), (0, ""))
        return list(csv.DictReader(io.StringIO(text)))

    @staticmethod
    def seconds(text):
        whole, _, rest = text.rstrip("Z").partition(".")
        return round(time.mktime(time.strptime(whole + " UTC", "%Y-%m-%dT%H:%M:%S %Z")) - time.timezone
                     + int(rest) / 1000, 3)

    def test_without_an_agent_and_wrong_use(self):
        code, _, error = run(["export", "--path", str(self.folder / "none.db")])
        self.assertEqual(code, 1)
        self.assertIn("none.db", error)
        code, _, error = run(["export", "--path", str(self.history), "--from", "tomorrow"])
        self.assertEqual(code, 2)
        self.assertIn("is no time", error)
        code, _, error = run(["export", "--path", str(self.history), "--metric", "hw.powr"])
        self.assertEqual(code, 2)
        self.assertIn("did you mean 'hw.power'?", error)
        rows = self.csv("--from", "1", "--to", "2")
        self.assertEqual(rows, [])

    def test_after_the_agent(self):
        with Agent(config=f'[store]\npath = "{self.folder}/short.db"\n') as agent:
            wait_for("a few polls", lambda: agent.status()["history"]["polls_waiting"] > 10
                     or agent.status()["history"]["polls_written"] > 10)
        code, text, _ = run(["export", "--path", f"{self.folder}/short.db", "--metric", "hw.power"])
        self.assertEqual(code, 0)
        self.assertGreater(len(text.splitlines()), 8, "the last polls are written when the agent ends")


@unittest.skipIf(have("openssl") is None, "openssl is not installed")
class Guarded(unittest.TestCase):
    """Behind TLS and a token a stream streams, and what takes POST asks who is there."""

    TOKEN = "0123456789abcdef0123456789abcdef-token"

    def test_stream_and_read_over_tls(self):
        with tempfile.TemporaryDirectory(prefix="accelmon-api-tls-") as name:
            folder = pathlib.Path(name)
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                            "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout",
                            str(folder / "key.pem"), "-out", str(folder / "cert.pem")], check=True, capture_output=True,
                           timeout=PATIENCE)
            (folder / "web.yml").write_text("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n")
            (folder / "tokens").write_text(self.TOKEN + "\n")
            for file in folder.iterdir():
                file.chmod(0o600)
            listen = f'web_config = "{folder}/web.yml"\nbearer_tokens_file = "{folder}/tokens"\n'
            with Agent(listen=listen, ready=False) as agent:
                def port():
                    match = re.search(r"https://[^\s/]*?:(\d+)/", agent.output())
                    return int(match.group(1)) if match else None
                number = wait_for("the address", port)
                context = ssl.create_default_context(cafile=str(folder / "cert.pem"))

                def ask(text):
                    connection = context.wrap_socket(socket.create_connection(("127.0.0.1", number), timeout=PATIENCE),
                                                     server_hostname="localhost")
                    connection.sendall(text.encode())
                    return connection, connection.makefile("rb")

                token = f"Authorization: Bearer {self.TOKEN}\r\n"
                for guard, status in [("", b"401"), (token, b"400")]:  # an empty body is no question
                    connection, file = ask("POST /api/v1/read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
                                           + guard + "\r\n")
                    with connection, file:
                        self.assertEqual(file.readline().split()[1], status)
                for target, status in [("range?metric=*power*&from=-1m", b"200"), ("stream?metric=*", b"200")]:
                    connection, file = ask(f"GET /api/v1/{target} HTTP/1.1\r\nHost: localhost\r\n{token}\r\n")
                    with connection, file:
                        self.assertEqual(file.readline().split()[1], status)
                        seen = 0
                        while target.startswith("stream") and seen < 8:
                            line = file.readline()
                            self.assertTrue(line, "the stream ended")
                            if line.startswith(b"data: "):
                                json.loads(line[6:])
                                seen += 1


class InMemory(unittest.TestCase):
    def test_range_without_a_history_on_disk(self):
        with Agent() as agent:
            def points():
                answer = agent.get("/api/v1/range?metric=hw.power&device=0").json()
                self.assertEqual(answer["history"], "memory")
                return [len(series["points"]) for series in answer["series"]]
            wait_for("some points", lambda: points() and min(points()) > 3)
            self.assertEqual(agent.get("/api/v1/range?metric=hw.power&from=0&to=10").json()["series"], [])

    def test_memory_has_what_is_shown_under_the_name_that_is_shown(self):
        # The presence check knows boards by their place on the bus alone, and is shown under the name that NVML gave them.
        with Agent(simulate="mixed", poll="200ms") as agent:
            wait_for("the devices", lambda: agent.page().values("hw_gpu_utilization_ratio", hw_vendor="nvidia"))
            pid = agent.collectors()["nvml"]
            os.kill(pid, signal.SIGSTOP)
            self.addCleanup(lambda: agent.collectors().get("nvml") == pid and os.kill(pid, signal.SIGCONT))

            def of_the_bus(what):
                series = agent.get(f"/api/v1/{what}?metric=hw.status").json()["series"]
                return {(one["device"], json.dumps(one["attributes"])) for one in series
                        if one["source"] == "presence" and one.get("points") != []}
            wait_for("the bus to speak for them", lambda: of_the_bus("latest"))
            self.assertTrue(all(device.startswith("GPU-") for device, _ in of_the_bus("latest")))
            wait_for("the history of it", lambda: of_the_bus("latest") <= of_the_bus("range"))


if __name__ == "__main__":
    main(200)
