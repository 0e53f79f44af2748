#!/usr/bin/env python3
"""What the agent serves while drivers fail: every collector, every fault, in one table.

The collectors are the real ones. What they read is simulated (simulator/): a driver, a loader's driver, a kernel, each of
which can hang, be slow, crash, lie, leak, lose a device or be unloaded. While a fault lasts a watcher reads /metrics all
the time and checks, on every page, that

  - it is answered, and how fast;
  - nothing of the afflicted collector is shown once its last frame is older than three intervals;
  - no number is there that the fault made up (garbage);
  - no other collector loses a sample.

After the fault the collector must be back without a restart of the agent, and nothing must be left behind: no process,
no descriptor. `--rounds N` repeats a crash, a hang and a release N times in all and counts again.

    ACCELMON=build/release/bin/accelmon python3 tests/chaos.py [--only nvml] [--rounds 1000] [--markdown FILE]

Exit code 0: no rule was broken. Times are printed, not judged, but for one: a page that took a second.
"""
import argparse
import ctypes
import math
import os
import pathlib
import signal
import sys
import threading
import time

import agent_fixture
from agent_fixture import Agent, Scenario, descriptors, is_alive, wait_for

INTERVAL = 0.1
SLOW_PAGE = 1.0
MEMORY_PATIENCE = 40

# What is read of each collector, to see whether it is there: its own series on the page.
TARGETS = {
    "nvml": {"scenario": "h100x8", "vendor": "nvidia", "hw_vendor": "nvidia", "where": {
        "call": 'call = "nvmlDeviceGetUtilizationRates"', "all": 'call = "*"', "init": 'call = "nvmlInit_v2"',
        "denied": 'code = "NO_PERMISSION"', "error": 'code = "UNKNOWN"'}},
    "level_zero": {"scenario": "pvc", "vendor": "intel", "hw_vendor": "intel", "off": ["intel_kernel"], "where": {
        "call": 'vendor = "intel"\ncall = "zesFrequencyGetState"', "all": 'vendor = "intel"\ncall = "*"',
        "denied": 'code = "INSUFFICIENT_PERMISSIONS"', "error": 'code = "UNKNOWN"'}},
    "intel_kernel": {"scenario": "battlemage", "vendor": "intel", "hw_vendor": "intel", "off": ["level_zero"],
                     "where": {
        "call": 'vendor = "intel"\nfile = "*freq0/act_freq"', "all": 'vendor = "intel"\nfile = "*"',
        "denied": 'code = "EACCES"', "denied_sees": "steady", "error": 'code = "EIO"'}},
    "amdgpu": {"scenario": "mi300x-spx", "vendor": "amd", "hw_vendor": "amd", "where": {
        "call": 'vendor = "amd"\nfile = "*gpu_metrics"', "all": 'vendor = "amd"\nfile = "*"',
        "denied": 'code = "EACCES"', "denied_sees": "steady", "error": 'code = "EIO"'}},
    "host": {"scenario": "t4", "vendor": "host", "hw_vendor": None, "where": {}},
}


def of_collector(page, target):
    """The samples of the devices that this collector reads; of the host collector its own."""
    if target["hw_vendor"] is None:
        return [s for s in page.samples if s[0].startswith("system_") or s[0] == "accelmon_host_pressure_time_seconds_total"]
    return [s for s in page.samples
            if s[1].get("hw_vendor") == target["hw_vendor"] and s[0] not in ("hw_status", "accelmon_device_unread",
                                                                              "accelmon_device_info")]


