#!/usr/bin/env python3
"""TLS, users, tokens, limits and secrets of the HTTP server, judged by curl, openssl, Python's ssl and Prometheus."""
import base64
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

from agent_fixture import PATIENCE, TEXT, Agent, children_of, free_port, have, main, run, wait_for
from keys import Keys, openssl
from receivers import Process

PASSWORD = "correct-horse-battery"
# Of PASSWORD, at cost 4: the tests check many. Made with: htpasswd -nbBC 4 alice correct-horse-battery
ALICE = "$2y$04$9YlNs/W0oF/xeuEZIyWr9OaCzt7oqLH7clYW8BQq5F6E7bOBwc7DW"
TOKEN = "0123456789abcdef0123456789abcdef-token"


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Guarded(unittest.TestCase):
    """An agent whose listener is guarded by the web-config file WEB."""

    WEB = ""
    LISTEN = ""

    @classmethod
    def setUpClass(cls):
        if have("openssl") is None:
            raise unittest.SkipTest("openssl is not installed")
        folder = tempfile.TemporaryDirectory(prefix="accelmon-keys-")
        cls.addClassCleanup(folder.cleanup)
        cls.keys = Keys(folder.name)
        cls.web = pathlib.Path(folder.name) / "web-config.yml"
        cls.web.write_text(cls.WEB)
        cls.tokens = pathlib.Path(folder.name) / "tokens"
        cls.tokens.write_text(f"# who scrapes\n\n{TOKEN}\n")
        cls.tokens.chmod(0o600)
        cls.start()

    @classmethod
    def start(cls):
        listen = f'web_config = "{cls.web}"\n' if cls.WEB else ""
        listen += cls.LISTEN.replace("TOKENS", str(cls.tokens))
        cls.agent = Agent(simulate="h100x8", listen=listen, ready=False)
        cls.addClassCleanup(cls.agent.end)
        cls.agent.port = wait_for("the agent's address", cls.address)
        wait_for("the agent to be ready", lambda: cls.local("/-/ready") == b"ready\n")

    @classmethod
    def address(cls):
        """The port, from what the agent says on its local socket."""
        if cls.agent.process.poll() is not None:
            raise AssertionError(f"the agent ended: {cls.agent.log()} {cls.agent.output()}")
        try:
            address = json.loads(cls.local("/api/v1/status"))["address"]
        except (OSError, ValueError):
            return None
        return int(address.rsplit(":", 1)[1])

    @classmethod
    def local(cls, path):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(cls.agent.socket)
            client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = b""
            while chunk := client.recv(65536):
                answer += chunk
        return answer.split(b"\r\n\r\n", 1)[1]

    def curl(self, path="/metrics", *arguments, scheme="https"):
        """(curl's exit code, HTTP status, what it printed)."""
        done = subprocess.run(
            ["curl", "--silent", "--show-error", "--max-time", "20", "--noproxy", "*", "--cacert", self.keys.path("ca.pem"),
             "--write-out", "\n%{http_code}", *arguments, f"{scheme}://localhost:{self.agent.port}{path}"],
            capture_output=True, timeout=PATIENCE, text=True, check=False)
        body, _, status = done.stdout.rpartition("\n")
        return done.returncode, int(status or 0), body + done.stderr

    def client(self, name):
        return ["--cert", self.keys.path(f"{name}.pem"), "--key", self.keys.path(f"{name}.key")]

    def context(self, **attributes):
        context = ssl.create_default_context(cafile=self.keys.path("ca.pem"))
        for name, value in attributes.items():
            setattr(context, name, value)
        return context

    def connect(self, context):
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.agent.port), PATIENCE),
                                   server_hostname="localhost")

    def raw(self, request):
        with socket.create_connection(("127.0.0.1", self.agent.port), PATIENCE) as client:
            client.sendall(request.encode())
            answer = b""
            while chunk := client.recv(65536):
                answer += chunk
        return answer.decode(errors="replace")


