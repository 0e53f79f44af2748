#!/usr/bin/env python3
"""What the agent serves while drivers fail: every collector, every fault, in one table.

The collectors are the real ones; what they read is simulated (chaos_rig.py). While a fault lasts a judge reads /metrics all
the time and holds every page, and every other collector, against the rules that chaos_watch.py lists. After the fault the
collector must be back without a restart of the agent, and nothing may be left behind: no process, no descriptor.

    ACCELMON=build/release/bin/accelmon python3 tests/chaos.py [--only nvml] [--case hangs] [--rounds 1000] [--markdown FILE]

Exit code 0: no rule was broken.
"""
import argparse
import pathlib
import signal
import sys
import time

import agent_fixture
import chaos_cases
import chaos_rounds
from agent_fixture import wait_for
from chaos_cases import COLLECTORS, RIG_OF, cases_of
from chaos_rig import SELDOM, Rig, own_orphans
from chaos_watch import Limits

SHORT = {"nvml": "a call hangs for ever", "level_zero": "the driver aborts", "amdgpu": "a device is lost and comes back",
         "intel_kernel": "wild numbers"}


def lost_by_others(rig, watch, first, last, target, strict):
    """Polls that the other collectors lost, by their own count and by the history; and what breaks the rule."""
    worst = 0
    for name in watch.neighbours:
        interval = rig.intervals[name]
        count = lambda page, what: page.collector(what, name) or 0
        polls = count(last, "polls_total") - count(first, "polls_total")
        span = count(last, "last_success_timestamp_seconds") - count(first, "last_success_timestamp_seconds")
        # One that is polled seldom comes off its grid when something new wakes it.
        lost = max((int if name in SELDOM else round)(span / interval + 0.01) - polls, count(last, "missed_ticks_total") - count(first, "missed_ticks_total"))
        holes = rig.holes(name, first.collector("last_success_timestamp_seconds", name) + interval / 2,
                          last.collector("last_success_timestamp_seconds", name) - interval / 2) if span > 3 * interval else 0
        worst = max(worst, lost, holes)
        allowed = watch.stalled(interval) + (0 if strict else 0.5 * polls + 1)
        if max(lost, holes) > allowed:
            watch.breaks("the others", f"{name} lost {lost:.0f} of {polls + lost:.0f} polls, {holes} of them in the "
                                       f"history; the machine stood still for {watch.stalled(interval)}")
    return int(worst)


def detects(case, samples, first, target):
    restarts = first.collector("restarts_total", target)
    if case.sees in ("less", "maybe"):
        return lambda page: page.counts.get(target, 0) < samples * 0.98
    return lambda page: (page.collector("up", target) != 1 or page.counts.get(target, 0) == 0
                         or page.collector("restarts_total", target) != restarts)


