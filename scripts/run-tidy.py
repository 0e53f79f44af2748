#!/usr/bin/env python3
"""clang-tidy over the project's sources, most recently changed first, a few at a time.

Without --all: the sources that differ from the upstream branch, or where there is none from the last commit.
--budget SECONDS starts no further file once the time is over, and says how many were not looked at.
Needs BUILD/compile_commands.json. Exit code 1 when clang-tidy finds something.
"""
import argparse
import concurrent.futures
import json
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def git(*arguments):
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.split("\n") if done.returncode == 0 else []


def changed():
    """Names that differ from the upstream branch (or the last commit), with what is not committed yet."""
    base = "origin/HEAD" if git("rev-parse", "--verify", "-q", "origin/HEAD") else "HEAD"
    merge_base = (git("merge-base", base, "HEAD") or ["HEAD"])[0] or "HEAD"
    return set(git("diff", "--name-only", merge_base) + git("ls-files", "--others", "--exclude-standard")) - {""}


def users_of(headers, sources):
    """The sources that include one of these headers directly; clang-tidy looks at headers through them."""
    if not headers:
        return set()
    names = [re.escape(re.sub(r"^(src|include)/", "", header)) for header in headers]
    pattern = re.compile(r'#\s*include\s*["<](?:[^">]*/)?(?:' + "|".join(names) + r')[">]')
    return {source for source in sources if pattern.search((ROOT / source).read_text(errors="replace"))}


def by_recency(sources):
    """Most recently committed first; what is not committed comes before all."""
    order = {}
    for position, name in enumerate(git("log", "--format=", "--name-only", "-n", "500", "--", "*.cc")):
        if name and name not in order:
            order[name] = position
    return sorted(sources, key=lambda name: (order.get(name, -1), name))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/debug")
    parser.add_argument("--all", action="store_true", help="every source, not only the changed ones")
    parser.add_argument("--budget", type=float, help="seconds after which no further file is started; implies --all")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()

    database = ROOT / arguments.build / "compile_commands.json"
    known = {str(pathlib.Path(entry["file"]).resolve().relative_to(ROOT))
             for entry in json.loads(database.read_text())
             if pathlib.Path(entry["file"]).resolve().is_relative_to(ROOT)}
    known = {name for name in known if (ROOT / name).is_file() and not name.startswith("build/")}
    if arguments.all or arguments.budget:
        chosen = known
    else:
        names = changed()
        chosen = (names & known) | users_of({name for name in names if name.endswith((".h", ".def"))}, known)

    started = time.monotonic()
    findings, left = [], 0

    def tidy(name):
        if arguments.budget and time.monotonic() - started > arguments.budget:
            return name, None, ""
        done = subprocess.run(["clang-tidy", "--quiet", "-p", str(database.parent),
                               "--extra-arg=-Wno-unknown-warning-option", str(ROOT / name)],
                              cwd=ROOT, capture_output=True, text=True)
        return name, done.returncode, done.stdout + (done.stderr if done.returncode else "")

    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for name, code, output in pool.map(tidy, by_recency(chosen)):
            if code is None:
                left += 1
            elif code:
                findings.append(name)
                print(output.strip(), flush=True)
    looked = len(chosen) - left
    print(f"clang-tidy: {looked} files, {len(findings)} with findings"
          + (f", {left} not looked at (time was over)" if left else ""))
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
