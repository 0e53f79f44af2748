#!/usr/bin/env python3
"""The agent for a long time at a high rate: does anything grow, does a poll get lost?

The mixed machine (three makers' boards, simulated) is polled ten times a second and scraped once a second, in each
format, compressed and not. Memory and descriptors of every process are noted all the while. Judged at the end:

  - memory that a process has written (not files it maps): the median of the last quarter against that of the second quarter (by then buffers
    have grown and the history is full) may be 256 KiB more, or 1 KiB a minute;
  - descriptors of a process: no more at the end than after the start;
  - no process was started again, none is left over;
  - polls that were missed: at most 0.1 % (--lenient: printed and not judged, for a machine that has other work).

    ACCELMON=build/release/bin/accelmon python3 tests/soak.py 60

Exit code 0: nothing grew.
"""
import argparse
import statistics
import sys
import time

import agent_fixture
from agent_fixture import Agent, Scenario, descriptors, wait_for

INTERVAL = 0.1
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
SCRAPES = ({}, {"accept": OPENMETRICS}, {"accept_encoding": "gzip"},
           {"accept": OPENMETRICS, "accept_encoding": "gzip"})


def private_kib(pid):
    total = 0
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Private_Dirty:"):  # clean pages are files', and come and go
                    total += int(line.split()[1])
    except OSError:
        return None
    return total


class Process:
    def __init__(self, name, pid):
        self.name, self.pid = name, pid
        self.memory, self.fds = [], []

    def look(self):
        memory, fds = private_kib(self.pid), descriptors(self.pid)
        if memory is not None and fds is not None:
            self.memory.append(memory)
            self.fds.append(fds)

    def quarter(self, number):
        size = max(1, len(self.memory) // 4)
        return statistics.median(self.memory[number * size:(number + 1) * size])

    def judge(self, minutes):
        wrong = []
        grown = self.quarter(3) - self.quarter(1)
        if grown > max(256, minutes):
            wrong.append(f"{self.name}: private memory grew by {grown:.0f} KiB")
        early, late = max(self.fds[:max(1, len(self.fds) // 4)]), self.fds[-1]
        if late > early:
            wrong.append(f"{self.name}: {late} descriptors at the end, {early} at the beginning")
        return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("minutes", type=float, nargs="?", default=60)
    parser.add_argument("--scenario", default="mixed")
    parser.add_argument("--lenient", action="store_true", help="do not judge missed polls")
    arguments = parser.parse_args()
    agent_fixture._watchdog(arguments.minutes * 60 + 120)
    scenario = Scenario.of(arguments.scenario)
    # A small history is full soon, and then must stay as large as it is.
    agent = Agent(simulate=scenario, poll="100ms", config='[store]\nmemory = "256KiB"\n')
    try:
        wait_for("the devices", lambda: len(agent.page().values("hw_gpu_utilization_ratio")) >= 6)
        time.sleep(1)
        processes = [Process("agent", agent.pid)] + [Process(name, pid) for name, pid in agent.collectors().items()]
        before = {one["name"]: one for one in agent.status()["collectors"]}
        began = time.monotonic()
        end = began + arguments.minutes * 60
        pages = samples = 0
        pause = min(10.0, max(0.5, arguments.minutes * 60 / 200))
        next_look = next_word = began
        while time.monotonic() < end:
            answer = agent.get("/metrics", **SCRAPES[pages % len(SCRAPES)])
            if answer.status != 200:
                raise AssertionError(f"/metrics answers {answer.status}")
            pages += 1
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + pause
                for process in processes:
                    process.look()
                samples = sum(1 for line in answer.text.splitlines() if line and not line.startswith("#"))
            if time.monotonic() >= next_word + 300:
                next_word = time.monotonic()
                print(f"{(next_word - began) / 60:.0f} min: " +
                      ", ".join(f"{process.name} {process.memory[-1]} KiB" for process in processes), flush=True)
            time.sleep(min(1.0, max(0.0, end - time.monotonic())))
        elapsed = time.monotonic() - began
        after = {one["name"]: one for one in agent.status()["collectors"]}
        alive = agent.collectors()
    finally:
        code = agent.end()
        scenario.folder.cleanup()

    wrong = []
    print(f"\n{elapsed / 60:.1f} minutes, {pages} pages of {samples} samples\n")
    print("| process | private memory, 2nd quarter | last quarter | descriptors | polls | missed |")
    print("|---|---:|---:|---:|---:|---:|")
    for process in processes:
        wrong += process.judge(arguments.minutes)
        polls = missed = None
        if process.name != "agent":
            first, last = before[process.name], after[process.name]
            polls = last["frames"] - first["frames"]
            missed = last["missed_ticks"] - first["missed_ticks"]
            if last["restarts"] != first["restarts"] or alive.get(process.name) != process.pid:
                wrong.append(f"{process.name} was started again")
            if polls == 0:
                wrong.append(f"{process.name} gave no frame")
            if missed > 0.001 * (polls + missed) and not arguments.lenient:
                wrong.append(f"{process.name} missed {missed} of {polls + missed} polls")
        print(f"| {process.name} | {process.quarter(1):.0f} KiB | {process.quarter(3):.0f} KiB | {process.fds[-1]} | "
              f"{'-' if polls is None else polls} | {'-' if missed is None else missed} |")
    if code != 0:
        wrong.append(f"the agent ended with code {code}")
    for text in wrong:
        print(f"BROKEN: {text}")
    print(f"\n{len(processes)} processes, {len(wrong)} rules broken")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
