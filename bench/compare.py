#!/usr/bin/env python3
"""accelmon beside Prometheus' node_exporter, on this machine, in one run: what each costs and how fast it answers.

Compare the columns of one run, never the times of two runs. accelmon shows eight simulated accelerators and the host; the
accelerators' driver is the simulator, whose own cost is in the figures. node_exporter shows the host alone and reads
everything when it is scraped, accelmon when it polls; the line "CPU, scraped every 15 s" adds both up.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"


def free_port():
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]


class Connection:
    """A kept-alive HTTP connection that costs the measuring side little."""

    def __init__(self, port):
        self.socket = socket.create_connection((HOST, port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def get(self, path, gzip=False):
        """Returns (status, body, seconds)."""
        encoding = "gzip" if gzip else "identity"
        request = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/plain\r\nAccept-Encoding: {encoding}\r\n\r\n"
        began = time.perf_counter()
        self.socket.sendall(request.encode())
        data = self.rest
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, data = data.split(b"\r\n\r\n", 1)
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if length:
            chunks, size, wanted = [data], len(data), int(length.group(1))
            while size < wanted:
                chunks.append(self._more())
                size += len(chunks[-1])
            data = b"".join(chunks)
            body, self.rest = data[:wanted], data[wanted:]
        else:
            body, self.rest = self._chunked(data)
        return int(head.split(None, 2)[1]), body, time.perf_counter() - began

    def _more(self):
        chunk = self.socket.recv(262144)
        if not chunk:
            raise ConnectionError("closed by the server")
        return chunk

    def _chunked(self, data):
        body = []
        while True:
            while b"\r\n" not in data:
                data += self._more()
            size, data = data.split(b"\r\n", 1)
            size = int(size.split(b";")[0], 16)
            while len(data) < size + 2:
                data += self._more()
            body.append(data[:size])
            data = data[size + 2:]
            if size == 0:
                return b"".join(body), data

    def close(self):
        self.socket.close()


def family(pid):
    """A process and its children."""
    pids = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        pids += [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    return pids


def cpu_seconds(pids, thread=None):
    """Processor time of all threads, or of those of one name, in nanosecond resolution."""
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            folder = pathlib.Path(f"/proc/{pid}/task/{task}")
            try:
                if thread is None or (folder / "comm").read_text().strip() == thread:
                    total += int((folder / "schedstat").read_text().split()[0])
            except OSError:
                pass  # the thread has just ended
    return total * 1e-9


def memory(pids):
    """(PSS, RSS) in MiB."""
    sums = {"Pss": 0, "Rss": 0}
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            key = line.split(":")[0]
            if key in sums:
                sums[key] += int(line.split()[1])
    return sums["Pss"] / 1024, sums["Rss"] / 1024


class Subject:
    # The thread that answers scrapes, where one does nothing else; None: what all threads use beyond the idle cost.
    scrape_thread = None

    def __init__(self, name, binary, ready_path):
        self.name, self.binary, self.ready_path = name, binary, ready_path
        self.process = None

    def command(self):
        raise NotImplementedError

    def start(self):
        """Starts it; returns the seconds from exec until it answers."""
        command = self.command()
        began = time.perf_counter()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        while True:
            if self.process.poll() is not None:
                sys.exit(f"compare: {self.name} ended with code {self.process.returncode}: {' '.join(command)}")
            try:
                connection = Connection(self.port)
                status = connection.get(self.ready_path)[0]
                connection.close()
                if status == 200:
                    return time.perf_counter() - began
            except (ConnectionError, TimeoutError):
                pass
            if time.perf_counter() - began > 30:
                self.stop()
                sys.exit(f"compare: {self.name} does not answer {self.ready_path}")
            time.sleep(0.0005)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Accelmon(Subject):
    scrape_thread = "http"

    def __init__(self, binary, folder, only=None):
        super().__init__("accelmon" + (f", {only} alone" if only else ""), binary, "/-/ready")
        self.folder, self.interval, self.only = folder, "1s", only

    def command(self):
        self.port = free_port()
        config = pathlib.Path(self.folder) / "accelmon.toml"
        config.write_text(f'[listen]\naddress = "{HOST}:{self.port}"\nsocket = "{self.folder}/s"\n'
                          f'[poll]\ninterval = "{self.interval}"\n' + self._others_off())
        return [self.binary, "serve", "--config", str(config), "--simulate", "h100x8"]

    def _others_off(self):
        """The agent with one collector: what exporters of one vendor are to be compared with."""
        if not self.only:
            return ""
        said = subprocess.run([self.binary, "config", "--markdown"], capture_output=True, text=True, check=True).stdout
        names = sorted(set(re.findall(r"collectors\.(\w+)\.enabled|\[collectors\.(\w+)\]", said)))
        return "".join(f"[collectors.{name}]\nenabled = false\n" for name in {a or b for a, b in names}
                       if name != self.only)


class NodeExporter(Subject):
    def __init__(self, binary):
        super().__init__("node_exporter", binary, "/")

    def command(self):
        self.port = free_port()
        return [self.binary, f"--web.listen-address={HOST}:{self.port}", "--log.level=error"]


def idle_cpu(pids, seconds, thread=None):
    """Share of one core."""
    before, began = cpu_seconds(pids, thread), time.perf_counter()
    time.sleep(seconds)
    return (cpu_seconds(pids, thread) - before) / (time.perf_counter() - began)


def scrapes(subject, pids, idle, count, gzip, pause):
    """(CPU seconds a scrape without the idle cost, list of latencies)."""
    connection = Connection(subject.port)
    connection.get("/metrics", gzip)
    latencies = []
    before, began = cpu_seconds(pids, subject.scrape_thread), time.perf_counter()
    for number in range(count):
        if pause:
            time.sleep(max(0.0, began + number * pause - time.perf_counter()))
        status, _, seconds = connection.get("/metrics", gzip)
        if status != 200:
            sys.exit(f"compare: {subject.name} answers {status}")
        latencies.append(seconds)
    elapsed = time.perf_counter() - began
    used = cpu_seconds(pids, subject.scrape_thread) - before - idle * elapsed
    connection.close()
    return used / count, latencies


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def measure(subject, arguments):
    result = {}
    ready = []
    for _ in range(5):
        ready.append(subject.start())
        subject.stop()
    result["ready"] = statistics.median(ready)
    result["binary"] = os.path.getsize(subject.binary) / 2**20

    subject.start()
    try:
        time.sleep(3)
        pids = family(subject.process.pid)
        connection = Connection(subject.port)
        page = connection.get("/metrics")[1]
        result["series"] = sum(1 for line in page.splitlines() if line and not line.startswith(b"#"))
        result["page"] = len(page) / 1024
        result["page_gzip"] = len(connection.get("/metrics", True)[1]) / 1024
        connection.close()
        if isinstance(subject, Accelmon):
            time.sleep(30)  # what is absent has been looked for twice, and is left alone for a while
        result["idle"] = idle_cpu(pids, arguments.seconds)
        # As fast as it goes: latency. accelmon renders a page once for each state of the world, so its CPU is not
        # measured here but below, where every scrape finds a new one.
        burst = scrapes(subject, pids, 0, arguments.scrapes, False, 0)
        result["p50"], result["p99"] = percentile(burst[1], 0.5), percentile(burst[1], 0.99)
        result["pss"], result["rss"] = memory(pids)
    finally:
        subject.stop()

    fresh_interval = 0.02
    if isinstance(subject, Accelmon):
        subject.interval = "10ms"
    subject.start()
    try:
        time.sleep(2)
        pids = family(subject.process.pid)
        idle = idle_cpu(pids, arguments.seconds, subject.scrape_thread)
        for key, gzip in (("scrape", False), ("scrape_gzip", True)):
            result[key] = scrapes(subject, pids, idle, arguments.scrapes, gzip, fresh_interval)[0]
    finally:
        subject.stop()
        if isinstance(subject, Accelmon):
            subject.interval = "1s"
    result["total"] = result["idle"] + result["scrape_gzip"] / 15
    return result


ROWS = (
    ("series", "series on the page", "{:.0f}", 1),
    ("page", "page, KiB", "{:.1f}", 1),
    ("page_gzip", "page compressed, KiB", "{:.1f}", 1),
    ("binary", "program, MiB", "{:.1f}", 1),
    ("ready", "from start to the first answer, ms", "{:.0f}", 1e3),
    ("pss", "memory, PSS, MiB", "{:.1f}", 1),
    ("rss", "memory, RSS, MiB", "{:.1f}", 1),
    ("idle", "CPU when nobody scrapes, % of a core", "{:.3f}", 100),
    ("scrape", "CPU of a scrape, ms", "{:.3f}", 1e3),
    ("scrape_gzip", "CPU of a compressed scrape, ms", "{:.3f}", 1e3),
    ("total", "CPU, scraped every 15 s, % of a core", "{:.3f}", 100),
    ("p50", "a scrape takes, median, ms", "{:.2f}", 1e3),
    ("p99", "a scrape takes, 99th percentile, ms", "{:.2f}", 1e3),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accelmon", default=str(ROOT / "build/release/bin/accelmon"))
    parser.add_argument("--node-exporter", default=None)
    parser.add_argument("--seconds", type=float, default=30, help="how long idle CPU is measured")
    parser.add_argument("--scrapes", type=int, default=500)
    parser.add_argument("--json", help="write the figures here too")
    arguments = parser.parse_args()

    tools = str(ROOT / ".cache/tools/usr/bin")
    other = arguments.node_exporter or shutil.which("prometheus-node-exporter", path=os.environ["PATH"] + ":" + tools)
    with tempfile.TemporaryDirectory(prefix="accelmon-bench-") as folder:
        subjects = [Accelmon(arguments.accelmon, folder), Accelmon(arguments.accelmon, folder, "nvml")]
        if other:
            subjects.append(NodeExporter(other))
        else:
            print("compare: prometheus-node-exporter is not installed; accelmon alone\n", file=sys.stderr)
        results = {subject.name: measure(subject, arguments) for subject in subjects}

    print("| | " + " | ".join(results) + " |")
    print("|---|" + "---:|" * len(results))
    for key, label, form, factor in ROWS:
        print(f"| {label} | " + " | ".join(form.format(result[key] * factor) for result in results.values()) + " |")
    print(f"\naccelmon: 8 simulated accelerators and the host, polled every second, {os.cpu_count()} CPUs, "
          f"{os.uname().sysname} {os.uname().release}. 'CPU of a scrape': each finds new data and is rendered afresh.")
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
