#!/usr/bin/env python3
"""What is pushed over TLS, with client certificates, and over gRPC with and without compression and TLS.

The far ends are Python's ssl and the real gRPC server (python3-grpcio). What each of them was sent must be what the
agent's own file says, whole; where somebody cannot be trusted or does not trust us, nothing may arrive and the state
must say why."""
import collections
import json
import pathlib
import ssl
import tempfile
import unittest

import receivers
from agent_fixture import PATIENCE, Agent, have, main, wait_for
from keys import Keys

PASSWORD = "pass-EXAMPLE-tls"
# What C++ and Python servers call "no compression but none".
PLAIN_ONLY = [("grpc.compression_enabled_algorithms_bitset", 1)]


@unittest.skipIf(have("openssl") is None, "openssl is not installed")
@unittest.skipUnless(receivers.proto("otlp") and receivers.proto("remote"), "no protoc or python3-protobuf")
class OverTls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="accelmon-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.keys = keys = Keys(folder.name)
        (cls.folder / "password").write_text(PASSWORD + "\n")
        cls.sinks, cls.config, cls.troubled = {}, "", {}
        server = f'ca_file = "{keys.path("ca.pem")}"\n'
        client = f'cert_file = "{keys.path("client.pem")}"\nkey_file = "{keys.path("client.key")}"\n'

        def context(clients):
            made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            made.load_cert_chain(keys.path("server.pem"), keys.path("server.key"))
            made.set_alpn_protocols(["http/1.1"])
            if clients:
                made.verify_mode = ssl.CERT_REQUIRED
                made.load_verify_locations(keys.path("ca.pem"))
            return made

        def add(name, sink, text, says=None):
            if name not in cls.sinks:
                cls.sinks[name] = sink
                cls.addClassCleanup(sink.end)
            cls.config += (f'[exporters.{name}]\ninterval = "1s"\nevery_poll = true\ntimeout = "5s"\n'
                           f'only = ["hw.*"]\n{text}')
            if says is not None:
                cls.troubled[name] = says

        def http(clients=False):
            return receivers.HttpSink(tls=context(clients))
        guarded = http(clients=True)
        add("client", guarded, f'type = "otlp"\nurl = "{guarded.url("/v1/metrics")}"\n{server}{client}')
        write = receivers.HttpSink(lambda request: (204, {}, b""), tls=context(False))
        add("write", write, f'type = "remote_write"\nurl = "{write.url("/api/v1/write")}"\n{server}'
                            f'username = "somebody"\npassword_file = "{folder.name}/password"\n')
        strict = http(clients=True)
        add("no_certificate", strict, f'type = "otlp"\nurl = "{strict.url("/v1/metrics")}"\n{server}', "")
        other = http()
        add("stranger", other, f'type = "otlp"\nurl = "{other.url("/v1/metrics")}"\n'
                               f'ca_file = "{keys.path("stranger.pem")}"\n', "certificate")
        cls.grpc = receivers.module("grpc") is not None
        if not cls.grpc:
            print("SKIPPED: python3-grpcio is not installed", flush=True)
        else:
            key, certificate, authority = (pathlib.Path(keys.path(name)).read_bytes()
                                           for name in ("server.key", "server.pem", "ca.pem"))
            grpc = 'type = "otlp"\nprotocol = "grpc"\n'
            for name, sink, text in (
                    ("grpc_plain", receivers.GrpcSink(), "gzip = false\n"),
                    ("grpc_gzip", receivers.GrpcSink(), ""),
                    ("grpc_refuses_gzip", receivers.GrpcSink(options=PLAIN_ONLY), ""),
                    ("grpc_tls", receivers.GrpcSink((key, certificate, None)), server),
                    ("grpc_client", receivers.GrpcSink((key, certificate, authority)), server + client + "gzip = false\n")):
                scheme = "https" if "tls" in name or "client" in name else "http"
                add(name, sink, f'{grpc}url = "{scheme}://127.0.0.1:{sink.port}"\n{text}')
            picky = receivers.GrpcSink((key, certificate, authority))
            add("grpc_no_certificate", picky, f'{grpc}url = "https://127.0.0.1:{picky.port}"\n{server}', "")
            old = http()
            add("grpc_of_http1", old, f'{grpc}url = "{old.url("")}"\n{server}', "speaks no HTTP/2")
            clear = receivers.GrpcSink()
            add("grpc_without_tls", clear, f'{grpc}url = "https://127.0.0.1:{clear.port}"\n{server}', "SSL")
        cls.config += (f'[exporters.file]\ntype = "json_lines"\npath = "{cls.folder}/polls.jsonl"\ninterval = "1s"\n'
                       'every_poll = true\nonly = ["hw.*"]\n')
        agent = Agent(simulate="h100x8", poll="200ms", config=f'[store]\npath = "{cls.folder}/history.db"\n{cls.config}')
        cls.addClassCleanup(agent.end)

        def done():
            states = {one["name"]: one for one in agent.status()["exporters"]}
            return all(one["requests_failed"] >= 2 if name in cls.troubled else one["requests_ok"] >= 5
                       for name, one in states.items()) and states
        try:
            cls.states = wait_for("every exporter to have been busy", done)
        except AssertionError as error:
            raise AssertionError(f"{error}: {json.dumps(agent.status()['exporters'], indent=1)}") from error
        cls.log = agent.log()
        assert agent.end() == 0
        cls.truth = collections.defaultdict(dict)
        for line in (cls.folder / "polls.jsonl").read_text().splitlines():
            row = json.loads(line)
            for metric in row["metrics"]:
                labels = {**row.get("device", {}), **metric.get("attributes", {})}
                cls.truth[metric["name"], frozenset(labels.items())][round(row["timestamp"] * 1000)] = metric["value"]

    def check(self, messages):
        """OTLP: exactly what the file holds."""
        found = collections.defaultdict(dict)
        for message in messages:
            request = receivers.proto("otlp").ExportMetricsServiceRequest.FromString(message)
            for resource in request.resource_metrics:
                for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                    for point in getattr(metric, metric.WhichOneof("data")).data_points:
                        if not point.flags & 1:
                            labels = frozenset((one.key, one.value.string_value or str(one.value.int_value))
                                               for one in point.attributes)
                            found[metric.name, labels][point.time_unix_nano // 1_000_000] = getattr(
                                point, point.WhichOneof("value"))
        self.assertGreater(len(self.truth), 15)
        self.assertEqual(set(found), set(self.truth))
        for key, values in self.truth.items():
            self.assertEqual(found[key], values, key)

    def test_states(self):
        for name, state in self.states.items():
            with self.subTest(exporter=name):
                if name in self.troubled:
                    self.assertEqual(state["state"], "waiting", state)
                    self.assertIn(self.troubled[name], state["message"])
                    self.assertTrue(state["message"])
                    self.assertEqual((state["samples"], state["rejected_samples"], state["lost_polls"]), (0, 0, 0))
                    self.assertEqual(getattr(self.sinks[name], "messages", []), [])
                    if name != "grpc_of_http1":  # which has answered it as HTTP/1.1
                        self.assertEqual(getattr(self.sinks[name], "requests", []), [])
                else:
                    self.assertEqual((state["state"], state["message"]), ("ok", ""))
                    self.assertEqual(state["rejected_samples"] + state["lost_polls"], 0)
                    self.assertEqual(state["requests_failed"], 1 if name == "grpc_refuses_gzip" else 0, state)
        self.assertNotIn(PASSWORD, self.log)

    def test_client_certificate(self):
        self.check(one.body for one in self.sinks["client"].requests)

    def test_remote_write_with_a_password(self):
        names = set()
        for request in self.sinks["write"].requests:
            self.assertTrue(request.headers["authorization"].startswith("Basic "))
            names |= {dict(labels)["__name__"] for labels, _, _ in receivers.written(request.raw)}
        self.assertIn("hw_power_watts", names)

    def test_grpc(self):
        if not self.grpc:
            self.skipTest("python3-grpcio is not installed")
        for name in ("grpc_plain", "grpc_gzip", "grpc_refuses_gzip", "grpc_tls", "grpc_client"):
            with self.subTest(exporter=name):
                self.check(self.sinks[name].messages)
        for name in ("grpc_tls", "grpc_client"):
            self.assertEqual(len({peer for peer, _ in self.sinks[name].peers}), 1, "handshakes are dear: one connection")
        self.assertEqual({tuple(name or ()) for _, name in self.sinks["grpc_client"].peers}, {(b"client",)})

    def test_grpc_compresses(self):
        if not self.grpc:
            self.skipTest("python3-grpcio is not installed")
        # A server that takes none has refused it once, and says so; what was sent afterwards was as long as the message.
        self.assertRegex(self.log, r"exporter grpc_refuses_gzip: waiting: gRPC status 12: ")
        self.assertEqual({name: state["note"] for name, state in self.states.items() if "note" in state},
                         {"grpc_refuses_gzip": "not compressed: the receiver takes no gzip"})
        for name, most in (("grpc_gzip", 0.5), ("grpc_tls", 0.5), ("grpc_plain", 2)):
            state = self.states[name]
            messages = self.sinks[name].messages[:state["requests_ok"]]
            size = sum(map(len, messages))
            self.assertLess(state["bytes"], most * size, name)
        self.assertGreater(self.states["grpc_plain"]["bytes"], sum(map(len, self.sinks["grpc_plain"].messages[
            :self.states["grpc_plain"]["requests_ok"]])))


if __name__ == "__main__":
    main(120)