def run_case(rig, target, case, strict=True):
    chaos_cases.restore_order(rig, chaos_cases.DRIVERS.get(target, {}).get("vendor", "nvidia"))
    rig.settle(target)
    watch = rig.watch
    samples = watch.next_page().counts.get(target, 0)
    family, files = rig.family(), rig.open_files()
    # One whose files could not be opened in the case before has fewer than it is entitled to.
    files = rig.most_files = {name: max(count, rig.most_files.get(name, 0)) for name, count in files.items()}
    # `release host` lets all go that read the host.
    with_it = ("sensors", "kernel_log") if target == "host" and case.title.startswith("it is released") else ()
    first = watch.begin(target, [name for name in rig.names if name != target and name not in with_it], case.resets, case.statuses, case.wild,
                        10 if case.partly else 0)
    old = rig.pid_of(target)
    began = rig.struck = time.monotonic()
    case.begin(rig)
    began = max(began, rig.struck)
    detected, row = None, {"collector": target, "fault": case.title}
    if case.sees != "steady":
        page = watch.wait(detects(case, samples, first, target), began, case.patience)
        detected = page.ended - began if page else None
        if page is None and case.sees != "maybe":
            watch.breaks("seen", f"nothing was seen of it in {case.patience} s")
        elif case.sees == "dark" and watch.wait(lambda one: one.counts.get(target, 0) == 0, began, 15) is None:
            watch.breaks("seen", "its series stayed")
    if case.sees == "down":
        wait_for("its process to end", lambda: rig.agent.collectors().get(target) != old, case.patience)
    else:
        time.sleep(case.seconds)
        wrong = case.check(rig) if case.check and not case.checks_after else None
        if wrong:
            watch.breaks("seen", wrong)
    since = began
    if case.end and not case.lasts:
        since = time.monotonic()
        case.end(rig)
    restarts = first.collector("restarts_total", target)
    back = watch.wait(lambda one: one.counts.get(target, 0) >= samples * 0.98 and one.collector("up", target) == 1 and (
        case.sees != "down" or one.collector("restarts_total", target) != restarts), since, 90)
    if back is None:
        watch.breaks("back", "it did not come back")
    after = rig.settle(target)
    if case.check and (case.sees == "down" or case.checks_after):
        wrong = case.check(rig)
        if wrong:
            watch.breaks("seen", wrong)
    last = watch.next_page()
    served = min((page.counts.get(target, 0) for page in watch.pages
                  if began + 0.05 < page.began < (back.began if back else after.began)), default=samples)
    if case.sees == "steady" and served < samples * (0.5 if case.partly else 0.98):
        watch.breaks("seen", f"{served} of {samples} series though nothing was wrong with them")
    row["lost"] = lost_by_others(rig, watch, first, last, target, strict)
    row.update(watch.times())
    if case.end and case.lasts:
        case.end(rig)
    try:
        wait_for("no process more or less", lambda: rig.family() == family, 10)
        wait_for("no descriptor more", lambda: all(count <= files.get(name, 0) for name, count in rig.open_files().items()),
                 10)
    except AssertionError:
        left = sorted(set(rig.family()) ^ set(family))
        more = {name: (files.get(name), count) for name, count in rig.open_files().items() if count > files.get(name, 0)}
        watch.breaks("left behind", f"processes {left}, descriptors {more}")
    row["served"] = ("nothing of it" if served == 0 else "all of it" if served >= samples * 0.98
                     else f"{served} of {samples} samples")
    row["detected"] = detected
    row["recovered"] = back.ended - since if back else None
    row["broken"] = {rule: texts for rule, texts in watch.broken.items() if texts}
    # Its next fault must not meet the back-off of this one.
    if first.collector("restarts_total", target) != last.collector("restarts_total", target):
        rig.afresh(target)
    return row


def agent_killed(limits, nice):
    """The agent itself is killed: its collectors go with it, a new one on the same address answers, and what the history
    on disk held is still there."""
    rig = Rig("main", limits, nice=nice, history=True)
    broken = {}
    try:
        rig.settle("nvml")
        time.sleep(3)  # something has been written
        first, port, victims = rig.agent, rig.agent.port, rig.agent.collectors()
        rig.watch.gone = True
        wall = time.time()
        ask = f"/api/v1/range?metric=hw.power&from={wall - 30:.3f}&to={wall - 1.5:.3f}&max_points=20000"
        before = sum(len(one["points"]) for one in first.get(ask).json()["series"])
        killed = time.monotonic()
        first.signal(signal.SIGKILL)
        first.process.wait()
        try:
            wait_for("its collectors to go", lambda: not any(agent_fixture.is_alive(pid) for pid in victims.values()), 10)
        except AssertionError as wrong:
            broken["left behind"] = [str(wrong)]
        gone = time.monotonic() - killed
        served = len([page for page in rig.watch.pages if page.began > killed])
        rig.watch.end()
        started = time.monotonic()
        rig.entries = {}  # its counters begin anew
        rig.start(address=f"127.0.0.1:{port}")
        ready = time.monotonic() - started
        page = rig.watch.wait(lambda one: all(one.counts.get(name) for name in rig.owners.values()), started, 30)
        if page is None:
            broken["back"] = ["the boards did not come back"]
        rig.settle("nvml")
        after = sum(len(one["points"]) for one in rig.agent.get(ask).json()["series"])
        if not before or after < before:
            broken["history"] = [f"{before} points of the history before, {after} of the same after"]
        if served:
            broken["answered"] = [f"{served} pages though nobody was there"]
        first.folder.cleanup()
        return {"collector": "all", "fault": "the agent is killed and started again", "served": "nothing",
                "detected": gone, "recovered": page.ended - started if page else None, "lost": 0, "ready": ready,
                **rig.watch.times(), "broken": {**broken, **rig.watch.broken}}
    finally:
        rig.end()


def seconds(value):
    return "-" if value is None else f"{value:.1f} s"


