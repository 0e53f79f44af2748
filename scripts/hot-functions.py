#!/usr/bin/env python3
"""Which functions of the program run once it has started: writes cmake/hot-functions.txt, which the linker lays side by side.

A page of memory holds some ten functions, and the kernel maps sixteen pages where one is touched. Where what runs every
second lies together, the rest of the program is never mapped: half of the agent's memory otherwise. The agent and each
collector run different parts, so these lie in groups: what the agent alone runs, what agent and collectors run, what
several collectors run, and then each one's own. The file is a hint: names that are no longer there are passed over,
functions that it does not name lie behind those that it does.

    ./dev build && python3 scripts/hot-functions.py

Runs the agent and its collectors under callgrind (valgrind) on the simulated mixed machine and on eight H100, counts from
when all have reported, and scrapes meanwhile. Takes three minutes.
"""
import argparse
import collections
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
ACCEPTS = ("text/plain", "application/openmetrics-text; version=1.0.0",
           "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited")


def fetch(address, path, **headers):
    request = urllib.request.Request(f"http://{address}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def children(pid):
    done = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in done.stdout.split()]


def control(option, value, pids):
    for pid in pids:
        subprocess.run(["callgrind_control", option, *value, str(pid)], capture_output=True, check=False)


def functions_of(text, program):
    """(process, names of functions of `program` that were entered with what they cost) from one callgrind file."""
    process, names, objects, cost = "", {}, {}, {}
    current, inside, skip = None, False, False
    compressed = re.compile(r"\((\d+)\)(?: (.*))?$")

    def name_of(book, what):
        match = compressed.match(what)
        if match is None:
            return what
        if match.group(2) is not None:
            book[match.group(1)] = match.group(2)
        return book.get(match.group(1), "")

    for line in text.splitlines():
        if line.startswith("cmd: "):
            # serve: the agent; collect NAME.
            words = line.split()
            process = words[words.index("collect") + 1] if "collect" in words else "agent"
        elif line.startswith("ob="):
            inside = name_of(objects, line[3:]) == program
        elif line.startswith("cob="):
            name_of(objects, line[4:])
        elif line.startswith("fn="):
            current = name_of(names, line[3:])
        elif line.startswith("cfn="):
            name_of(names, line[4:])
        elif line.startswith("calls="):
            skip = True  # the next line is what the callee cost
        elif line[:1] in "0123456789+-*" and line:
            if not skip and inside and current:
                cost[current] = cost.get(current, 0) + int(line.split()[-1])
            skip = False
    return process, cost


def observe(program, scenario, folder, rounds):
    config = folder / "accelmon.toml"
    config.write_text(f'[listen]\naddress = "127.0.0.1:0"\nsocket = "{folder}/socket"\n'
                      '[poll]\nhang = "300s"\ninterval = "500ms"\nrare = "20s"\n'
                      # Small, so that it is full and the oldest of it has to go.
                      '[store]\nmemory = "256KiB"\n')
    command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--trace-children=yes", "--demangle=no",
               "--compress-strings=yes", f"--callgrind-out-file={folder}/out.%p", program, "serve", "--config", str(config),
               "--simulate", scenario]
    with open(folder / "log", "w+", encoding="utf-8") as log:
        agent = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            address = None
            for _ in range(240):
                time.sleep(0.5)
                found = re.search(r"http://(127\.0\.0\.1:\d+)/", (folder / "log").read_text())
                if found:
                    address = found.group(1)
                    try:
                        fetch(address, "/-/ready")
                        break
                    except OSError:
                        pass
            if address is None:
                sys.exit(f"hot-functions: the agent does not start:\n{(folder / 'log').read_text()}")
            time.sleep(10)
            pids = [agent.pid, *children(agent.pid)]
            control("-i", ["on"], pids)
            for i in range(rounds):
                for accept in ACCEPTS:
                    fetch(address, "/metrics", Accept=accept, **{"Accept-Encoding": "gzip" if i % 2 else "identity"})
                time.sleep(2)
            control("-d", [], pids)
        finally:
            agent.terminate()
            agent.wait(60)
    found = collections.defaultdict(collections.Counter)
    for path in folder.glob("out.*.1"):
        process, cost = functions_of(path.read_text(), program)
        found[process].update(cost)  # a collector may have been started twice
    return found


def group_of(processes):
    """Where a function lies that these processes run: neighbours share what they both have."""
    if processes == {"agent"}:
        return (0, "")
    if "agent" in processes:
        return (1, "")
    return (2, "") if len(processes) > 1 else (3, *processes)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accelmon", default=str(ROOT / "build/release/bin/accelmon"))
    parser.add_argument("--out", default=str(ROOT / "cmake/hot-functions.txt"))
    arguments = parser.parse_args()
    program = str(pathlib.Path(arguments.accelmon).resolve())
    cost, processes = collections.Counter(), collections.defaultdict(set)
    for scenario in ("mixed", "h100x8"):
        with tempfile.TemporaryDirectory(prefix="accelmon-hot-") as folder:
            for process, functions in observe(program, scenario, pathlib.Path(folder), 20).items():
                for name, value in functions.items():
                    cost[name.split("'")[0]] += value
                    processes[name.split("'")[0]].add(process)
    print(", ".join(sorted(set().union(*processes.values()))))
    symbol = re.compile(r"[A-Za-z_][\w.$]*$")
    hot = [name for name in cost if symbol.match(name)]
    hot.sort(key=lambda name: (group_of(processes[name]), -cost[name], name))
    if len(hot) < 300:
        sys.exit(f"hot-functions: only {len(hot)} functions were seen: is {program} stripped?")
    pathlib.Path(arguments.out).write_text("\n".join(hot) + "\n", encoding="utf-8")
    print(f"{len(hot)} functions")


if __name__ == "__main__":
    main()