class Tls(Guarded):
    WEB = """
tls_server_config:
  cert_file: server.pem
  key_file: server.key
http_server_config:
  http2: true
  headers:
    Strict-Transport-Security: max-age=31536000
    X-Frame-Options: deny
"""

    def test_curl_reads_the_page(self):
        code, status, page = self.curl("/metrics", "--include")
        self.assertEqual((code, status), (0, 200), page)
        self.assertIn("hw_gpu_utilization_ratio", page)
        self.assertIn("Strict-Transport-Security: max-age=31536000", page)
        self.assertIn("X-Frame-Options: deny", page)

    def test_both_versions_and_alpn(self):
        for version in ("-tls1_2", "-tls1_3"):
            said = openssl("s_client", version, "-connect", f"127.0.0.1:{self.agent.port}", "-servername", "localhost",
                           "-CAfile", self.keys.path("ca.pem"), "-verify_return_error", "-alpn", "h2,http/1.1",
                           text="Q\n")
            self.assertIn("Verify return code: 0 (ok)", said)
            self.assertIn("ALPN protocol: http/1.1", said)
            self.assertIn("Secure Renegotiation IS" if version == "-tls1_2" else "TLSv1.3", said)
            self.assertNotIn("session ticket:\n", said.lower())

    def test_old_versions_and_other_protocols_are_refused(self):
        for extra in (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-alpn", "h2"], ["-cipher", "AES128-SHA", "-tls1_2"]):
            done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.agent.port}", *extra], input=b"",
                                  capture_output=True, timeout=PATIENCE, check=False)
            self.assertNotEqual(done.returncode, 0, extra)
            self.assertIn(b"alert", done.stderr, extra)

    def test_renegotiation_is_refused(self):
        done = subprocess.run(["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{self.agent.port}"], input=b"R\n",
                              capture_output=True, timeout=PATIENCE, check=False)
        self.assertIn(b"no renegotiation", done.stderr)

    def test_pythons_ssl_keeps_the_connection(self):
        with self.connect(self.context()) as client:
            self.assertEqual(client.version(), "TLSv1.3")
            for _ in range(3):
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
                answer = b""
                while b"\r\n\r\n" not in answer:
                    answer += client.recv(65536)
                head, _, body = answer.partition(b"\r\n\r\n")
                length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
                self.assertGreater(length, 50000)  # more than one record
                while len(body) < length:
                    body += client.recv(65536)
                self.assertEqual(len(body), length)
                self.assertTrue(body.endswith(b"\n"))

    def test_a_request_in_pieces_and_two_at_once(self):
        with self.connect(self.context()) as client:
            for piece in (b"GET /-/hea", b"lthy HTTP/1.1\r\nHo", b"st: localhost\r\n\r\nGET /-/healthy HTTP/1.0\r\n\r\n"):
                client.sendall(piece)
            answer = b""
            while chunk := client.recv(65536):
                answer += chunk
            self.assertEqual(answer.count(b"200 OK"), 2)

    def test_plain_http_is_told(self):
        answer = self.raw("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertIn("400 Bad Request", answer)
        self.assertIn("https://", answer)

    def test_garbage_and_silence_harm_nobody(self):
        idle = [socket.create_connection(("127.0.0.1", self.agent.port), PATIENCE) for _ in range(20)]
        for junk in (b"\x16\x03\x01\x02\x00\x01", os.urandom(4096), b"\0" * 100):
            with socket.create_connection(("127.0.0.1", self.agent.port), PATIENCE) as client:
                client.sendall(junk)
                client.shutdown(socket.SHUT_WR)
                while client.recv(4096):
                    pass
        self.assertEqual(self.curl("/-/healthy")[1], 200)
        for one in idle:
            one.close()

    def test_openssl_is_in_the_agent_alone(self):
        with open(f"/proc/{self.agent.pid}/maps", encoding="ascii") as maps:
            self.assertIn("libssl", maps.read())
        children = children_of(self.agent.pid)
        self.assertTrue(children)
        for child in children:
            with open(f"/proc/{child}/maps", encoding="ascii") as maps:
                self.assertNotIn("libssl", maps.read())


class NewFiles(Guarded):
    WEB = "tls_server_config: {cert_file: server.pem, key_file: server.key}\nbasic_auth_users: {alice: '" + ALICE + "'}\n"

    def serial(self):
        pem = ssl.get_server_certificate(("127.0.0.1", self.agent.port))
        return openssl("x509", "-noout", "-subject", text=pem).strip()

    def test_new_certificates_and_broken_files(self):
        self.assertIn("server", self.serial())
        # Key and certificate cannot be replaced at one instant: between the two the old pair serves.
        shutil.copy(self.keys.path("second.pem"), self.keys.path("server.pem"))
        wait_for("the agent to say that they do not fit", lambda: self.serial() and "is not the key of" in self.agent.log())
        self.assertIn("Still serving with the old files", self.agent.log())
        self.assertIn("CN = server", self.serial())
        shutil.copy(self.keys.path("second.key"), self.keys.path("server.key"))
        wait_for("the new certificate", lambda: "CN = second" in self.serial())

        # A file that is just being written is empty: it must not open the door.
        good = self.web.read_text()
        self.web.write_text("")
        wait_for("the refusal of the empty file", lambda: self.serial() and "takes a restart" in self.agent.log())
        self.assertEqual(self.curl("/metrics")[1], 401)
        self.web.write_text(good + "basic_auth_user: {}\n")
        wait_for("the refusal of the unknown key",
                 lambda: self.serial() and 'unknown key "basic_auth_user" in the file; did you mean' in self.agent.log())
        self.assertEqual(self.curl("/metrics", "--user", f"alice:{PASSWORD}")[1], 200)
        self.web.write_text(good.replace("alice", "bob"))
        wait_for("bob", lambda: self.curl("/metrics", "--user", f"bob:{PASSWORD}")[1] == 200)
        self.assertEqual(self.curl("/metrics", "--user", f"alice:{PASSWORD}")[1], 401)

        # SIGHUP reads at once, and counts what it could not read.
        self.web.write_text("tls_server_config: [")
        before = self.agent.log().count("not YAML")
        self.agent.signal(1)
        wait_for("the complaint", lambda: self.agent.log().count("not YAML") > before)
        self.assertIn(f"{self.web}:", self.agent.log())
        self.web.write_text(good)


class ClientCertificates(Guarded):
    WEB = """
tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  client_allowed_sans: [scraper.example]
"""

    def test_who_may_read(self):
        self.assertEqual(self.curl("/metrics", *self.client("client"))[:2], (0, 200))
        for version in ("--tlsv1.2 --tls-max 1.2", "--tlsv1.3"):
            self.assertEqual(self.curl("/metrics", *version.split(), *self.client("client"))[:2], (0, 200))
            for name in ("other", "foreign", "expired"):
                code, status, said = self.curl("/metrics", *version.split(), *self.client(name))
                self.assertNotEqual(code, 0, name)
                self.assertEqual(status, 0, (name, said))
            self.assertEqual(self.curl("/metrics", *version.split())[1], 0)
        self.assertIn("a client's TLS handshake failed", self.agent.log())

    def test_the_page_tells_of_handshakes_and_of_the_certificates_end(self):
        end = subprocess.run(["openssl", "x509", "-noout", "-enddate", "-in", self.keys.path("server.pem")],
                             capture_output=True, timeout=PATIENCE, text=True, check=True).stdout.strip()
        end = ssl.cert_time_to_seconds(end.removeprefix("notAfter="))

        def value(name):
            _, status, page = self.curl("/metrics", *self.client("client"))
            self.assertEqual(status, 200)
            found = [line.split()[1] for line in page.splitlines() if line.startswith(name + " ")]
            return float(found[0]) if found else None

        self.assertAlmostEqual(value("accelmon_agent_tls_certificate_expiry_timestamp_seconds"), end, delta=2)
        before = value("accelmon_agent_tls_handshake_failures_total")
        self.assertEqual(self.curl("/metrics")[1], 0)
        wait_for("the failure on the page", lambda: value("accelmon_agent_tls_handshake_failures_total") > before)

    def test_the_clients_authority_is_named(self):
        said = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.agent.port}"], input=b"",
                              capture_output=True, timeout=PATIENCE, check=False).stdout
        self.assertIn(b"Acceptable client certificate CA names\nCN = ca", said)

    def test_python_sees_the_alert(self):
        context = self.context()
        with self.assertRaises(OSError):
            with self.connect(context) as client:
                client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                if not client.recv(100):
                    raise ConnectionError("closed")
        context.load_cert_chain(self.keys.path("client.pem"), self.keys.path("client.key"))
        with self.connect(context) as client:
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 200"))