def table(rows):
    lines = ["| collector | fault | served meanwhile | found out after | back after | pages: 99 % | slowest | control | lost by others |",
             "|---|---|---|---:|---:|---:|---:|---:|---:|"]
    for row in rows:
        lines.append(f"| {row['collector']} | {row['fault']} | {row['served']} | {seconds(row['detected'])} | "
                     f"{seconds(row['recovered'])} | {row['p99'] * 1e3:.0f} ms | {row['slowest'] * 1e3:.0f} ms | "
                     f"{row['control'] * 1e3:.0f} ms | {row['lost']} |")
    return "\n".join(lines)


def tell(row):
    print(f"{row['collector']}: {row['fault']}: {row['served']}, found out after {seconds(row['detected'])}, back after "
          f"{seconds(row['recovered'])}; {row['pages']} pages, 99 % in {row['p99'] * 1e3:.1f} ms, slowest "
          f"{row['slowest'] * 1e3:.1f} ms (control {row['control'] * 1e3:.1f} ms), others lost {row['lost']}", flush=True)
    for rule, texts in row["broken"].items():
        print(f"    BROKEN, {rule}: {texts[0]}" + (f" (and {len(texts) - 1} more)" if len(texts) > 1 else ""), flush=True)


def run(arguments, limits, rows):
    names = arguments.only or (list(SHORT) if arguments.short else COLLECTORS)
    if arguments.none:
        names = []
    rig = None
    try:
        for name in names:
            chosen = [case for case in cases_of(name) if not arguments.case or arguments.case in case.title]
            if arguments.short:
                chosen = [case for case in chosen if case.title == SHORT[name]]
            if not chosen:
                continue
            kind = RIG_OF.get(name, "main")
            # Each collector gets a machine of its own, but for the short form.
            if rig is not None and not (arguments.short and rig.kind == kind):
                rig.end()
                rig = None
            if rig is None:
                rig = Rig(kind, limits, nice=arguments.nice)
                rig.settle(name)
                rig.watch.learn_boards()
            for case in chosen:
                try:
                    row = run_case(rig, name, case, strict=not arguments.short)
                except AssertionError as wrong:
                    # The machine is not as it should be: what follows gets a new one.
                    row = {"collector": name, "fault": case.title, "served": "?", "detected": None, "recovered": None,
                           "lost": 0, **(rig.watch.times() or {"p99": 0, "slowest": 0, "control": 0, "pages": 0}),
                           "broken": {**rig.watch.broken, "case": [str(wrong)]}}
                    rig.end()
                    rig = Rig(kind, limits, nice=arguments.nice)
                    rig.settle(name)
                    rig.watch.learn_boards()
                rows.append(row)
                tell(row)
    finally:
        if rig is not None:
            rig.end()
    alone = arguments.case and "the agent is killed" in arguments.case
    if alone or not (arguments.only or arguments.case or arguments.none):
        rows.append(agent_killed(limits, arguments.nice))
        tell(rows[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", action="append", choices=COLLECTORS, help="only this collector; may be repeated")
    parser.add_argument("--case", help="only faults whose title contains this")
    parser.add_argument("--short", action="store_true",
                        help="five faults, times judged against the control alone: for every change")
    parser.add_argument("--rounds", type=int, default=0, help="then so many faults in turn, and what they leave behind")
    parser.add_argument("--none", action="store_true", help="no faults but those of --rounds")
    parser.add_argument("--nice", type=int, help="run the agent and what reads its pages at this nice level, on a machine that has other work")
    parser.add_argument("--markdown", help="write the table into this file, too")
    arguments = parser.parse_args()
    agent_fixture._watchdog(240 if arguments.short else 7200)
    own_orphans()
    limits = Limits(lenient=arguments.short, page=0.05 * max(1.0, agent_fixture.PATIENCE / 30))
    rows = []
    run(arguments, limits, rows)
    counted = chaos_rounds.run(arguments.rounds, limits, arguments.nice) if arguments.rounds else None
    if rows:
        print("\n" + table(rows))
        if arguments.markdown:
            pathlib.Path(arguments.markdown).write_text(table(rows) + "\n")
    broken = [row for row in rows if row["broken"]]
    print(f"\n{len(rows)} faults, {len(broken)} broke a rule")
    if counted is not None:
        print(counted.text())
    return 1 if broken or (counted is not None and counted.broken) else 0


if __name__ == "__main__":
    sys.exit(main())
