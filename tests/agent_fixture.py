"""What the end-to-end tests share: an agent of their own, on a free port and a socket in a temporary directory.

Every process that a test starts is ended by its own pid; every wait has a limit; the whole program has one too. A test
program ends with `agent_fixture.main(seconds)`. It exits 77, which ctest shows as skipped, when all of it was skipped.
"""
import gzip
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

PROGRAM = str(pathlib.Path(os.environ.get("ACCELMON", "build/debug/bin/accelmon")).absolute())
SOURCE = pathlib.Path(__file__).resolve().parent.parent
# Nothing that goes well takes as long; what goes wrong must not take for ever. Sanitizers and memcheck are slow.
PATIENCE = float(os.environ.get("ACCELMON_TEST_PATIENCE", "30"))

TEXT = "text/plain"
OPENMETRICS = "application/openmetrics-text;version=1.0.0"


def have(program):
    """The path of a program that a test would like to have, or None."""
    paths = os.environ.get("PATH", "") + ":/usr/sbin:" + str(SOURCE / ".cache/tools/usr/bin")
    for folder in paths.split(":"):
        path = pathlib.Path(folder or ".") / program
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    return None


def free_port():
    """A port of 127.0.0.1 that nobody has now. For programs that cannot be told to take any."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(what, condition, seconds=None):
    """Waits until condition() gives something true, and returns it; a failure says what was waited for."""
    deadline = time.monotonic() + (seconds or PATIENCE)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds or PATIENCE:g} s in vain for: {what}")
        time.sleep(0.02)


def is_alive(pid):
    """Whether a process runs: a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except (OSError, IndexError):
        return False


def children_of(pid):
    """Pids of the direct children of a process, of all its threads."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += [int(word) for word in file.read().split()]
    except OSError:
        pass
    return found


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode(errors="replace").split("\0")
    except OSError:
        return []


def run(arguments, seconds=None, env=None, stdin=subprocess.DEVNULL):
    """Runs accelmon once. Returns (exit code, standard output, standard error)."""
    done = subprocess.run([PROGRAM, *arguments], stdin=stdin, capture_output=True, timeout=seconds or PATIENCE,
                          env={**os.environ, **(env or {})}, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


class Page:
    """A parsed page of metrics in the text format. Enough for looking values up; the judges are other people's parsers."""

    SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: \S+)?$")
    LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')

    def __init__(self, text):
        self.text = text
        self.samples = []
        for line in text.splitlines():
            match = self.SAMPLE.match(line) if line and not line.startswith("#") else None
            if match:
                self.samples.append((match.group(1), dict(self.LABEL.findall(match.group(2) or "")),
                                     float(match.group(3))))

    def values(self, name, **labels):
        return [value for sample, has, value in self.samples
                if sample == name and all(has.get(key) == wanted for key, wanted in labels.items())]

    def value(self, name, **labels):
        found = self.values(name, **labels)
        if len(found) != 1:
            raise AssertionError(f"{name}{labels} stands {len(found)} times on the page, not once")
        return found[0]


class Answer:
    def __init__(self, response, body):
        self.status = response.status
        self.headers = {key.lower(): value for key, value in response.getheaders()}
        self.raw = body
        self.body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.text)


