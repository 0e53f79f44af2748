#!/usr/bin/env python3
"""What exporters are given to authenticate with is for the far end alone.

Each secret must arrive there, and be nowhere else: not in the log, the status document, the pages, the reports of the
command line, nor in command lines of processes. The far ends are of the worst kind: they repeat in their refusals all that
they were sent, as real servers do with a path that they do not know or a signature that they do not accept.
"""
import base64
import json
import pathlib
import re
import tempfile
import unittest

import receivers
from agent_fixture import TEXT, Agent, main, run, wait_for

PASSWORD, BEARER, HEADER, KEY_HEADER = "pass-EXAMPLE-1f", "bearer-EXAMPLE-2e", "header-EXAMPLE-3d", "apikey-EXAMPLE-4c"
URL_USER, URL_PASSWORD = "urluser-EXAMPLE-5b", "urlpass-EXAMPLE-6a"
IN_PATH, IN_QUERY, IN_VAIN = "path-EXAMPLE-79", "query-EXAMPLE-88", "vain-EXAMPLE-97"
AWS_SECRET, AWS_TOKEN = "awsSecret/EXAMPLE+a6", "aws/session+EXAMPLE+b5"
BASIC = base64.b64encode(f"somebody:{PASSWORD}".encode()).decode()
ALL = (PASSWORD, BASIC, BEARER, HEADER, KEY_HEADER, URL_USER, URL_PASSWORD, IN_PATH, IN_QUERY, IN_VAIN, AWS_SECRET,
       AWS_TOKEN, base64.b64encode(f"{URL_USER}:{URL_PASSWORD}".encode()).decode())


class Echo:
    """Answers each request with a status and with what it holds; `heard` is all of it."""

    def __init__(self, status):
        self.heard = ""
        self.status = status
        self.sink = receivers.HttpSink(self.answer)
        self.port, self.end = self.sink.port, self.sink.end

    def answer(self, request):
        told = f"Cannot {request.method} {request.path} " + " ".join(
            f"{name}:{value}" for name, value in sorted(request.headers.items(), key=lambda one: -len(one[1])))
        self.heard += told
        if "x-amz-date" in request.headers:
            return self.status, {}, json.dumps({"__type": "SignatureDoesNotMatch", "message": "should have been "
                                                + request.headers["x-amz-security-token"] + told}).encode()
        return self.status, {}, told.encode()