class Watcher(threading.Thread):
    """Reads the page all the time, and keeps what it saw."""

    def __init__(self, agent, name, target):
        super().__init__(daemon=True)
        self.agent, self.name_of, self.target = agent, name, target
        self.stop = threading.Event()
        self.slowest = 0.0
        self.pages = 0
        self.broken = []
        self.history = []  # (time, number of its samples, up)

    def run(self):
        while not self.stop.is_set():
            began = time.monotonic()
            try:
                page = self.agent.page()
            except (OSError, AssertionError) as wrong:
                self.broken.append(f"no page: {wrong}")
                time.sleep(0.05)
                continue
            took = time.monotonic() - began
            self.slowest = max(self.slowest, took)
            self.pages += 1
            if took > SLOW_PAGE:
                self.broken.append(f"a page took {took:.2f} s")
            mine = of_collector(page, self.target)
            up = page.values("accelmon_collector_up", collector=self.name_of)
            age = page.values("accelmon_collector_age_seconds", collector=self.name_of)
            # One interval more for the turn in which the agent finds it out.
            if mine and age and age[0] > 4 * INTERVAL + 0.05:
                self.broken.append(f"{len(mine)} series of {self.name_of} though its last frame is {age[0]:.2f} s old")
            for metric, labels, value in mine:
                if not plausible(metric, value):
                    self.broken.append(f"{metric}{labels} = {value}")
            self.history.append((began, len(mine), up[0] if up else 0))
            self.stop.wait(0.02)

    def end(self):
        self.stop.set()
        self.join()


def plausible(metric, value):
    if math.isnan(value) or math.isinf(value):
        return False
    if metric.endswith("_ratio"):
        return 0 <= value <= 2
    if metric in ("hw_power_watts", "accelmon_power_ema_watts", "accelmon_power_window_watts"):
        return 0 <= value <= 5000
    if metric == "hw_temperature_celsius":
        return -40 <= value <= 150
    return True


