"""Receivers for what the agent pushes: real programs on loopback, and sinks that remember what they were sent.

All of them are started by a test and ended by its own pid or in its own process. `missing()` names what is not installed.
"""
import gzip
import http.client
import http.server
import importlib
import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from agent_fixture import PATIENCE, SOURCE, free_port, have, wait_for

MODULES = SOURCE / ".cache/tools/usr/lib/python3/dist-packages"
PYTHON = "/usr/bin/python3" if pathlib.Path("/usr/bin/python3").exists() else sys.executable


class Process:
    """A program in a folder of its own, ended by its pid."""

    def __init__(self, command, folder, env=None):
        self.log_path = pathlib.Path(folder) / "log.txt"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder,
                                            env={**os.environ, **(env or {})})

    def log(self):
        return self.log_path.read_text(errors="replace")

    def alive(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the receiver ended: {self.log()[-2000:]}")

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def http_get(port, path, **parameters):
    """The body of an answer, whatever its status; None while nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path + ("?" + urllib.parse.urlencode(parameters, doseq=True) if parameters else ""))
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return None, ""
    finally:
        connection.close()


class Receiver:
    """A folder, a process and a port; subclasses say how it is started and when it is ready."""

    program = None

    def __init__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="accelmon-receiver-")
        self.folder = pathlib.Path(self.temporary.name)
        self.port = free_port()
        self.server = None

    def start(self, command, ready, env=None):
        self.server = Process(command, self.folder, env)

        def listens():
            self.server.alive()
            return ready()
        try:
            wait_for(f"{command[0]} to be ready", listens, max(60, PATIENCE))
        except AssertionError:
            self.end()
            raise

    def end(self):
        if self.server:
            self.server.end()
        self.temporary.cleanup()


def scrape_config(port, job="scraped"):
    """Each second, where there is something to scrape."""
    config = "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
    if port:
        config += f"scrape_configs:\n  - job_name: {job}\n    static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
    return config


class Prometheus(Receiver):
    """With remote write switched on; `scrapes`: the port of an agent that it scrapes each second."""

    def __init__(self, scrapes=None):
        super().__init__()
        (self.folder / "p.yml").write_text(scrape_config(scrapes))
        self.start([have("prometheus"), "--config.file=p.yml", "--storage.tsdb.path=data",
                    f"--web.listen-address=127.0.0.1:{self.port}", "--web.console.templates=", "--web.console.libraries=",
                    "--web.enable-remote-write-receiver"],
                   lambda: http_get(self.port, "/-/ready")[0] == 200)

    @property
    def write_url(self):
        return f"http://127.0.0.1:{self.port}/api/v1/write"

    def samples(self, selector, span="10m"):
        """{labels as a frozenset: [(milliseconds, value), ...]} of what is stored."""
        status, body = http_get(self.port, "/api/v1/query", query=f"{selector}[{span}]", time=f"{time.time() + 60:.3f}")
        if status != 200:
            raise AssertionError(f"Prometheus answers {status}: {body[:500]}")
        return {frozenset(one["metric"].items()): [(round(at * 1000), float(value)) for at, value in one["values"]]
                for one in json.loads(body)["data"]["result"]}


class VictoriaMetrics(Receiver):
    """Likewise."""

    def __init__(self, scrapes=None):
        super().__init__()
        (self.folder / "v.yml").write_text(scrape_config(scrapes))
        self.start([have("victoria-metrics"), f"-storageDataPath={self.folder}/vm",
                    f"-promscrape.config={self.folder}/v.yml",
                    f"-httpListenAddr=127.0.0.1:{self.port}", "-search.latencyOffset=0s", "-loggerLevel=WARN"],
                   lambda: http_get(self.port, "/health")[0] == 200)

    @property
    def write_url(self):
        return f"http://127.0.0.1:{self.port}/api/v1/write"

    @property
    def influx_url(self):
        return f"http://127.0.0.1:{self.port}/write?db=influx"

    def samples(self, selector):
        http_get(self.port, "/internal/force_flush")
        status, body = http_get(self.port, "/api/v1/export", **{"match[]": selector})
        if status != 200:
            raise AssertionError(f"VictoriaMetrics answers {status}: {body[:500]}")
        found = {}
        for line in body.splitlines():
            one = json.loads(line)
            found.setdefault(frozenset(one["metric"].items()), []).extend(
                (at, float(value)) for at, value in zip(one["timestamps"], one["values"]) if value is not None)
        return found


class InfluxDB(Receiver):
    def __init__(self, database="accelmon"):
        super().__init__()
        self.database = database
        (self.folder / "influx.conf").write_text(f"""reporting-disabled = true
bind-address = "127.0.0.1:{free_port()}"
[meta]
dir = "{self.folder}/meta"
[data]
dir = "{self.folder}/data"
wal-dir = "{self.folder}/wal"
query-log-enabled = false
[http]
bind-address = "127.0.0.1:{self.port}"
log-enabled = false
[monitor]
store-enabled = false
""")
        self.start([have("influxd"), "-config", "influx.conf"], lambda: http_get(self.port, "/ping")[0] == 204,
                   {"HOME": str(self.folder)})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("POST", "/query?" + urllib.parse.urlencode({"q": f"CREATE DATABASE {database}"}))
        connection.getresponse().read()
        connection.close()

    @property
    def write_url(self):
        return f"http://127.0.0.1:{self.port}/write?db={self.database}"

    def query(self, text):
        status, body = http_get(self.port, "/query", db=self.database, epoch="ns", q=text)
        if status != 200:
            raise AssertionError(f"InfluxDB answers {status}: {body[:500]}")
        return json.loads(body)["results"][0].get("series", [])

    def samples(self, measurement="accelmon"):
        """{frozenset of tags and ("__name__", field): [(milliseconds, value), ...]}"""
        found = {}
        for one in self.query(f"SELECT * FROM {measurement} GROUP BY *"):
            tags = {key: value for key, value in one["tags"].items() if value}
            for row in one["values"]:
                at = row[0] // 1_000_000
                for field, value in zip(one["columns"][1:], row[1:]):
                    if value is not None:
                        found.setdefault(frozenset({**tags, "__name__": field}.items()), []).append((at, float(value)))
        return found


class Carbon(Receiver):
    def __init__(self):
        super().__init__()
        for name in ("conf", "log", "run", "whisper"):
            (self.folder / name).mkdir()
        (self.folder / "conf/carbon.conf").write_text(f"""[cache]
LOCAL_DATA_DIR = {self.folder}/whisper
LOG_DIR = {self.folder}/log
PID_DIR = {self.folder}/run
STORAGE_DIR = {self.folder}
CONF_DIR = {self.folder}/conf
USER =
MAX_CREATES_PER_MINUTE = inf
MAX_UPDATES_PER_SECOND = inf
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = {self.port}
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = {free_port()}
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = {free_port()}
ENABLE_TAGS = False
LOG_UPDATES = False
LOG_CREATES = False
""")
        (self.folder / "conf/storage-schemas.conf").write_text("[all]\npattern = .*\nretentions = 1s:10m\n")
        self.env = {"PYTHONPATH": str(MODULES), "PYTHONDONTWRITEBYTECODE": "1", "GRAPHITE_ROOT": str(self.folder)}
        self.start([PYTHON, have("carbon-cache"), f"--config={self.folder}/conf/carbon.conf", "--nodaemon", "start"],
                   self.listens, self.env)

    @classmethod
    def works(cls):
        return have("carbon-cache") and subprocess.run(
            [PYTHON, "-c", "import twisted, cachetools, urllib3, whisper, carbon"], capture_output=True, check=False,
            env={**os.environ, "PYTHONPATH": str(MODULES)}).returncode == 0

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def samples(self):
        """{path: [(second, value), ...]}; ends carbon first, which then has written all of it."""
        # Its writer looks once a second at what came; the end of it may overtake a value that replaces one of its second.
        time.sleep(2.5)
        self.server.end()
        code = ("import json, pathlib, sys, time, whisper\n"
                "root, out = pathlib.Path(sys.argv[1]), {}\n"
                "for file in root.rglob('*.wsp'):\n"
                "    (begin, end, step), values = whisper.fetch(str(file), time.time() - 590)\n"
                "    out[str(file.relative_to(root))[:-4].replace('/', '.')] = "
                "[(begin + i * step, v) for i, v in enumerate(values) if v is not None]\n"
                "print(json.dumps(out))")
        done = subprocess.run([PYTHON, "-c", code, str(self.folder / "whisper")], capture_output=True, text=True,
                              env={**os.environ, **self.env}, timeout=PATIENCE, check=True)
        return {path: [(at, value) for at, value in values] for path, values in json.loads(done.stdout).items()}


class StatsD(Receiver):
    """The StatsD server itself (npm's statsd), with a backend that writes each flush to a file as it is."""

    SCRIPT = SOURCE / ".cache/tools/statsd/node_modules/statsd/stats.js"

    def __init__(self):
        super().__init__()
        management = free_port()
        self.flushes = self.folder / "flushes.jsonl"
        (self.folder / "backend.js").write_text(
            "exports.init = (start, config, events) => { events.on('flush', (at, all) => require('fs').appendFileSync("
            f"{json.dumps(str(self.flushes))}, JSON.stringify({{gauges: all.gauges, counters: all.counters}}) + '\\n')); "
            "return true; };\n")
        (self.folder / "config.js").write_text(json.dumps({
            "port": self.port, "address": "127.0.0.1", "mgmt_port": management, "mgmt_address": "127.0.0.1",
            "flushInterval": 500, "backends": [str(self.folder / "backend.js")]}))
        self.start([have("node"), str(self.SCRIPT), "config.js"], self.flushes.exists)

    @classmethod
    def works(cls):
        return have("node") and cls.SCRIPT.exists()

    def drops(self):
        """How many datagrams the kernel has dropped, since the server was too slow."""
        for line in pathlib.Path("/proc/net/udp").read_text().splitlines()[1:]:
            words = line.split()
            if int(words[1].rsplit(":", 1)[1], 16) == self.port:
                return int(words[-1])
        return 0

    def samples(self):
        """[(name, "g" or "c", value), ...] of all flushes, up to two from now."""
        def lines():
            return self.flushes.read_text().count("\n")
        before = lines()
        wait_for("two flushes", lambda: lines() >= before + 2)
        found = []
        for line in self.flushes.read_text().splitlines():
            one = json.loads(line)
            found += [(name, kind, value) for kind, key in (("g", "gauges"), ("c", "counters"))
                      for name, value in one[key].items() if not name.startswith("statsd.")]
        return found


# ---- sinks in this process ----

class UdpSink:
    """A UDP socket that keeps every datagram."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.socket.settimeout(0.2)
        self.datagrams = []
        self.stopping = False
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                self.datagrams.append(self.socket.recv(65536))
            except socket.timeout:
                if self.stopping:
                    return

    def end(self):
        self.stopping = True
        self.thread.join()
        self.socket.close()

    def lines(self):
        return [line for datagram in self.datagrams for line in datagram.decode().split("\n") if line]


class TcpSink:
    """A TCP port that keeps every byte of every connection."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.listener.settimeout(0.2)
        self.data = bytearray()
        self.stopping = False
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while not self.stopping:
            try:
                peer, _ = self.listener.accept()
            except socket.timeout:
                continue
            with peer:
                peer.settimeout(0.2)
                while True:
                    try:
                        part = peer.recv(1 << 16)
                    except socket.timeout:
                        if self.stopping:
                            break
                        continue
                    except OSError:
                        break
                    if not part:
                        break
                    self.data += part

    def end(self):
        self.stopping = True
        self.thread.join()
        self.listener.close()


class HttpSink:
    """An HTTP server. `answer(request)` gives (status, headers, body), or None: the connection is closed, or a function
    of the handler that answers by itself; behind it the connection is closed. `before(handler)`, asked when a request's
    head has come, is true where its body is not to be waited for: the connection is reset."""

    class Request:
        def __init__(self, handler, body):
            self.path = handler.path
            self.method = handler.command
            self.headers = {key.lower(): value for key, value in handler.headers.items()}
            self.raw = body
            self.body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body

    def __init__(self, answer=lambda request: (200, {}, b""), port=0, tls=None, before=lambda handler: False):
        """tls: an ssl.SSLContext."""
        self.requests = []
        self.answer = answer
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # pylint: disable=invalid-name
                if before(self):
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.close_connection = True
                    return
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                request = HttpSink.Request(self, body)
                told = sink.answer(request)
                if told is None or callable(told):
                    self.close_connection = True
                    try:
                        if told is not None:
                            told(self)
                    except OSError:
                        pass
                    return
                status, headers, text = told
                if status // 100 == 2:
                    sink.requests.append(request)
                try:
                    self.send_response(status)
                    for key, value in headers.items():
                        self.send_header(key, value)
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)
                except OSError:
                    self.close_connection = True

            do_GET = do_PUT = do_POST

            def log_message(self, *_):
                pass

        class Threading(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_):
                pass

        self.server = Threading(("127.0.0.1", port), Handler)
        self.scheme = "https" if tls else "http"
        if tls:
            # The handshake is the connection's own thread's.
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def url(self, path="/"):
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def end(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class GrpcSink:
    """A gRPC server of OTLP's metrics service, by python3-grpcio; keeps the messages as bytes.

    tls: (key, certificate, authority of clients' certificates or None), as bytes. options: of the server."""

    def __init__(self, tls=None, options=()):
        grpc = importlib.import_module("grpc")
        futures = importlib.import_module("concurrent.futures")
        self.messages = []
        self.peers = []
        sink = self

        class Handler(grpc.GenericRpcHandler):
            def service(self, details):
                if details.method != "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export":
                    return None

                def export(message, context):
                    sink.messages.append(message)
                    sink.peers.append((context.peer(), context.auth_context().get("x509_common_name")))
                    return b""
                return grpc.unary_unary_rpc_method_handler(export)

        self.server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[Handler()], options=options)
        if tls:
            key, certificate, authority = tls
            self.port = self.server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(
                [(key, certificate)], root_certificates=authority, require_client_auth=authority is not None))
        else:
            self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def end(self):
        self.server.stop(1).wait()


