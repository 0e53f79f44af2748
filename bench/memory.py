#!/usr/bin/env python3
"""What the memory of accelmon is: of the agent and its collectors, by kind of mapping, before scrapes and after them.

    ./dev build && python3 bench/memory.py              the agent and the NVML collector
                   python3 bench/memory.py --all        all collectors

In KiB of PSS: what several processes map is shared out between them. Eight simulated H100, once a second. "simulator" is its
library's file, what a host with real boards has the driver's for; what that library takes from the heap is in "heap". A new
catalog (a process began or ended) leaves free memory behind that goes back seconds later, so the median of some looks is shown.
"""
import argparse
import collections
import pathlib
import re
import tempfile
import time

import compare

KINDS = ("program, code", "program, tables", "program, data", "heap", "history", "other memory", "stacks", "C library",
         "simulator", "other files")

LOOKS = 7
PAUSE = 3  # seconds before each


def kind_of(permissions, name, program, stack):
    if name == program:
        return {"x": "program, code", "w": "program, data"}.get(
            "x" if "x" in permissions else "w" if "w" in permissions else "r", "program, tables")
    if name == "[heap]":
        return "heap"
    if name.startswith("[stack") or stack:
        return "stacks"
    if "simulator" in name:
        return "simulator"
    if re.search(r"/(libc|libm|ld-linux[\w-]*|libdl|libpthread|librt)[.-]", name):
        return "C library"
    if name == "":
        return "other memory"
    return "other files"


def mappings(pid):
    """Yields (permissions, size, name, {field: KiB}) of each mapping."""
    fields, head = {}, None
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        match = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ *(.*)", line)
        if match:
            if head:
                yield *head, fields
            head, fields = (match.group(3), int(match.group(2), 16) - int(match.group(1), 16), match.group(4)), {}
        else:
            key, _, value = line.partition(":")
            if value.endswith("kB"):
                fields[key] = int(value.split()[0])
    if head:
        yield *head, fields


def sum_up(maps, program, history_bytes):
    sums = collections.Counter()
    guarded = False
    for permissions, size, name, fields in maps:
        # A thread's stack lies above its guard page; the history is one reservation of the size that it may have.
        kind = kind_of(permissions, name, program, name == "" and guarded)
        if kind == "other memory" and history_bytes - 65536 < size <= history_bytes:
            kind = "history"
        guarded = name == "" and permissions.startswith("---")
        sums[kind] += fields["Pss"]
    return sums


def look(subject, arguments):
    """(names of the processes, {kind: KiB} of each, their mappings)."""
    pids = compare.family(subject.process.pid)
    names = [pathlib.Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids]
    names[0] = "agent"
    maps = [list(mappings(pid)) for pid in pids]
    program = str(pathlib.Path(arguments.accelmon).resolve())
    history = arguments.history << 20
    return names, [sum_up(one, program, history if i == 0 else 0) for i, one in enumerate(maps)], maps


def report(title, subject, arguments):
    looks = []
    for _ in range(LOOKS):
        time.sleep(PAUSE)
        looks.append(look(subject, arguments))
    totals = [sum(map(sum, (column.values() for column in columns))) for _, columns, _ in looks]
    names, columns, maps = looks[totals.index(sorted(totals)[LOOKS // 2])]
    print(f"\n{title}: {min(totals) / 1024:.2f} to {max(totals) / 1024:.2f} MiB in {LOOKS} looks; the median look\n")
    print("| KiB, PSS | " + " | ".join(names) + " | all |")
    print("|---|" + "---:|" * (len(names) + 1))
    for kind in KINDS:
        if any(column[kind] for column in columns):
            print(f"| {kind} | " + " | ".join(str(column[kind]) for column in columns) +
                  f" | {sum(column[kind] for column in columns)} |")
    print("| all | " + " | ".join(str(sum(column.values())) for column in columns) +
          f" | {sum(sum(column.values()) for column in columns)} |")
    if arguments.maps:
        for name, one in zip(names, maps):
            for permissions, size, path, fields in one:
                if fields["Pss"]:
                    print(f"{name:16} {permissions} {size >> 10:8} size {fields['Rss']:6} RSS {fields['Pss']:6} PSS "
                          f"{fields['Private_Dirty']:6} dirty  {path}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accelmon", default=str(compare.ROOT / "build/release/bin/accelmon"))
    parser.add_argument("--all", action="store_true", help="all collectors, not NVML's alone")
    parser.add_argument("--seconds", type=float, default=35, help="how long to wait before the first look")
    parser.add_argument("--scrapes", type=int, default=60)
    parser.add_argument("--history", type=int, default=1, help="store.memory in MiB")
    parser.add_argument("--maps", action="store_true", help="every mapping as well")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="accelmon-bench-") as folder:
        subject = compare.Accelmon(arguments.accelmon, folder, None if arguments.all else "nvml")
        subject.start()
        try:
            time.sleep(arguments.seconds)
            report("before the first scrape", subject, arguments)
            connection = compare.Connection(subject.port)
            for number in range(arguments.scrapes):
                connection.get("/metrics", gzip=number % 2 == 1)
                time.sleep(0.1)
            connection.close()
            report(f"after {arguments.scrapes} scrapes, every other one compressed", subject, arguments)
        finally:
            subject.stop()


if __name__ == "__main__":
    main()
