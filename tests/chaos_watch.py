"""The judge of ./dev chaos: reads every page that chaos_client.py gets, and says which rule it breaks.

On every page, from the first to the last:

  answered     with status 200
  in time      see Times below
  true         no series of a collector whose last reading was older than three intervals when the page was asked for;
               no value outside the bounds of its metric (accelmon metrics); no series twice
  counters     none falls, and none grows faster than hardware can: a rate() over it shows no spike. After a restart of
               its collector or of the driver one may begin anew, near zero, as rate() takes it for
  boards       each board that was known has an hw_status row; what is constant of a board (the size of its memory)
               stays its own, whatever number the driver gives the board
  the others   each collector that is not under test is up, and its process is the one that it was

and over the whole case: no other collector lost a poll, by its own count and by the history.
"""
import dataclasses
import json
import math
import pathlib
import re
import statistics
import subprocess
import sys
import threading
import time

import agent_fixture
from chaos_client import Header

PAGE_LIMIT = 0.050
QUIET = 0.010
PAUSE = 0.04
SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
# Said of a device by whoever knows it, the presence check included.
ANYBODYS = ("hw_status", "accelmon_device_info")
# The most that a counter of an accelerator grows in a second, by its unit.
FASTEST = {"_joules_total": 5000, "_seconds_total": 2, "_bytes_total": 32e12, "_watts_total": 0}


def vocabulary():
    """Kind and bounds of each metric, by the name that it has on the page."""
    code, out, err = agent_fixture.run(["metrics", "--format", "json"])
    if code != 0:
        raise AssertionError(err)
    known = {}
    for metric in json.loads(out)["metrics"]:
        least = -math.inf if metric["minimum"] is None else metric["minimum"]
        most = math.inf if metric["maximum"] is None else metric["maximum"]
        known[metric["prometheus"]] = (metric["kind"], least, most)
    return known


@dataclasses.dataclass
class Limits:
    """How strictly times are judged. On a machine that does other things at the same time the control tells what is not
    the agent's; lenient is for a test that runs beside others."""
    lenient: bool = False
    page: float = PAGE_LIMIT

    def age(self, interval, control):
        return 3 * interval + self.page + control + (interval if self.lenient else 0)


class Entry:
    """One series: what its name and labels say."""
    __slots__ = ("metric", "labels", "owner", "counter", "least", "most", "fastest", "last", "last_at", "peak",
                 "starts", "board", "constant", "status")

    def __init__(self, text, known, owners):
        match = SAMPLE.match(text)
        if match is None:
            raise ValueError(f"no sample: {text}")
        self.metric, self.labels = match.group(1), dict(LABEL.findall(match.group(2) or ""))
        self.owner = owner_of(self.metric, self.labels, owners)
        kind, self.least, self.most = known.get(self.metric, ("gauge", -math.inf, math.inf))
        self.counter = kind == "counter"
        self.fastest = next((most for unit, most in FASTEST.items() if self.metric.endswith(unit)), math.inf)
        if self.owner in (None, "host"):
            self.fastest = math.inf
        self.last = self.last_at = None
        self.peak, self.starts = 0.0, None
        self.board = self.labels.get("hw_id")
        self.constant = self.metric == "hw_gpu_memory_limit_bytes"
        self.status = self.metric == "hw_status"


def owner_of(metric, labels, owners):
    """The collector that a series comes from; None for what the agent says of itself."""
    if metric == "accelmon_device_unread":
        return "presence"
    if metric in ANYBODYS:
        return None
    vendor = labels.get("hw_vendor")
    if metric == "accelmon_gpu_events_total" and vendor != "nvidia":
        return "kernel_log"
    if vendor in owners:
        return owners[vendor]
    if metric.startswith("system_") or metric.startswith("accelmon_host_"):
        return "host"
    return "sensors" if metric.startswith("hw_") else None


class Page:
    """What is kept of one page."""
    __slots__ = ("began", "ended", "wall", "took", "control", "stall", "counts", "own", "boards")

    def collector(self, what, name):
        return self.own.get((f"accelmon_collector_{what}", name))