class Users(Guarded):
    WEB = "basic_auth_users:\n  alice: " + ALICE + "\n"
    LISTEN = 'bearer_tokens_file = "TOKENS"\n'

    def get(self, path="/metrics", **headers):
        return self.agent.get(path, **headers)

    def test_passwords(self):
        self.assertEqual(self.get(authorization=basic("alice", PASSWORD)).status, 200)
        refused = self.raw("GET /metrics HTTP/1.0\r\n\r\n")
        self.assertTrue(refused.startswith("HTTP/1.1 401"), refused)
        self.assertIn('\r\nWWW-Authenticate: Basic realm="accelmon"', refused)
        self.assertIn('\r\nWWW-Authenticate: Bearer realm="accelmon"', refused)
        for user, password in (("alice", "wrong"), ("bob", PASSWORD), ("alice", PASSWORD + "\0x"), ("alice", ""), ("", "")):
            self.assertEqual(self.get(authorization=basic(user, password)).status, 401, (user, password))
        for malformed in ("Basic", "Basic !!!!", "Basic " + "A" * 5000, "Negotiate abc", "Bearer", "Basic YWxpY2U="):
            self.assertEqual(self.get(authorization=malformed).status, 401, malformed)
        self.assertEqual(self.get(authorization=basic("alice", PASSWORD)).status, 200)

    def test_tokens(self):
        self.assertEqual(self.get(authorization="Bearer " + TOKEN).status, 200)
        self.assertEqual(self.get(authorization="bearer  " + TOKEN).status, 200)
        for wrong in (TOKEN[:-1], TOKEN + "x", "# who scrapes"):
            self.assertEqual(self.get(authorization="Bearer " + wrong).status, 401)

    def test_which_pages_are_open(self):
        for path in ("/-/healthy", "/-/ready", "/healthz", "/readyz"):
            self.assertEqual(self.get(path).status, 200, path)
        for path in ("/", "/metrics", "/api/v1/status", "/nothing", "/-/healthy/", "//-/healthy", "/-/healthy%2f..",
                     "/metrics?x=/-/healthy"):
            self.assertEqual(self.get(path).status, 401, path)
        self.assertIn(b"hw_gpu_utilization_ratio", self.local("/metrics"))

    def test_two_headers_are_none(self):
        good = basic("alice", PASSWORD)
        answer = self.raw(f"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: {good}\r\n"
                          f"Authorization: {good}\r\n\r\n")
        self.assertTrue(answer.startswith("HTTP/1.1 401"), answer[:100])

    def test_names_matter_no_more(self):
        # Who shows a password cannot be a page in a browser that guesses.
        self.assertEqual(self.get(host="evil.example", authorization=basic("alice", PASSWORD)).status, 200)