_PROTOS = {}


def proto(name):
    """Python classes of src/encode/testdata/proto/NAME.proto, made by protoc; None where there is no protoc or library."""
    if name not in _PROTOS:
        _PROTOS[name] = None
        if have("protoc") and module("google.protobuf"):
            folder = tempfile.mkdtemp(prefix="accelmon-proto-")
            try:
                subprocess.run([have("protoc"), f"--proto_path={SOURCE}/src/encode/testdata/proto",
                                f"--python_out={folder}", f"{name}.proto"], check=True, capture_output=True)
                sys.path.insert(0, folder)
                _PROTOS[name] = importlib.import_module(f"{name}_pb2")
                sys.path.remove(folder)
            finally:
                for path in sorted(pathlib.Path(folder).rglob("*"), reverse=True):
                    path.rmdir() if path.is_dir() else path.unlink()
                os.rmdir(folder)
    return _PROTOS[name]


def module(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def unsnappy(data):
    """Snappy's block format, in a few lines: python3-snappy would be one more package."""
    size = shift = at = 0
    while True:
        byte = data[at]
        at += 1
        size |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            break
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        kind = tag & 3
        if kind == 0:
            length = (tag >> 2) + 1
            if length > 60:
                more = length - 60
                length = int.from_bytes(data[at:at + more], "little") + 1
                at += more
            out += data[at:at + length]
            at += length
            continue
        if kind == 1:
            length, offset = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | data[at]
            at += 1
        elif kind == 2:
            length, offset = (tag >> 2) + 1, struct.unpack_from("<H", data, at)[0]
            at += 2
        else:
            length, offset = (tag >> 2) + 1, struct.unpack_from("<I", data, at)[0]
            at += 4
        if offset == 0 or offset > len(out):
            raise ValueError("snappy: a copy from before the beginning")
        if offset >= length:
            start = len(out) - offset
            out += out[start:start + length]
        else:
            for _ in range(length):
                out.append(out[-offset])
    if len(out) != size:
        raise ValueError("snappy: another length than stated")
    return bytes(out)


STALE = struct.unpack("<d", struct.pack("<Q", 0x7ff0000000000002))[0]


def markers(body):
    """[(labels as a frozenset, milliseconds), ...] of the stale markers in a request of remote write 1.0."""
    request = proto("remote").WriteRequest.FromString(unsnappy(body))
    return [(frozenset((label.name, label.value) for label in series.labels), sample.timestamp)
            for series in request.timeseries for sample in series.samples if sample.value != sample.value]


def written(body):
    """[(labels as a frozenset, milliseconds, value), ...] of a request of remote write 1.0; stale markers are left out."""
    request = proto("remote").WriteRequest.FromString(unsnappy(body))
    found = []
    for series in request.timeseries:
        labels = frozenset((label.name, label.value) for label in series.labels)
        found += [(labels, sample.timestamp, sample.value) for sample in series.samples if sample.value == sample.value]
    return found
