#!/usr/bin/env python3
"""Clients that mean ill, or are merely broken: the agent goes on answering the others."""
import http.client
import os
import random
import socket
import unittest

from agent_fixture import Agent, main, wait_for


def all_of(connection):
    """What the other side sends until it closes (or resets)."""
    got = b""
    try:
        while chunk := connection.recv(65536):
            got += chunk
    except (ConnectionResetError, BrokenPipeError):
        pass
    return got


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.agent = Agent(simulate="t4")
        cls.addClassCleanup(cls.agent.end)

    def tearDown(self):
        self.assertEqual(self.agent.get("/-/healthy").status, 200)
        self.assertTrue(self.agent.page().values("hw_gpu_utilization_ratio"))

    def say(self, data):
        with self.agent.connect() as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            except (ConnectionResetError, BrokenPipeError):
                pass  # it had heard enough
            except OSError:
                pass
            return all_of(connection)

    def test_two_hundred_idle_connections(self):
        connections = [self.agent.connect() for _ in range(200)]
        try:
            for _ in range(5):
                self.assertEqual(self.agent.get("/metrics").status, 200)
            limit = 64
            self.assertLessEqual(self.agent.page().value("accelmon_agent_http_connections"), limit)
        finally:
            for connection in connections:
                connection.close()

    def test_half_requests_give_way(self):
        # They are given the time that a request may take to arrive whole, and not more.
        def answers(agent):
            try:
                return agent.get("/metrics").status == 200
            except (OSError, http.client.HTTPException):
                return False

        connections = []
        with Agent(simulate="t4", listen='request_timeout = "500ms"\n') as agent:
            try:
                for _ in range(100):
                    connection = agent.connect()
                    connection.sendall(b"GET /metrics HTTP/1.1\r\nHost:")
                    connections.append(connection)
                wait_for("an answer in spite of them", lambda: answers(agent))
            finally:
                for connection in connections:
                    connection.close()

    def test_malformed_requests(self):
        cases = {
            "no HTTP": b"hello\r\n\r\n",
            "zeros": b"\0" * 1000,
            "TLS": bytes.fromhex("16030100f4010000f00303") + os.urandom(240),
            "no version": b"GET /metrics\r\n\r\n",
            "version 9": b"GET /metrics HTTP/9.9\r\nHost: localhost\r\n\r\n",
            "long target": b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "long header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"b" * 100000 + b"\r\n\r\n",
            "many headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
            "negative length": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
            "huge length": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "long body": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000000,
            "bad chunk": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "control bytes": b"GET /\x01\x02 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        }
        for name, data in cases.items():
            with self.subTest(case=name):
                answer = self.say(data)
                if answer:
                    self.assertRegex(answer[:12].decode(), r"^HTTP/1\.[01] [345]\d\d")

    def test_random_bytes(self):
        source = random.Random(7)
        for _ in range(50):
            self.say(source.randbytes(source.randrange(1, 3000)))

    def test_odd_but_allowed_requests(self):
        answer = self.say(b"GET /-/healthy HTTP/1.0\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1."), answer)
        self.assertIn(b" 200 ", answer[:20])
        pipelined = self.say(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n"
                             b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self.assertEqual(pipelined.count(b"HTTP/1.1 200"), 2)

    def test_bytes_one_at_a_time(self):
        with self.agent.connect() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n":
                connection.sendall(bytes([byte]))
            self.assertTrue(all_of(connection).startswith(b"HTTP/1.1 200"))

    def test_reader_that_never_reads(self):
        connections = []
        try:
            for _ in range(10):
                connection = socket.socket()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.connect(("127.0.0.1", self.agent.port))
                connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
                connections.append(connection)
            for _ in range(5):
                self.assertEqual(self.agent.get("/metrics").status, 200)
        finally:
            for connection in connections:
                connection.close()

    def test_reset_in_the_middle(self):
        for _ in range(50):
            connection = self.agent.connect()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            connection.close()  # a reset, with the answer under way

    def test_failures_are_counted(self):
        before = sum(self.agent.page().values("accelmon_agent_http_requests_total", code_class="4xx"))
        self.agent.get("/nosuchpage")
        wait_for("the count", lambda: sum(
            self.agent.page().values("accelmon_agent_http_requests_total", code_class="4xx")) > before)


if __name__ == "__main__":
    main(180)
