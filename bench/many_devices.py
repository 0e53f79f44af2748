#!/usr/bin/env python3
"""What 64 boards of three makers cost on one host, polled once a second.

A scenario is made of the shipped `mixed` one: 24 NVIDIA, 24 AMD and 16 Intel boards. Intel's are read both by Level Zero and from the
kernel's files. CPU is that of the agent and of all collectors. "Own work" leaves out the time inside calls into the
drivers, which the agent measures itself (accelmon_collector_call_time_seconds_total): here they are simulated, and on
real boards they cost what they cost. Reading a kernel's file counts as a call, its parsing does not.

    python3 bench/many_devices.py [--accelmon build/release/bin/accelmon] [--seconds 30]
"""
import argparse
import pathlib
import re
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import compare

COUNTS = {"device": 24, "amd": 24, "intel": 16}


def scenario(text):
    """The mixed machine with so many boards of each maker, at addresses of their own."""
    bus = iter(range(1, 255))
    for table, count in COUNTS.items():
        addresses = ", ".join(f'"{"0000" if table == "device" else ""}0000:{next(bus):02x}:00.0"' for _ in range(count))
        text, changed = re.subn(rf'(\[\[{table}\]\]\nuse = [^\n]*\n)count = \d+\n((?:[^\n\[][^\n]*\n)*?)pci\.addresses = [^\n]*\n',
                                rf"\g<1>count = {count}\n\g<2>pci.addresses = [{addresses}]\n", text)
        if changed != 1:
            sys.exit(f"many_devices: [[{table}]] is not as expected in the scenario")
    return text


class Host(compare.Accelmon):
    def __init__(self, binary, folder):
        super().__init__(binary, folder)
        self.scenario = pathlib.Path(folder) / "many.toml"
        self.scenario.write_text(scenario((compare.ROOT / "simulator/scenarios/mixed.toml").read_text()))

    def command(self):
        return super().command()[:-1] + [str(self.scenario)]


def calls(page):
    total = 0.0
    for line in page.decode().splitlines():
        if line.startswith("accelmon_collector_call_time_seconds_total"):
            total += float(line.rsplit(" ", 1)[1])
    return total


def name_of(pid):
    words = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return words[words.index("collect") + 1] if "collect" in words else "agent"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accelmon", default=str(compare.ROOT / "build/release/bin/accelmon"))
    parser.add_argument("--seconds", type=float, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="accelmon-bench-") as folder:
        host = Host(arguments.accelmon, folder)
        host.start()
        try:
            time.sleep(35)  # what is absent has been looked for twice, and is left alone for a while
            pids = compare.family(host.process.pid)
            names = {pid: name_of(pid) for pid in pids}
            connection = compare.Connection(host.port)
            page = connection.get("/metrics")[1]
            each = {pid: compare.cpu_seconds([pid]) for pid in pids}
            before, began = calls(page), time.perf_counter()
            time.sleep(arguments.seconds)
            elapsed = time.perf_counter() - began
            used = {pid: compare.cpu_seconds([pid]) - each[pid] for pid in pids}
            page = connection.get("/metrics")[1]
            inside = calls(page) - before
            pss, _ = compare.memory(pids)
        finally:
            host.stop()
    boards = {m.group(1) for m in re.finditer(r'hw_gpu_memory_limit_bytes\{hw_id="([^"]+)",hw_type="gpu"', page.decode())}
    series = sum(1 for line in page.splitlines() if line and not line.startswith(b"#"))
    total = sum(used.values())
    print(f"{len(boards)} boards, {series} series, {len(pids)} processes, {pss:.1f} MiB PSS\n")
    print("| process | CPU, % of a core |")
    print("|---|---:|")
    for pid, seconds in used.items():
        print(f"| {names[pid]} | {seconds / elapsed * 100:.3f} |")
    print(f"| all | {total / elapsed * 100:.3f} |")
    print(f"| of that inside calls into drivers and kernel files | {inside / elapsed * 100:.3f} |")
    print(f"| own work | {(total - inside) / elapsed * 100:.3f} |")


if __name__ == "__main__":
    main()