class Agent:
    """A running `accelmon serve`.

    config: text of a configuration file, put behind the address, the socket and the interval (so its first lines are of
    the section [poll]). listen: further lines of [listen]. under: a command that runs the program, such as valgrind.
    simulate: what --simulate gets (a name or a file); None for the machine as it is.
    """

    def __init__(self, simulate="h100x8", config="", poll="100ms", env=None, stderr=None, arguments=(), address=None,
                 socket_path=None, listen="", ready=True, under=()):
        self.folder = tempfile.TemporaryDirectory(prefix="accelmon-test-")
        self.path = pathlib.Path(self.folder.name)
        self.socket = socket_path or str(self.path / "accelmon.sock")
        self.address = address or "127.0.0.1:0"
        self.poll = poll
        self.listen = listen
        self.config_path = self.path / "accelmon.toml"
        self.write_config(config)
        command = [*under, PROGRAM, "serve", "--config", str(self.config_path), *arguments]
        if simulate is not None:
            command += ["--simulate", str(simulate)]
        self.stderr_path = self.path / "stderr"
        self.stdout_path = self.path / "stdout"
        self.collectors_seen = set()
        with open(self.stdout_path, "wb") as out, open(stderr or self.stderr_path, "wb") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                            env={**os.environ, **(env or {})}, cwd=self.folder.name)
        self.pid = self.process.pid
        STARTED.add(self)
        if ready:
            self.port = wait_for(f"the address of the agent (it said: {self.log()!r})", self._find_port)
            wait_for("the agent to be ready", self.is_ready)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def write_config(self, config):
        self.config_path.write_text(f'[listen]\naddress = "{self.address}"\nsocket = "{self.socket}"\n'
                                    f'{self.listen}[poll]\ninterval = "{self.poll}"\n{config}')

    def _find_port(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the agent ended with code {self.process.returncode}: {self.log()} {self.output()}")
        match = re.search(r"http://[^\s/]*?:(\d+)/", self.output())
        return int(match.group(1)) if match else None

    def log(self):
        return self.stderr_path.read_text(errors="replace") if self.stderr_path.exists() else ""

    def output(self):
        return self.stdout_path.read_text(errors="replace")

    def is_ready(self):
        try:
            return self.get("/-/ready").status == 200
        except OSError:
            return False

    def get(self, path, method="GET", seconds=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds or PATIENCE)
        try:
            connection.request(method, path, headers={key.replace("_", "-"): value for key, value in headers.items()})
            response = connection.getresponse()
            return Answer(response, response.read())
        finally:
            connection.close()

    def page(self):
        answer = self.get("/metrics", accept=TEXT)
        if answer.status != 200:
            raise AssertionError(f"/metrics answers {answer.status}: {answer.text}")
        return Page(answer.text)

    def status(self):
        return self.get("/api/v1/status").json()

    def collector(self, name):
        for entry in self.status()["collectors"]:
            if entry["name"] == name:
                return entry
        raise AssertionError(f"no collector {name} in the status")

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def collectors(self):
        """Pids of the collector processes, by name."""
        found = {}
        for child in children_of(self.pid):
            words = command_line(child)
            if "collect" in words:
                found[words[words.index("collect") + 1]] = child
        self.collectors_seen |= set(found.values())
        return found

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        """Ends the agent, and whatever of it should still be there. Returns the exit code."""
        self.collectors()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pid in self.collectors_seen:
            if is_alive(pid) and "collect" in command_line(pid):
                os.kill(pid, signal.SIGKILL)
        STARTED.discard(self)
        self.folder.cleanup()
        return self.process.returncode


def descriptors(pid):
    """How many the process has; None when it is gone."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None


STARTED = set()


class Scenario:
    """A scenario file in a temporary directory, which can be rewritten while an agent uses it."""

    BASE = SOURCE / "simulator/scenarios"

    def __init__(self, text):
        self.folder = tempfile.TemporaryDirectory(prefix="accelmon-scenario-")
        self.path = pathlib.Path(self.folder.name) / "scenario.toml"
        self.write(text)

    @classmethod
    def of(cls, name, more=""):
        """A shipped scenario with lines added to it."""
        return cls((cls.BASE / f"{name}.toml").read_text() + "\n" + more)

    def write(self, text):
        # Whole at once: a reader sees the old text or the new one.
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text)
        os.replace(fresh, self.path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()

    def __str__(self):
        return str(self.path)


def _watchdog(seconds):
    def over():
        print(f"the test program took longer than {seconds} s; ending what it started", file=sys.stderr, flush=True)
        for agent in list(STARTED):
            for pid in [*agent.collectors_seen, *children_of(agent.pid), agent.pid]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
        os._exit(1)

    timer = threading.Timer(seconds, over)
    timer.daemon = True
    timer.start()


def main(seconds=120):
    _watchdog(seconds * max(1.0, PATIENCE / 30))
    if not os.access(PROGRAM, os.X_OK):
        print(f"{PROGRAM} is not there; say which program to test: ACCELMON=build/debug/bin/accelmon", file=sys.stderr)
        sys.exit(1)
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    for agent in list(STARTED):
        agent.end()
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    if result.testsRun and len(result.skipped) == result.testsRun:
        sys.exit(77)
    sys.exit(0)