class Secrets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="accelmon-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)

        def file(name, text):
            (cls.folder / name).write_text(text)
            return cls.folder / name
        cls.ends = {name: Echo(status) for name, status in
                    (("token", 404), ("basic", 400), ("bearer", 401), ("user", 200), ("aws", 403))}
        for one in cls.ends.values():
            cls.addClassCleanup(one.end)
        at = {name: f"127.0.0.1:{one.port}" for name, one in cls.ends.items()}
        nobody = f"127.0.0.1:{receivers.free_port()}"
        headers = file("headers", f"Authorization: Token {HEADER}\n\nX-API-Key: {KEY_HEADER}\n")
        bearer = file("bearer", BEARER + "\n")
        cls.agent = Agent(env={
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": AWS_SECRET, "AWS_SESSION_TOKEN": AWS_TOKEN,
            "AWS_EC2_METADATA_DISABLED": "true", "no_proxy": "*"}, config=f'''
[log]
level = "debug"
[exporters.token]
type = "influx"
interval = "1s"
url = "http://{at["token"]}/push/{IN_PATH}?db=known&token={IN_QUERY}"
headers_file = "{headers}"
[exporters.basic]
type = "remote_write"
interval = "1s"
url = "http://{at["basic"]}/api/v1/write"
username = "somebody"
password_file = "{file("password", PASSWORD)}"
[exporters.bearer]
type = "otlp"
protocol = "http/json"
interval = "1s"
url = "http://{at["bearer"]}/v1/metrics"
bearer_token_file = "{bearer}"
[exporters.user]
type = "influx"
interval = "1s"
url = "http://{URL_USER}:{URL_PASSWORD}@{at["user"]}/write"
[exporters.aws]
type = "cloudwatch"
interval = "1s"
period = "1s"
region = "eu-central-1"
url = "http://{at["aws"]}/"
[exporters.nobody]
type = "influx"
interval = "1s"
url = "http://{URL_USER}:{URL_PASSWORD}@{nobody}/push/{IN_PATH}?token={IN_QUERY}"
[exporters.torn]
type = "influx"
interval = "1s"
url = "http://{URL_USER}:{URL_PASSWORD}/{IN_VAIN}@{nobody}/write"
[exporters.wrong]
type = "influx"
url = "http://{nobody}/write"
headers_file = "{file("wrong", f"A: b{chr(10)}{IN_VAIN}{chr(10)}")}"
''')
        cls.addClassCleanup(cls.agent.end)

        def settled():
            states = {one["name"]: one for one in cls.agent.status()["exporters"]}
            return states if all(one["state"] != "starting" for one in states.values()) and all(
                end.heard for end in cls.ends.values()) else None
        cls.states = wait_for("every exporter to have tried", settled)

    def test_they_arrive(self):
        self.assertIn(f"/push/{IN_PATH}?db=known&token={IN_QUERY}", self.ends["token"].heard)
        self.assertIn(f"Token {HEADER}", self.ends["token"].heard)
        self.assertIn(KEY_HEADER, self.ends["token"].heard)
        self.assertIn(BASIC, self.ends["basic"].heard)
        self.assertIn(f"Bearer {BEARER}", self.ends["bearer"].heard)
        self.assertIn(ALL[-1], self.ends["user"].heard)
        self.assertIn(AWS_TOKEN, self.ends["aws"].heard)

    def test_where_shows_the_host(self):
        where = {name: re.sub(r":\d+", ":1", one["where"]) for name, one in self.states.items()}
        self.assertEqual({name: where[name] for name in ("token", "basic", "bearer", "user", "aws", "nobody", "torn")}, {
            "token": "http://127.0.0.1:1/...", "basic": "http://127.0.0.1:1/api/v1/write",
            "bearer": "http://127.0.0.1:1/v1/metrics", "user": "http://127.0.0.1:1/write", "aws": "http://127.0.0.1:1/",
            "nobody": "http://127.0.0.1:1/...", "torn": "http://.../..."})

    def test_answers_are_told_without_them(self):
        self.assertIn(f"HTTP 404: Cannot POST {chr(42) * (6 + len(IN_PATH))}?db=known&token=*", self.states["token"]["message"])
        self.assertIn("line 2 is no header", self.states["wrong"]["message"])
        self.assertEqual((self.states["wrong"]["state"], self.states["user"]["state"]), ("failed", "ok"))

    def test_they_are_nowhere_else(self):
        config = ["--config", str(self.agent.config_path)]
        told = {"the log": self.agent.log(), "the banner": self.agent.output(),
                "the page": self.agent.get("/metrics", accept=TEXT).text,
                "cmdlines": "".join(self.cmdline(pid) for pid in (self.agent.pid, *self.agent.collectors().values()))}
        for path in ("/", "/api/v1/status", "/api/v1/events", "/api/v1/latest?metric=*", "/api/v1/metrics"):
            answer = self.agent.get(path)
            self.assertEqual(answer.status, 200, path)
            told[path] = answer.text
        for words in (["doctor"], ["doctor", "--format", "json"], ["status"], ["status", "--format", "json"]):
            _, out, err = run([*words, *config])
            self.assertIn("token", out, words)  # the exporter of this name
            told[" ".join(words)] = out + err
        told["config check"] = "".join(map(str, run(["config", "check", str(self.agent.config_path)])))
        self.assertIn("exporter token", told["the log"])
        for place, text in told.items():
            self.assertTrue(text, place)
            for secret in ALL:
                self.assertNotIn(secret, text, f"{secret} stands in {place}")

    def test_collectors_have_no_keys(self):
        collectors = self.agent.collectors()
        self.assertIn("nvml", collectors)
        for name, pid in collectors.items():
            environment = pathlib.Path(f"/proc/{pid}/environ").read_text(errors="replace")
            self.assertIn("PATH=", environment)
            self.assertNotIn("AWS_", environment, name)

    @staticmethod
    def cmdline(pid):
        return pathlib.Path(f"/proc/{pid}/cmdline").read_text(errors="replace")


if __name__ == "__main__":
    main(120)