class Guessing(Guarded):
    WEB = "basic_auth_users:\n  alice: " + ALICE + "\n"

    def test_guessing_is_bounded_and_known_passwords_are_not(self):
        self.assertEqual(self.agent.get("/metrics", authorization=basic("alice", PASSWORD)).status, 200)
        answers = [self.agent.get("/metrics", authorization=basic("alice", f"guess{i}")) for i in range(60)]
        statuses = [answer.status for answer in answers]
        self.assertEqual(set(statuses), {401, 429})
        # A minute of patience refills twenty.
        self.assertLess(statuses.count(401), 40)
        self.assertGreater(int(answers[-1].headers["retry-after"]), 0)
        self.assertEqual(self.agent.get("/metrics", authorization=basic("alice", PASSWORD)).status, 200)


class Names(Guarded):
    LISTEN = 'hosts = ["gpu.example"]\nrequests_per_second = 50\n'

    def test_rebinding_is_refused(self):
        for good in ("localhost", "127.0.0.1:1", "[::1]:19400", "gpu.example:80", "GPU.EXAMPLE.", socket.gethostname(),
                     "a.localhost"):
            self.assertEqual(self.agent.get("/metrics", host=good).status, 200, good)
        for bad in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0", "10.0.0.1", "gpu.example.x",
                    "[::2]", "[", ":19400"):
            answer = self.agent.get("/metrics", host=bad)
            self.assertEqual(answer.status, 421, bad)
            self.assertNotIn("hw_", answer.text)
        answer = self.raw("GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self.assertTrue(answer.startswith("HTTP/1.1 421"), answer[:100])
        self.assertTrue(self.raw("GET /metrics HTTP/1.0\r\n\r\n").startswith("HTTP/1.1 200"))

    def test_too_many_requests(self):
        def burst():
            with socket.create_connection(("127.0.0.1", self.agent.port), PATIENCE) as client:
                client.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n" * 400 + b"GET / HTTP/1.0\r\n\r\n")
                answer = b""
                while chunk := client.recv(65536):
                    answer += chunk
            return answer
        answer = burst()
        self.assertGreater(answer.count(b"HTTP/1.1 429"), 0)
        self.assertIn(b"Retry-After: 1\r\n", answer)
        self.assertIn(b"hw_gpu_utilization_ratio", self.local("/metrics"))


class Secrets(Guarded):
    WEB = ("tls_server_config: {cert_file: server.pem, key_file: server.key}\n"
           "basic_auth_users:\n  alice: " + ALICE + "\n")
    LISTEN = 'bearer_tokens_file = "TOKENS"\n'

    def test_nothing_shows_them(self):
        key = "".join(pathlib.Path(self.keys.path("server.key")).read_text().splitlines()[1:3])
        secrets = [PASSWORD, TOKEN, ALICE, ALICE[7:], basic("alice", PASSWORD)[6:], key, key[:40]]
        said = []
        for authorization in (basic("alice", PASSWORD), "Bearer " + TOKEN, basic("alice", "wr" + PASSWORD)):
            for path in ("/metrics", "/", "/api/v1/status", "/nothing"):
                said.append(self.curl(path, "--include", "--header", f"Authorization: {authorization}")[2])
        for path in ("/metrics", "/api/v1/status", "/"):
            said.append(self.local(path).decode())
        # Broken files are what errors are about.
        good = self.web.read_text()
        for broken in (good.replace(ALICE, "$2y$" + PASSWORD), good.replace("alice: ", "alice: [").replace("\n", "\n\t"),
                       good.replace("server.key", "tokens")):
            self.web.write_text(broken)
            before = len(self.agent.log())
            self.agent.signal(1)
            wait_for("an error", lambda length=before: "Still serving" in self.agent.log()[length:])
            said += run(["config", "check", str(self.agent.config_path)])[1:]
        self.web.write_text(good)
        good_tokens = self.tokens.read_text()
        self.tokens.write_text(TOKEN + " " + TOKEN + "\n")
        before = len(self.agent.log())
        self.agent.signal(1)
        wait_for("an error", lambda: "a token has no blanks" in self.agent.log()[before:])
        self.tokens.write_text(good_tokens)
        for verb in (["status"], ["doctor"], ["config", "check", str(self.agent.config_path)]):
            said += run([*verb], env={"RUNTIME_DIRECTORY": str(self.agent.path)})[1:]
        said += [self.agent.log(), self.agent.output()]
        for pid in [self.agent.pid, *children_of(self.agent.pid)]:
            for name in ("cmdline", "environ"):
                said.append(pathlib.Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace"))
        self.assertTrue(all(isinstance(one, str) for one in said))
        self.assertTrue(any("hw_gpu_utilization_ratio" in one for one in said))
        for one in said:
            for secret in secrets:
                self.assertNotIn(secret, one)


class Prometheus(Guarded):
    """The file that guards the agent guards a Prometheus as well, unchanged; and that Prometheus scrapes the agent."""

    WEB = """
# As an operator has it for his other exporters.
tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_auth_type: "NoClientCert"
  min_version: TLS12
  cipher_suites:
    - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
    - TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
  prefer_server_cipher_suites: true
  curve_preferences: [X25519, CurveP256]
http_server_config:
  http2: true
  headers:
    X-Content-Type-Options: nosniff
basic_auth_users:
  alice: """ + ALICE + "\n"

    def test_a_scrape_with_tls_and_a_password(self):
        if have("prometheus") is None:
            self.skipTest("prometheus is not installed")
        if have("promtool") is not None:
            subprocess.run([have("promtool"), "check", "web-config", str(self.web)], check=True, capture_output=True,
                           timeout=PATIENCE)
        folder = pathlib.Path(self.keys.folder)
        port = free_port()
        config = folder / "prometheus.yml"
        config.write_text(f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: accelmon
    scheme: https
    tls_config: {{ca_file: {self.keys.path("ca.pem")}, server_name: localhost}}
    basic_auth: {{username: alice, password: {PASSWORD}}}
    static_configs: [{{targets: ['127.0.0.1:{self.agent.port}']}}]
""")
        server = Process([have("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
                          f"--web.listen-address=127.0.0.1:{port}", f"--web.config.file={self.web}",
                          "--web.console.templates=", "--web.console.libraries="], folder)
        self.addCleanup(server.end)

        def ask(query):
            server.alive()
            request = urllib.request.Request(
                f"https://localhost:{port}/api/v1/query?{urllib.parse.urlencode({'query': query})}",
                headers={"Authorization": basic("alice", PASSWORD)})
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE, context=self.context()) as answer:
                    return json.load(answer)["data"]["result"]
            except OSError:
                return None
        up = wait_for("two scrapes", lambda: [one for one in ask('sum_over_time(up{job="accelmon"}[1m])') or []
                                              if float(one["value"][1]) >= 2], 60)
        self.assertEqual(len(up), 1)
        self.assertEqual(len(ask('hw_gpu_utilization_ratio{hw_gpu_task="general"}')), 8)


class Start(unittest.TestCase):
    @unittest.skipIf(have("openssl") is None, "openssl is not installed")
    def test_certificates_that_fit_and_that_do_not(self):
        with tempfile.TemporaryDirectory(prefix="accelmon-keys-") as folder:
            keys = Keys(folder)
            web = pathlib.Path(folder) / "web.yml"
            config = pathlib.Path(folder) / "accelmon.toml"
            config.write_text(f'[listen]\naddress = "127.0.0.1:0"\nweb_config = "{web}"\n')
            openssl("pkey", "-in", keys.path("server.key"), "-aes256", "-passout", "pass:x", "-out", keys.path("locked.key"))
            pathlib.Path(keys.path("torn.pem")).write_text(pathlib.Path(keys.path("server.pem")).read_text()[:200])
            for cert, key, good, wanted in (
                    ("server.pem", "server.key", True, ""),
                    ("expired.pem", "expired.key", True, "expired.pem has expired"),
                    ("server.pem", "second.key", False, "second.key: is not the key of the certificate in"),
                    ("server.pem", "locked.key", False, "openssl pkey"),
                    ("server.key", "server.key", False, "server.key: holds no certificate"),
                    ("torn.pem", "server.key", False, "torn.pem: "),
                    ("server.pem", "server.pem", False, "server.pem: holds no private key"),
                    (".", "server.key", False, "is not a regular file")):
                web.write_text(f"tls_server_config:\n  cert_file: {cert}\n  key_file: {key}\n")
                code, out, err = run(["config", "check", str(config)])
                self.assertEqual(code == 0, good, (cert, key, out, err))
                self.assertIn(wanted, out + err)

    def test_errors_name_the_file_and_the_line(self):
        with tempfile.TemporaryDirectory(prefix="accelmon-keys-") as folder:
            web = pathlib.Path(folder) / "web.yml"
            config = pathlib.Path(folder) / "accelmon.toml"
            config.write_text(f'[listen]\naddress = "127.0.0.1:0"\nweb_config = "{web}"\n')
            for text, wanted in (
                    ("tls_server_config:\n  cert_fil: x\n", f'{web}:2:3: unknown key "cert_fil"'),
                    ("tls_server_config:\n  cert_file: x\n", "lacks key_file"),
                    ("tls_server_config:\n  cert_file: x\n  key_file: y\n", "x: No such file"),
                    ("tls_server_config:\n  min_version: TLS10\n", "broken and not offered"),
                    ("basic_auth_users:\n  bob: hunter2\n", f"{web}:2:8: this is no bcrypt hash"),
                    ("a: &x 1\nb: *x\n", ":2:4: aliases"),
                    ("rate_limit: {interval: soon}\n", "interval is a time"),
                    ("- a\n", "is no section")):
                web.write_text(text)
                for verb in (["config", "check", str(config)], ["serve", "--config", str(config), "--simulate", "h100x8"]):
                    code, out, err = run(verb)
                    self.assertNotEqual(code, 0, (text, verb))
                    self.assertIn(wanted, out + err, verb)
                    self.assertNotIn("hunter2", out + err)


if __name__ == "__main__":
    main(240)