def corrupt_stream(pid):
    """Writes bytes of our own into a collector's channel to the agent, through a copy of its descriptor."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = libc.syscall(434, pid, 0)
    if pidfd < 0:
        raise OSError(ctypes.get_errno(), "pidfd_open")
    fd = libc.syscall(438, pidfd, 3, 0)
    os.close(pidfd)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    try:
        os.write(fd, bytes(range(256)) * 8)
    finally:
        os.close(fd)


class Case:
    """One fault: how it begins, how it ends, and what must be seen meanwhile: `dark` (all its series go), `less` (some
    go), `restart` (a new process), `steady` (nothing goes)."""

    def __init__(self, title, sees, scenario=None, begin=None, end=None, seconds=None):
        self.title, self.sees, self.scenario, self.begin, self.end = title, sees, scenario, begin, end
        self.seconds = seconds or 2.0


def cases(name):
    where = TARGETS[name]["where"]
    out = []
    if where:
        fault = lambda kind, place="call", more="": f'[[fault]]\nkind = "{kind}"\n{where[place]}\n{more}\n'
        device = '\ndevice = 0'
        out += [
            Case("a call hangs for ever", "dark", fault("hang")),
            Case("every call hangs", "dark", fault("hang", "all")),
            Case("a call takes 5 s", "dark", fault("slow", "call", "milliseconds = 5000"), seconds=4),
            Case("the driver aborts", "restart", fault("crash")),
            # Every call: one alone would soon be asked less often, since it takes too long.
            Case("the driver eats memory", "restart", fault("memory", "all"), seconds=MEMORY_PATIENCE),
            Case("a device is lost and comes back", "less", fault("lost", "all", device)),
            Case("a device leaves the list and comes back", "less", fault("gone", "all", device)),
            Case("the driver is unloaded and loaded again", "less", fault("driver_unloaded", "all")),
            Case("a call fails", "less", fault("error", "call", where["error"])),
            # The kernel looks at permissions when a file is opened; those that are kept open stay readable.
            Case("permission is lost", where.get("denied_sees", "less"), fault("error", "call", where["denied"])),
            Case("numbers that cannot be", "less", fault("garbage", "all")),
            Case("values stand still", "steady", fault("frozen", "all")),
            Case("counters run backwards", "steady", fault("backwards", "all")),
        ]
    kill = lambda number: lambda run: os.kill(run.pid_of(), number)
    out += [
        Case("its process stands still", "dark", begin=kill(signal.SIGSTOP), end=lambda run: run.continue_stopped()),
        Case("its process is killed", "restart", begin=kill(signal.SIGKILL)),
        Case("its stream is corrupted", "restart", begin=lambda run: corrupt_stream(run.pid_of())),
        Case("it is released and taken up again", "dark", begin=lambda run: run.verb("release"),
             end=lambda run: run.verb("resume")),
    ]
    return out


class Run:
    def __init__(self, name):
        self.name, self.target = name, TARGETS[name]
        self.base = (Scenario.BASE / f"{self.target['scenario']}.toml").read_text()
        self.scenario = Scenario(self.base)
        # Only what is under test and a neighbour that must not notice: the others' absence is not the subject here.
        off = "".join(f"[collectors.{other}]\nenabled = false\n" for other in self.target.get("off", []))
        self.agent = Agent(simulate=self.scenario, poll="100ms", config=f'hang = "2s"\n{off}')
        self.neighbour = "host" if name != "host" else "nvml"
        wait_for(f"the series of {name}", lambda: of_collector(self.agent.page(), self.target))
        self.stopped_pid = None

    def pid_of(self):
        self.stopped_pid = self.agent.collectors()[self.name]
        return self.stopped_pid

    def continue_stopped(self):
        if is_alive(self.stopped_pid):
            os.kill(self.stopped_pid, signal.SIGCONT)

    def verb(self, verb):
        code, out, err = agent_fixture.run([verb, self.target["vendor"], "--socket", self.agent.socket])
        if code != 0:
            raise AssertionError(f"{verb}: {out}{err}")

    def settle(self):
        """Everything there, and steady for a while. The number of samples of the collector, and its process."""
        last, since = -1, time.monotonic()
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            now = len(of_collector(self.agent.page(), self.target))
            if now != last or now == 0:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > 0.6:
                return now, self.agent.collectors().get(self.name)
            time.sleep(0.05)
        raise AssertionError(f"{self.name} does not settle")

    def one(self, case):
        samples, pid = self.settle()
        fds = descriptors(self.agent.pid)
        before = self.agent.collector(self.neighbour)
        watcher = Watcher(self.agent, self.name, self.target)
        watcher.start()
        time.sleep(0.3)
        began = time.monotonic()
        if case.scenario:
            self.scenario.write(f"{self.base}\n{case.scenario}")
        if case.begin:
            case.begin(self)

        def seen():
            if not watcher.history:
                return False
            _, count, _ = watcher.history[-1]
            if case.sees == "dark":
                return count == 0
            if case.sees == "less":
                return count < samples
            if case.sees == "restart":
                return self.agent.collectors().get(self.name) != pid
            return False

        detected = None
        if case.sees == "steady":
            time.sleep(case.seconds)
            if any(count == 0 for at, count, _ in watcher.history if at > began + 0.5):
                watcher.broken.append("its series went though nothing was wrong with them")
        else:
            try:
                wait_for(case.title, seen, max(case.seconds, 15))
                detected = time.monotonic() - began
            except AssertionError as wrong:
                watcher.broken.append(str(wrong))
            time.sleep(0.5)
        served = watcher.history[-1][1] if watcher.history else 0
        self.scenario.write(self.base)
        if case.end:
            case.end(self)
        healed = time.monotonic()
        recovered = None
        try:
            wait_for(f"{self.name} after '{case.title}'",
                     lambda: watcher.history and watcher.history[-1][1] >= samples * 0.98
                     and watcher.history[-1][0] > healed, 90)
            recovered = watcher.history[-1][0] - healed
        except AssertionError as wrong:
            watcher.broken.append(str(wrong))
        after = self.agent.collector(self.neighbour)
        watcher.end()
        elapsed = time.monotonic() - began
        missed = after["missed_ticks"] - before["missed_ticks"]
        frames = after["frames"] - before["frames"]
        if frames + missed < (elapsed / INTERVAL) * 0.9 - 3:
            watcher.broken.append(f"{self.neighbour} gave {frames} frames in {elapsed:.1f} s")
        if after["restarts"] != before["restarts"]:
            watcher.broken.append(f"{self.neighbour} was started again")
        try:
            wait_for("the descriptors to be as before", lambda: descriptors(self.agent.pid) <= fds + 1, 10)
        except AssertionError:
            watcher.broken.append(f"{descriptors(self.agent.pid)} descriptors, {fds} before")
        return {"collector": self.name, "fault": case.title,
                "served": "nothing of it" if served == 0 else "all of it" if served >= samples * 0.98
                else f"{served} of {samples} samples",
                "detected": detected, "recovered": recovered, "slowest": watcher.slowest, "pages": watcher.pages,
                "missed": missed, "broken": watcher.broken}

    def rounds(self, count):
        """Kills, stops and releases in turn. Processes and descriptors afterwards against before."""
        self.settle()
        time.sleep(1)
        fds, children = descriptors(self.agent.pid), len(agent_fixture.children_of(self.agent.pid))
        rss = self.memory()
        for i in range(count):
            self.verb("release")
            if i % 10 == 0:  # while it is ending
                pid = self.agent.collectors().get(self.name)
                if pid:
                    os.kill(pid, signal.SIGKILL)
            wait_for("it to be gone", lambda: self.name not in self.agent.collectors(), 20)
            self.verb("resume")
            wait_for("it to be there", lambda: self.agent.collectors().get(self.name), 20)
            if i % 100 == 99:
                print(f"  {i + 1} rounds: {descriptors(self.agent.pid)} descriptors, "
                      f"{self.memory() // 1024} KiB", flush=True)
        self.settle()
        time.sleep(1)
        return {"rounds": count, "fds": (fds, descriptors(self.agent.pid)),
                "children": (children, len(agent_fixture.children_of(self.agent.pid))), "rss": (rss, self.memory())}

    def memory(self):
        with open(f"/proc/{self.agent.pid}/statm", encoding="ascii") as file:
            fields = file.read().split()
        return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")

    def end(self):
        self.agent.end()
        self.scenario.folder.cleanup()


def agent_killed():
    """The agent itself dies: its collectors go with it, and a new one on the same address answers."""
    broken = []
    first = Agent(simulate="h100x8", poll="100ms")
    wait_for("the devices", lambda: first.page().values("hw_gpu_utilization_ratio"))
    port, victims = first.port, first.collectors()
    began = time.monotonic()
    first.signal(signal.SIGKILL)
    first.process.wait()
    try:
        wait_for("its collectors to go", lambda: not any(is_alive(pid) for pid in victims.values()), 10)
    except AssertionError as wrong:
        broken.append(str(wrong))
    gone = time.monotonic() - began
    second = Agent(simulate="h100x8", poll="100ms", address=f"127.0.0.1:{port}")
    wait_for("the devices again", lambda: second.page().values("hw_gpu_utilization_ratio"))
    back = time.monotonic() - began - gone
    second.end()
    first.end()
    return {"collector": "all", "fault": "the agent is killed and started again", "served": "nothing", "detected": gone,
            "recovered": back, "slowest": 0, "pages": 0, "missed": 0, "broken": broken}


def binary_replaced():
    """The program's file is replaced while it runs: what was started goes on, and what is started anew still speaks."""
    import shutil
    import tempfile
    folder = tempfile.TemporaryDirectory(prefix="accelmon-replaced-")
    root = pathlib.Path(folder.name)
    source = pathlib.Path(agent_fixture.PROGRAM).resolve().parent.parent
    (root / "bin").mkdir()
    shutil.copy(source / "bin/accelmon", root / "bin/accelmon")
    shutil.copytree(source / "lib", root / "lib", symlinks=True)
    shutil.copytree(source / "share", root / "share", symlinks=True)
    kept, agent_fixture.PROGRAM = agent_fixture.PROGRAM, str(root / "bin/accelmon")
    broken = []
    try:
        agent = Agent(simulate="t4", poll="100ms")
    finally:
        agent_fixture.PROGRAM = kept
    wait_for("the device", lambda: agent.page().values("hw_gpu_utilization_ratio"))
    fresh = root / "bin/accelmon.new"
    shutil.copy(source / "bin/accelmon", fresh)
    os.replace(fresh, root / "bin/accelmon")
    victim = agent.collectors()["nvml"]
    began = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    recovered = None
    try:
        wait_for("a new collector", lambda: agent.collectors().get("nvml") not in (None, victim), 15)
        wait_for("its series", lambda: agent.page().values("hw_gpu_utilization_ratio"), 15)
        recovered = time.monotonic() - began
    except AssertionError as wrong:
        broken.append(str(wrong))
    agent.end()
    folder.cleanup()
    return {"collector": "nvml", "fault": "the program's file is replaced while it runs", "served": "nothing of it",
            "detected": 0.0, "recovered": recovered, "slowest": 0, "pages": 0, "missed": 0, "broken": broken}


