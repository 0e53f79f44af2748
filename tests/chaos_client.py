#!/usr/bin/env python3
"""Reads /metrics all the time, measures how long each page took, and hands pages and times to the judge.

It is a process of its own, so that what the judge does between two pages costs no page anything: between the request
and the last byte of its answer there is nothing but send and recv. At the same time two more processes play a game that
needs no agent: one byte to and fro over loopback, forty times a second, and two milliseconds of computing before the answer,
about as much as a page is worth. What that takes longer than usual the machine took, not the agent: the worst of it while a
page was under way is the page's *control*.

    chaos_client.py PORT PAUSE

On standard output, for each page: a Header, then the page as it came. Status 0: no answer, and the reason in its place.
"""
import mmap
import os
import signal
import socket
import struct
import sys
import time

# Monotonic and wall time of the request; how long it took; the worst of the control meanwhile; how long the control
# stood still since the page before; status; length of the body.
Header = struct.Struct("<dddddiI")
PING_PAUSE = 0.025
WORK = 0.002
SLOTS = 512  # ten seconds of pings
Slot = struct.Struct("<dd")
MARGIN = 0.02  # a stall that ends just before the request delays what the request waits for


class Control:
    """Pings over loopback in processes of their own. worst(from, to): the longest that overlaps this time."""

    def __init__(self):
        self.ring = mmap.mmap(-1, Slot.size * (SLOTS + 1))
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        self.parent = os.getpid()
        self._start(self._echo, listener)
        self._start(self._ping, listener.getsockname())
        listener.close()

    def _start(self, body, argument):
        if os.fork() == 0:
            import ctypes
            ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # goes with its parent
            if os.getppid() == self.parent:
                body(argument)
            os._exit(0)

    @staticmethod
    def _work(turns):
        for _ in range(turns):
            pass

    def _echo(self, listener):
        turns = 1000
        while True:  # how many turns take WORK, when nothing comes between
            spans = []
            for _ in range(5):
                began = time.monotonic()
                self._work(turns)
                spans.append(time.monotonic() - began)
            if min(spans) >= WORK:
                break
            turns = turns * 5 // 4
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            byte = connection.recv(1)
            if not byte:
                return
            self._work(turns)
            connection.sendall(byte)

    def _ping(self, address):
        connection = socket.create_connection(address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = 0
        due = time.monotonic()
        Slot.pack_into(self.ring, 0, due, 0.0)
        while True:
            # From when it should have begun: that it was woken late is part of what it measures.
            connection.sendall(b".")
            connection.recv(1)
            now = time.monotonic()
            Slot.pack_into(self.ring, Slot.size * (1 + number % SLOTS), due, now - due)
            number += 1
            due = now + PING_PAUSE
            Slot.pack_into(self.ring, 0, due, 0.0)  # under way from here on
            time.sleep(PING_PAUSE)

    def stalled(self, since, until):
        """How much of this time pings of more than 20 ms took."""
        total = 0.0
        for slot in range(1, SLOTS + 1):
            began, took = Slot.unpack_from(self.ring, Slot.size * slot)
            if took > 0.02 and since < began + took <= until:
                total += took
        return total

    def worst(self, since, until):
        worst = 0.0
        for slot in range(1, SLOTS + 1):
            began, took = Slot.unpack_from(self.ring, Slot.size * slot)
            if began and began < until and began + took > since:
                worst = max(worst, took)
        began, _ = Slot.unpack_from(self.ring, 0)
        if began and began < until:
            worst = max(worst, time.monotonic() - began)
        return worst


def request(connection):
    """One page over an open connection. Status and body."""
    connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\n\r\n")
    data = bytearray()
    end = -1
    while end < 0:
        part = connection.recv(1 << 20)
        if not part:
            raise OSError("the connection was closed before the answer was whole")
        data += part
        end = data.find(b"\r\n\r\n")
    head = bytes(data[:end]).decode("latin-1").lower().split("\r\n")
    length = next((int(line[15:]) for line in head if line.startswith("content-length:")), None)
    if length is None:
        raise OSError("an answer without its length")
    while len(data) < end + 4 + length:
        part = connection.recv(1 << 20)
        if not part:
            raise OSError("the connection was closed before the page was whole")
        data += part
    return int(head[0].split()[1]), memoryview(data)[end + 4:]


def main():
    port, pause = int(sys.argv[1]), float(sys.argv[2])
    control = Control()
    out = sys.stdout.buffer
    connection = None
    before = time.monotonic()
    while True:
        began, wall = time.monotonic(), time.time()
        try:
            if connection is None:
                connection = socket.create_connection(("127.0.0.1", port), timeout=30)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            status, body = request(connection)
        except OSError as wrong:
            status, body = 0, str(wrong).encode()
            connection = None
        took = time.monotonic() - began
        time.sleep(pause)
        now = time.monotonic()
        out.write(Header.pack(began, wall, took, control.worst(began - MARGIN, began + took + MARGIN),
                              control.stalled(before, now), status, len(body)))
        before = now
        out.write(body)
        out.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        main()
    except BrokenPipeError:
        os._exit(0)