class Watch(threading.Thread):
    """Reads and judges pages until end(). `owners`: which collector reads each vendor's devices; `intervals`: of each
    collector; `under`: what the client is run by, as the agent is."""

    def __init__(self, port, owners, intervals, limits, known, entries, under=()):
        super().__init__(daemon=True)
        self.owners, self.intervals, self.limits = owners, intervals, limits
        self.known, self.entries = known, entries
        self.pages, self.broken = [], {}
        self.changed = threading.Condition()
        # What the case says, set by begin():
        self.target = None
        self.neighbours = {}   # name: its restarts before
        self.boards = {}       # hw_id: its constant, or None
        self.resets = False    # counters of the target may begin anew
        self.statuses = True   # every board must have a status
        self.wild = False      # numbers may be anything that could be true
        self.behind = 0        # seconds by which the target's counters may be behind, and then leap
        self.gone = False      # no page at all is right: the agent is dead
        self.client = None
        if port is not None:  # else pages are given to judge()
            self.client = subprocess.Popen(
                [*under, sys.executable, str(pathlib.Path(__file__).with_name("chaos_client.py")), str(port), str(PAUSE)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            self.start()

    def breaks(self, rule, text):
        with self.changed:
            self.broken.setdefault(rule, []).append(text)

    def run(self):
        pipe = self.client.stdout
        while True:
            head = pipe.read(Header.size)
            if len(head) < Header.size:
                return
            began, wall, took, control, stall, status, size = Header.unpack(head)
            body = pipe.read(size)
            if len(body) < size:
                return
            if status != 200:
                if not self.gone:
                    self.breaks("answered", f"no page: {status} {body[:200].decode(errors='replace')}")
                continue
            page = Page()
            page.began, page.ended, page.wall = began, began + took, wall
            page.took, page.control, page.stall = took, control, stall
            self.judge(page, body.decode())
            with self.changed:
                self.pages.append(page)
                self.changed.notify_all()

    def judge(self, page, text):
        page.counts, page.own, page.boards = {}, {}, {}
        seen, constants, counters = set(), [], []
        entries, known = self.entries, self.known
        for line in text.splitlines():
            if not line or line[0] == "#":
                continue
            name, _, number = line.rpartition(" ")
            entry = entries.get(name)
            if entry is None:
                entry = entries[name] = Entry(name, known, self.owners)
            if name in seen:
                self.breaks("true", f"{name} stands twice on a page")
            seen.add(name)
            value = float(number)
            owner = entry.owner
            page.counts[owner] = page.counts.get(owner, 0) + 1
            if owner is None:
                if entry.status:
                    if value == 1:
                        page.boards[entry.board] = entry.labels.get("hw_state")
                elif "collector" in entry.labels and len(entry.labels) == 1:
                    page.own[entry.metric, entry.labels["collector"]] = value
                elif entry.metric == "accelmon_collector_status" and value == 1:
                    page.own[entry.metric, entry.labels["collector"]] = entry.labels.get("state")
                continue
            if not entry.least <= value <= entry.most:  # NaN is neither
                self.breaks("true", f"{name} = {value}, outside of its metric's bounds")
            if entry.counter:
                counters.append((entry, name, value))
            if entry.constant:
                constants.append((entry.board, value))
        starts = {name: page.collector("restarts_total", name) for name in self.intervals}
        for entry, name, value in counters:
            self.judge_counter(entry, name, value, page, starts.get(entry.owner))
        self.judge_page(page, constants)

    def judge_counter(self, entry, name, value, page, starts):
        # Wild numbers that could be true and bear each other out cannot be told from true ones.
        if entry.last is not None and not (self.wild and entry.owner == self.target):
            grown, elapsed = value - entry.last, page.ended - entry.last_at
            if grown < -1e-9 * abs(entry.last):
                # A new process or a new driver may begin to count anew. It must begin near zero: rate() takes what is
                # there for what has grown since.
                begins = starts != entry.starts or (self.resets and entry.owner == self.target)
                if not begins or value > 3 * entry.peak * (elapsed + 1):
                    self.breaks("counters", f"{name} fell from {entry.last} to {value}")
            elif grown > entry.fastest * (elapsed + 1 + (self.behind if entry.owner == self.target else 0)) or (
                    entry.peak and entry.fastest < math.inf and grown > 1000 * entry.peak * (elapsed + 1)):
                self.breaks("counters", f"{name} grew by {grown:.6g} in {elapsed:.2f} s")
            else:
                entry.peak = max(entry.peak, grown / max(elapsed, 0.1))
        entry.last, entry.last_at, entry.starts = value, page.ended, starts

    def judge_page(self, page, constants):
        for name, interval in self.intervals.items():
            count, heard = page.counts.get(name), page.collector("last_success_timestamp_seconds", name)
            if count and heard is not None and page.wall - heard > self.limits.age(interval, page.control):
                self.breaks("true", f"{count} series of {name}, whose last reading was {page.wall - heard:.2f} s old")
        if self.statuses:
            for board in self.boards:
                if board not in page.boards:
                    self.breaks("boards", f"{board} has no hw_status")
        if not self.wild:
            for board, value in constants:
                if self.boards.get(board) not in (None, value):
                    self.breaks("boards", f"the memory of {board} is {value:.0f}, not {self.boards[board]:.0f}")
        for name, restarts in self.neighbours.items():
            # On a machine that does other things one may be late for all of three intervals.
            if page.collector("up", name) != 1 and not self.limits.lenient:
                self.breaks("the others", f"{name} is not up")
            if page.collector("restarts_total", name) != restarts:
                self.breaks("the others", f"{name} was started again")

    # ---- for the case ----

    def begin(self, target, neighbours=(), resets=False, statuses=True, wild=False, behind=0):
        """From here on the pages belong to this case. Returns the newest page."""
        page = self.next_page()
        with self.changed:
            self.target, self.resets, self.statuses, self.wild, self.behind = target, resets, statuses, wild, behind
            self.neighbours = {name: page.collector("restarts_total", name) for name in neighbours
                               if page.collector("up", name) == 1}
            self.pages, self.broken = [], {}
        return self.next_page()

    def learn_boards(self):
        """The boards that are there now, and what is constant of each."""
        page = self.next_page()
        sizes = {}
        for entry in list(self.entries.values()):
            if entry.constant and entry.board is not None:
                sizes[entry.board] = None
        self.boards = {board: sizes.get(board) for board in page.boards if board is not None}
        return page

    def next_page(self, seconds=20):
        with self.changed:
            asked = time.monotonic()
            if not self.changed.wait_for(lambda: self.pages and self.pages[-1].began >= asked, seconds):
                raise AssertionError("no page comes any more")
            return self.pages[-1]

    def wait(self, condition, since, seconds):
        """The first page that was asked for after `since` and meets the condition; None."""
        deadline = time.monotonic() + seconds
        at = 0
        while True:
            with self.changed:
                while at < len(self.pages):
                    page = self.pages[at]
                    at += 1
                    if page.began >= since and condition(page):
                        return page
                if not self.changed.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    return None

    def times(self):
        """99th percentile and longest of the case's pages; and the verdict over them."""
        with self.changed:
            pages = list(self.pages)
        if not pages:
            return None
        took = sorted(page.took for page in pages)
        beyond = sorted(page.took - page.control for page in pages)
        limit = self.limits.page
        if self.limits.lenient:
            # Every other one: it is preempted as the control is, but not at the same moment.
            if beyond[len(beyond) // 2] > limit:
                self.breaks("in time", f"half of the pages took {beyond[len(beyond) // 2] * 1e3:.0f} ms longer than the "
                                       "control")
        else:
            for page in pages:
                if page.took > limit and page.control < QUIET:
                    self.breaks("in time", f"a page took {page.took * 1e3:.0f} ms, the control "
                                           f"{page.control * 1e3:.1f} ms")
            if beyond[int(len(beyond) * 0.99)] > limit:
                self.breaks("in time", f"one page in a hundred took {beyond[int(len(beyond) * 0.99)] * 1e3:.0f} ms "
                                       "longer than the control")
        return {"p99": took[int(len(took) * 0.99)], "slowest": took[-1], "pages": len(took),
                "control": max(page.control for page in pages), "median": statistics.median(took)}

    def stalled(self, interval):
        """How many polls of this interval the machine itself may have cost: the control stood still so long."""
        with self.changed:
            return math.ceil(sum(page.stall for page in self.pages) / interval - 0.25)

    def end(self):
        self.client.terminate()
        self.client.wait()
        self.join(5)
        self.client.stdout.close()