def seconds(value):
    return "-" if value is None else f"{value:.1f} s"


def table(rows):
    lines = ["| collector | fault | served meanwhile | found out after | back after | slowest page |",
             "|---|---|---|---:|---:|---:|"]
    for row in rows:
        slowest = f"{row['slowest'] * 1e3:.0f} ms" if row["pages"] else "-"
        lines.append(f"| {row['collector']} | {row['fault']} | {row['served']} | {seconds(row['detected'])} | "
                     f"{seconds(row['recovered'])} | {slowest} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", action="append", choices=list(TARGETS), help="only this collector; may be repeated")
    parser.add_argument("--case", help="only faults whose title contains this")
    parser.add_argument("--short", action="store_true", help="one collector, six faults: for every change")
    parser.add_argument("--rounds", type=int, default=0, help="then start and stop a collector so often, and count")
    parser.add_argument("--markdown", help="write the table into this file, too")
    arguments = parser.parse_args()
    agent_fixture._watchdog(3600)
    names = arguments.only or (["nvml"] if arguments.short else list(TARGETS))
    rows = []
    for name in names:
        if not (Scenario.BASE / f"{TARGETS[name]['scenario']}.toml").exists():
            print(f"{name}: there is no scenario {TARGETS[name]['scenario']}", file=sys.stderr)
            return 1
        run = Run(name)
        chosen = [case for case in cases(name) if not arguments.case or arguments.case in case.title]
        if arguments.short:
            chosen = [case for case in chosen if case.title in (
                "a call hangs for ever", "the driver aborts", "a device is lost and comes back",
                "numbers that cannot be", "its stream is corrupted",
                "it is released and taken up again")]
        try:
            for case in chosen:
                row = run.one(case)
                rows.append(row)
                print(f"{name}: {case.title}: {row['served']}, found out after {seconds(row['detected'])}, back after "
                      f"{seconds(row['recovered'])}, {row['pages']} pages, slowest {row['slowest'] * 1e3:.0f} ms", flush=True)
                for wrong in sorted(set(row["broken"]))[:5]:
                    print(f"    BROKEN: {wrong}", flush=True)
        finally:
            run.end()
    if not arguments.only and not arguments.case and not arguments.short:
        rows += [agent_killed(), binary_replaced()]
    counted = None
    if arguments.rounds:
        run = Run(names[0])
        try:
            counted = run.rounds(arguments.rounds)
        finally:
            run.end()
        print(f"{counted['rounds']} starts and ends of {names[0]}: descriptors {counted['fds'][0]} before, "
              f"{counted['fds'][1]} after; processes {counted['children'][0]}, {counted['children'][1]}; private memory "
              f"{counted['rss'][0] // 1024} KiB, {counted['rss'][1] // 1024} KiB")
    print("\n" + table(rows))
    if arguments.markdown:
        pathlib.Path(arguments.markdown).write_text(table(rows) + "\n")
    broken = [row for row in rows if row["broken"]]
    leaked = counted and (counted["fds"][1] > counted["fds"][0] + 2 or counted["children"][1] > counted["children"][0])
    print(f"\n{len(rows)} faults, {len(broken)} broke a rule" + ("; something was left behind" if leaked else ""))
    return 1 if broken or leaked else 0


if __name__ == "__main__":
    sys.exit(main())
