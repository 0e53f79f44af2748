#!/usr/bin/env python3
"""How many instructions the hot path takes for 960 samples, beside what was recorded; more than the margin fails.

    ./dev count             counts and compares with tests/hot-path-counts.txt
    ./dev count --record    writes what was counted there, to be committed with the change that made it so

bench/hot_path.cc says what is counted: a poll from the collector's frame to the history, a page of each text format, and its
compression. callgrind counts; time is never looked at, so other work on the machine does not matter. What the C library chooses
by the processor's features (which memcpy) is pinned to what every x86-64 has. Counts belong to a compiler and an architecture:
where the program was built by another than the recorded one, nothing is compared and the exit code is 77.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORD = ROOT / "tests/hot-path-counts.txt"
SAMPLES = 960
MARGIN = 0.15
SKIPPED = 77
HEAD = """# Instructions of the hot path for 960 samples; written by ./dev count --record, compared by ./dev count.
"""
# The C library's functions for memory as on the oldest x86-64, so that hosts with and without AVX-512 count alike. What a
# library does not know of these it passes over.
PINNED = "glibc.cpu.hwcaps=" + ",".join(
    "-" + feature for feature in ("AVX", "AVX2", "AVX_Usable", "AVX2_Usable", "AVX_Fast_Unaligned_Load", "AVX512F", "AVX512VL",
                                  "AVX512BW", "ERMS", "FSRM", "FMA", "FMA_Usable", "SSE4_1", "SSE4_2", "SSSE3", "BMI2"))


class Trouble(Exception):
    pass


def dump_of(text):
    """(part, instructions) of one file that callgrind wrote when the program asked for it; None of any other."""
    part = re.search(r"^desc: Trigger: Client Request: (\w+)$", text, re.M)
    total = re.search(r"^totals: (\d+)$", text, re.M)
    return (part.group(1), int(total.group(1))) if part and total else None


def counts_of(dumps, said):
    """{part: instructions for SAMPLES samples}; `said` is the program's output, a line a part with its samples."""
    sums = {}
    for text in dumps:
        found = dump_of(text)
        if found:
            sums[found[0]] = sums.get(found[0], 0) + found[1]
    counts = {}
    for line in said.splitlines():
        part, samples = line.split()
        if not sums.get(part) or int(samples) == 0:
            raise Trouble(f"callgrind has counted nothing of {part}")
        counts[part] = round(sums[part] / int(samples) * SAMPLES)
    return counts


def run(program):
    with tempfile.TemporaryDirectory(prefix="accelmon-count-") as folder:
        done = subprocess.run(["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={folder}/out", program],
                              capture_output=True, text=True, check=False,
                              env={**os.environ, "GLIBC_TUNABLES": PINNED})
        if done.returncode != 0:
            raise Trouble(f"{program} ended with code {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
        return counts_of((path.read_text() for path in pathlib.Path(folder).glob("out*")), done.stdout)


def built_by(program):
    return subprocess.run([program, "--built-by"], capture_output=True, text=True, check=True).stdout.strip()


def read_record(text):
    """(what it was built by, {part: count})."""
    builder, counts = "", {}
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        key, value = line.split(maxsplit=1)
        if key == "built-by":
            builder = value
        else:
            counts[key] = int(value)
    return builder, counts


def record_of(builder, counts):
    return HEAD + f"built-by {builder}\n" + "".join(f"{part} {count}\n" for part, count in counts.items())


def judge(counts, recorded):
    """([line of the table], [what is wrong])."""
    lines, wrong = [], []
    for part, count in counts.items():
        before = recorded.get(part)
        if before is None:
            lines.append(f"{part:12} {count:9}  not recorded")
            wrong.append(f"{part} has no recorded count")
            continue
        change = count / before - 1
        lines.append(f"{part:12} {count:9}  recorded {before:9}  {change:+7.1%}")
        if change > MARGIN:
            wrong.append(f"{part} takes {count} instructions for {SAMPLES} samples, {change:+.1%} of the recorded {before} "
                         f"(allowed is {MARGIN:+.0%})")
        elif change < -MARGIN:
            lines.append(f"{'':12} much less than recorded: ./dev count --record makes the gate as narrow as it was")
    wrong += [f"{part} is recorded and was not counted" for part in recorded if part not in counts]
    return lines, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build/release/bin/hot_path"))
    parser.add_argument("--record", action="store_true", help="write what is counted to tests/hot-path-counts.txt")
    arguments = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("hot_path: valgrind is not installed; nothing is counted")
        return SKIPPED
    try:
        builder = built_by(arguments.program)
        counts = run(arguments.program)
    except (OSError, subprocess.SubprocessError, Trouble) as error:
        print(f"hot_path: {error}")
        return 1
    if arguments.record:
        RECORD.write_text(record_of(builder, counts), encoding="utf-8")
        print(f"recorded in {RECORD.relative_to(ROOT)}, to be committed with the change that made it so:")
    recorded_by, recorded = read_record(RECORD.read_text(encoding="utf-8"))
    lines, wrong = judge(counts, recorded)
    print(f"instructions for {SAMPLES} samples, built by {builder}")
    print("\n".join(lines))
    if builder != recorded_by:
        print(f"hot_path: the record is of {recorded_by}; nothing is compared")
        return SKIPPED
    if wrong:
        print("\n" + "\n".join(wrong))
        print("Where that is the price of something wanted: ./dev count --record, and commit tests/hot-path-counts.txt with the\n"
              "change and the reason. Where it is not: callgrind_annotate shows which function grew (HACKING.md).")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
