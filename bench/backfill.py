#!/usr/bin/env python3
"""How fast exporters deliver what waited while their far end was away.

An agent polls eight simulated boards as fast as it may, with exporters whose far ends do not listen, and is stopped. For each
exporter an agent with that one alone then starts from a copy of that history, against a sink on loopback which reads requests,
decodes nothing and answers 204, at once or after some milliseconds. Timed is, at the sink, from the first byte of the first
request to the answer to the last one. The sink is a thread of this program and takes its share of the same processors.

    python3 bench/backfill.py [--accelmon build/release/bin/accelmon] [--seconds 20]
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import socket
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import compare

ENOUGH = 600  # seconds; nothing takes as long
# name: (label, type, path, seconds until the sink answers)
RUNS = {
    "remote": ("remote write 1.0", "remote_write", "/api/v1/write", 0.0),
    "otlp": ("OTLP/HTTP, protobuf, gzip", "otlp", "/v1/metrics", 0.0),
    "influx": ("InfluxDB, gzip", "influx", "/write", 0.0),
    "away": ("remote write 1.0, answers after 5 ms", "remote_write", "/api/v1/write", 0.005),
}


class Sink:
    """Answers 204 to every request, and remembers how many there were, how large, and when."""

    def __init__(self, delay):
        self.delay = delay
        self.requests, self.bytes = 0, 0
        self.began = self.ended = None
        self.listener = socket.create_server((compare.HOST, 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = memoryview(bytearray(1 << 20))
        with connection:
            head = b""
            while more := connection.recv_into(buffer):
                if self.began is None:
                    self.began = time.perf_counter()
                head += buffer[:more]
                if b"\r\n\r\n" not in head:
                    continue
                head, body = head.split(b"\r\n\r\n", 1)
                length = int(re.search(rb"(?i)\r\ncontent-length: *(\d+)", head).group(1))
                left = length - len(body)
                while left > 0:
                    more = connection.recv_into(buffer, min(left, len(buffer)))
                    if not more:
                        return
                    left -= more
                if self.delay:
                    time.sleep(self.delay)
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
                self.requests += 1
                self.bytes += length
                self.ended = time.perf_counter()
                head = b""

    def close(self):
        self.listener.close()


class Agent(compare.Accelmon):
    def __init__(self, binary, folder, interval, ports):
        super().__init__(binary, folder)
        self.interval, self.ports = interval, ports

    def command(self):
        command = super().command()
        config = f'[store]\npath = "{self.folder}/history.db"\ncommit = "1s"\n'
        for name, port in self.ports.items():
            _, kind, path, _ = RUNS[name]
            config += (f'[exporters.{name}]\ntype = "{kind}"\nurl = "http://{compare.HOST}:{port}{path}"\n'
                       f'interval = "1s"\nevery_poll = true\n')
        with open(f"{self.folder}/accelmon.toml", "a", encoding="ascii") as file:
            file.write(config)
        return command

    def exporter(self, connection):
        return json.loads(connection.get("/api/v1/status")[1])["exporters"][0]


def fill(binary, folder, seconds):
    """Leaves a history in which every exporter stands at the beginning. Returns the series of it."""
    agent = Agent(binary, folder, "10ms", {name: compare.free_port() for name in RUNS})
    agent.start()
    try:
        time.sleep(seconds)
        page = compare.Connection(agent.port).get("/metrics")[1]
        return sum(1 for line in page.splitlines() if line and not line.startswith(b"#"))
    finally:
        agent.stop()


def deliver(binary, folder, name):
    sink = Sink(RUNS[name][3])
    agent = Agent(binary, folder, "1s", {name: sink.port})
    agent.start()
    try:
        connection = compare.Connection(agent.port)
        deadline = time.perf_counter() + ENOUGH
        while True:
            state = agent.exporter(connection)
            if state["state"] == "ok" and state["behind_polls"] == 0:
                break
            if state["requests_failed"] or time.perf_counter() > deadline:
                sys.exit(f"backfill: {name} does not deliver: {state['state']}: {state['message']}")
            time.sleep(0.02)
        seconds = sink.ended - sink.began
        cpu = compare.cpu_seconds([agent.process.pid], f"push {name}")
        if state["rejected_samples"] or state["lost_polls"] or state["late_samples"]:
            sys.exit(f"backfill: {name} did not deliver everything: {state}")
        return {"samples": state["samples"], "seconds": seconds, "requests": sink.requests, "bytes": sink.bytes,
                "cpu": cpu}
    finally:
        agent.stop()
        sink.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accelmon", default=str(compare.ROOT / "build/release/bin/accelmon"))
    parser.add_argument("--seconds", type=float, default=20, help="how long the history is filled, 100 polls a second")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="accelmon-bench-") as top:
        outage = pathlib.Path(top) / "outage"
        outage.mkdir()
        series = fill(arguments.accelmon, outage, arguments.seconds)
        results = {}
        for name in RUNS:
            folder = pathlib.Path(top) / name
            folder.mkdir()
            for file in outage.glob("history.db*"):
                shutil.copy(file, folder)
            results[name] = deliver(arguments.accelmon, folder, name)
    print("| what waited goes to | samples | seconds | million samples a second | requests | bytes a sample "
          "| CPU of the exporter's thread, ns a sample |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, one in results.items():
        print(f"| {RUNS[name][0]} | {one['samples']} | {one['seconds']:.2f} | "
              f"{one['samples'] / one['seconds'] / 1e6:.2f} | {one['requests']} | "
              f"{one['bytes'] / one['samples']:.2f} | {one['cpu'] / one['samples'] * 1e9:.0f} |")
    print(f"\n8 simulated boards and the host, {series} series, 100 polls a second for {arguments.seconds:.0f} s; "
          f"{os.cpu_count()} CPUs.")


if __name__ == "__main__":
    main()
