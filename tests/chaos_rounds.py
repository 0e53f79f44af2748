"""A thousand faults in turn on one agent, and what they leave behind.

Each round strikes one collector with one fault, waits until the agent has noticed, mends it, and waits until the collector
is back. After a crash the agent would wait a second, and longer each time; so that a thousand rounds do not take hours the
collector is released and taken up again at once, which starts it anew. In each fiftieth round the back-off itself is waited
for. The judge of the pages watches all the while.
"""
import os
import signal
import statistics
import time

import chaos_cases
from agent_fixture import children_of, command_line, descriptors, wait_for
from chaos_rig import Rig

# Of twenty rounds.
MIX = ["kill", "crash", "corrupt", "release", "kill", "crash", "corrupt", "release", "kill", "memory",
       "kill", "crash", "corrupt", "release", "kill", "crash", "corrupt", "release", "kill", "hang"]
VICTIMS = ["nvml", "amdgpu", "level_zero"]
UNHARMED = ["host", "sensors", "kernel_log", "presence"]


def private_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_Dirty:"))


class Counted:
    def __init__(self):
        self.rounds, self.took, self.faults, self.broken = 0, 0.0, {}, {}
        self.memory, self.times, self.before, self.after = [], None, None, None
        self.lost = {}

    def fifth(self, number):
        size = max(1, len(self.memory) // 5)
        return statistics.median(self.memory[number * size:(number + 1) * size])

    def text(self):
        mix = ", ".join(f"{count} x {fault}" for fault, count in sorted(self.faults.items()))
        lines = [f"{self.rounds} rounds in {self.took / 60:.1f} minutes ({mix})",
                 f"processes {len(self.before['family'])} before, {len(self.after['family'])} after; descriptors of the "
                 f"agent {self.before['agent']}, {self.after['agent']}; of the collectors {self.before['collectors']}, "
                 f"{self.after['collectors']}",
                 f"private memory of the agent: middle {self.fifth(2):.0f} KiB, end {self.fifth(4):.0f} KiB",
                 f"{self.times['pages']} pages, 99 % in {self.times['p99'] * 1e3:.1f} ms, slowest "
                 f"{self.times['slowest'] * 1e3:.1f} ms; polls lost by those that were not struck: {self.lost}"]
        for rule, texts in self.broken.items():
            lines.append(f"BROKEN, {rule}: {texts[0]}" + (f" (and {len(texts) - 1} more)" if len(texts) > 1 else ""))
        return "\n".join(lines)


def pid_of(rig, name, known={}):
    """Of a collector's process; the one that it had last is looked at first."""
    pid = known.get(name)
    if pid is None or command_line(pid)[1:3] != ["collect", name]:
        pid = known[name] = next((one for one in children_of(rig.agent.pid)
                                  if command_line(one)[1:3] == ["collect", name]), None)
    return pid


def strike(rig, name, fault, old):
    """Does it, and waits until its process is gone or on its way."""
    driver = chaos_cases.DRIVERS[name]
    text = lambda kind, where: f'[[fault]]\nkind = "{kind}"\nvendor = "{driver["vendor"]}"\n{driver[where]}\n'
    if fault == "release":
        rig.control("release", name)
    elif fault == "kill":
        os.kill(old, signal.SIGKILL)
    elif fault == "corrupt":
        chaos_cases.corrupt_stream(old)
    else:
        rig.fault(text(*{"crash": ("crash", "call"), "memory": ("memory", "all"), "hang": ("hang", "call")}[fault]))
    wait_for(f"the end of {name} after {fault}", lambda: pid_of(rig, name) != old, 60)
    if fault in ("crash", "memory", "hang"):
        rig.fault("")


def run(count, limits, nice):
    counted = Counted()
    # A small history is full soon, and then must stay as large as it is.
    rig = Rig("main", limits, nice=nice, memory="256KiB")
    try:
        for name in VICTIMS:
            rig.settle(name)
        watch = rig.watch
        watch.learn_boards()
        state = lambda: {"family": rig.family(), "agent": descriptors(rig.agent.pid),
                         "collectors": sum(n for who, n in rig.open_files().items() if who != "agent")}
        counted.before = state()
        # What is let go for a moment has no status, and a page of it may come between.
        first = watch.begin(None, [name for name in UNHARMED if name in rig.names], statuses=False)
        began = time.monotonic()
        for number in range(count):
            name, fault = VICTIMS[number % len(VICTIMS)], MIX[number % len(MIX)]
            old = wait_for(f"a process of {name}", lambda: pid_of(rig, name), 60)
            strike(rig, name, fault, old)
            if fault == "release" or number % 50 != 49:
                if fault != "release":
                    rig.control("release", name)
                rig.control("resume", name)
            since = time.monotonic()
            if watch.wait(lambda page: page.counts.get(name, 0) > 100 and page.collector("up", name) == 1, since,
                          90) is None:
                watch.breaks("back", f"{name} did not come back after {fault} in round {number}")
            counted.faults[fault] = counted.faults.get(fault, 0) + 1
            counted.rounds += 1
            if number % 5 == 4:
                counted.memory.append(private_kib(rig.agent.pid))
            if number % 100 == 99:
                print(f"  {number + 1} rounds, {time.monotonic() - began:.0f} s: agent {descriptors(rig.agent.pid)} "
                      f"descriptors, {counted.memory[-1]} KiB private", flush=True)
        counted.took = time.monotonic() - began
        for name in VICTIMS:
            rig.settle(name)
        last = watch.next_page()
        for name in watch.neighbours:
            counted.lost[name] = int(last.collector("missed_ticks_total", name) - first.collector("missed_ticks_total", name))
            if counted.lost[name] > watch.stalled(0.1) + count // 100:
                watch.breaks("the others", f"{name} missed {counted.lost[name]} polls; the machine stood still for "
                                           f"{watch.stalled(0.1)}")
        try:
            wait_for("nothing to be left behind", lambda: state() == counted.before or (
                state()["family"] == counted.before["family"] and state()["agent"] <= counted.before["agent"]
                and state()["collectors"] <= counted.before["collectors"]), 15)
        except AssertionError:
            watch.breaks("left behind", f"{state()} after, {counted.before} before")
        counted.after = state()
        grown = counted.fifth(4) - counted.fifth(2)
        if grown > max(128, 0.02 * counted.fifth(2)):
            watch.breaks("memory", f"the agent grew by {grown:.0f} KiB from the middle to the end")
        counted.times = watch.times()
        counted.broken = {rule: texts for rule, texts in watch.broken.items() if texts}
        return counted
    finally:
        rig.end()
