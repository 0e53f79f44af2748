#!/usr/bin/env python3
"""Refuses includes that break the rules of the house, and files that are too long.

The rooms and their layers are read from the accelmon_room(...) lines of CMakeLists.txt:
  - a room includes only rooms that its line names after USES, and itself;
  - a third-party header stands only where THIRD_PARTY below allows it; a header of ours includes none but tl/expected;
  - a source file has at most 600 lines, unless scripts/long-files.txt lists it with a reason.
Prints file:line: what is wrong. Exit code 1 when something is.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LONGEST = 600

# Header prefix -> the files that may include it (patterns of pathlib's match, relative to the repository).
THIRD_PARTY = {
    "boost/": ["src/net/*.cc"],
    "toml++/": ["src/agent/config.cc", "simulator/*.cc", "simulator/*/*.cc"],
    "CLI/": ["src/app/*.cc"],
    "protozero/": ["src/encode/*.cc", "src/exporters/*_test.cc", "bench/*.cc"],
    "snappy": ["src/encode/snappy.cc", "src/encode/*_test.cc"],
    "nlohmann/": ["src/app/*.cc", "src/net/aws_credentials.cc", "src/encode/cloudwatch_answer.cc",
                  "src/encode/otlp_answer.cc", "src/*/*_test.cc"],
    "fmt/": ["src/*/*.cc", "src/*/*/*.cc", "simulator/*.cc", "simulator/*/*.cc", "bench/*.cc"],
    "libdeflate.h": ["src/encode/gzip.cc", "src/store/catalog_blob.cc"],
    "sqlite3.h": ["src/store/database.cc"],
    "re2/": ["src/agent/label_match.cc"],
    "zlib.h": ["src/*/*_test.cc"],
    "openssl/": ["src/net/sha256.cc", "src/net/tls.cc"],
    "yaml.h": ["src/net/yaml.cc"],
    "crypt.h": ["src/net/authenticator.cc"],
    "curl/": ["src/net/push_client.cc"],
    "tl/expected.hpp": ["src/base/status.h"],
    "benchmark/": ["bench/*.cc", "src/*/*_bench.cc", "src/*/*/*_bench.cc"],
    "prometheus/": ["bench/*.cc"],
    "valgrind/": ["bench/*.cc"],
    # Google's library and what protoc makes of src/encode/testdata/proto: a judge.
    "google/protobuf/": ["src/encode/*_test.cc", "bench/*.cc"],
    "judge/": ["src/encode/*_test.cc", "bench/*.cc"],
    # The collector has declarations of its own.
    "level_zero/ze": ["simulator/level_zero/*", "src/collectors/level_zero/ze_abi_test.cc"],
}
# Test programs may include these, and so may headers that only test programs include.
TEST_ONLY = ("gtest/", "gmock/", "rapidcheck")
# At most one file of the pattern may include these: the rest of the room does not see them.
SINGLE = ["CLI/"]

QUOTED = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
STANDARD = re.compile(r"^(?:[a-z_0-9]+|(?:sys|linux|netinet|arpa|net|asm)/[a-z_0-9/]+\.h|[a-z_0-9]+\.h|sanitizer/[a-z_]+\.h)$")


def rooms():
    """folder -> (layer, folders that it may include)."""
    found = {}
    text = (ROOT / "CMakeLists.txt").read_text()
    for match in re.finditer(r"^\s*accelmon_room\(([^)]*)\)", text, re.M):
        words = match.group(1).split()
        uses, keyword = [], None
        for word in words[2:]:
            if word in ("USES", "LIBS"):
                keyword = word
            elif keyword == "USES":
                uses.append(word)
        found[words[0]] = (int(words[1]), set(uses))
    return found


def room_of(path, known):
    """The room that a path below src/ lies in: the longest folder that is one."""
    folder = str(pathlib.PurePosixPath(path).parent)
    while folder not in known and "/" in folder:
        folder = folder.rsplit("/", 1)[0]
    return folder if folder in known else None


def sources():
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                            check=True, capture_output=True).stdout.decode().split("\0")
    return sorted({name for name in listed if name and (ROOT / name).is_file()})


def test_files(names):
    """Test programs, and headers that nothing else includes."""
    users = {}
    for name in names:
        for header in QUOTED.findall((ROOT / name).read_text(errors="replace")):
            # As the compiler looks: beside the file, then in the roots.
            beside = str(pathlib.PurePosixPath(name).parent / header)
            for candidate in (beside, f"src/{header}", f"include/{header}", header):
                if (ROOT / candidate).is_file():
                    users.setdefault(candidate, set()).add(name)
                    break
    found = {name for name in names if name.endswith("_test.cc")}
    while True:
        more = {name for name, by in users.items() if name.endswith(".h") and by <= found} - found
        if not more:
            return found
        found |= more


def check_include(name, number, bracket, header, known, problems, single, tests):
    path = pathlib.PurePosixPath(name)
    where = f"{name}:{number}"
    if header.startswith(TEST_ONLY):
        if name not in tests:
            problems.append(f"{where}: <{header}> is for tests (*_test.cc, and headers that only those include)")
        return
    for prefix, allowed in THIRD_PARTY.items():
        if header.startswith(prefix):
            if not any(path.match(pattern) for pattern in allowed):
                problems.append(f"{where}: <{header}> may be included only in {', '.join(allowed)}")
            if prefix in SINGLE:
                single.setdefault(prefix, {})[name] = number
            return
    if bracket == "<":
        if not STANDARD.match(header):
            problems.append(f"{where}: <{header}> is a third-party header that scripts/check-layers.py does not know")
        return
    if not name.startswith("src/") or name == "src/main.cc":
        return
    own = room_of(name[len("src/"):], known)
    other = room_of(header, known)
    if own is None:
        problems.append(f"{where}: the folder is no room of CMakeLists.txt")
    elif other is None:
        # A file beside, or generated: it must at least not reach out of the room.
        if header.startswith("..") or "/" in header and not (ROOT / "include" / header).exists() \
                and not header.startswith("simulator/"):
            problems.append(f'{where}: "{header}" is in no room')
    elif other != own and other not in known[own][1]:
        problems.append(f'{where}: room {own} (layer {known[own][0]}) must not include "{header}" of room {other} '
                        f"(layer {known[other][0]})")


def main():
    known, problems, single = rooms(), [], {}
    if not known:
        sys.exit("check-layers: CMakeLists.txt has no accelmon_room(...) line")
    reasons = {}
    exceptions = ROOT / "scripts" / "long-files.txt"
    for line in exceptions.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, reason = line.strip().partition(" ")
            reasons[name] = reason.strip()
            if not reason.strip():
                problems.append(f"scripts/long-files.txt: {name} has no reason")
            if not (ROOT / name).is_file():
                problems.append(f"scripts/long-files.txt: {name} does not exist")
    names = sources()
    tests = test_files([name for name in names if name.endswith((".cc", ".h"))])
    for name in names:
        suffix = pathlib.PurePosixPath(name).suffix
        if suffix not in (".cc", ".h", ".def", ".py", ".sh", ".ts", ".tsx") and name != "dev":
            continue
        lines = (ROOT / name).read_text(errors="replace").splitlines()
        if len(lines) > LONGEST and name not in reasons:
            problems.append(f"{name}: {len(lines)} lines; at most {LONGEST}: split it, or list it with a reason in "
                            "scripts/long-files.txt")
        if len(lines) <= LONGEST and name in reasons:
            problems.append(f"scripts/long-files.txt: {name} is no longer long")
        if suffix not in (".cc", ".h") or name.startswith("build/"):
            continue
        for number, line in enumerate(lines, 1):
            match = INCLUDE.match(line)
            if match:
                check_include(name, number, match.group(1), match.group(2), known, problems, single, tests)
    for prefix, files in single.items():
        if len(files) > 1:
            problems.append(f"<{prefix}...> is included by more than one file: {', '.join(sorted(files))}")
    for problem in problems:
        print(problem)
    if problems:
        sys.exit(1)
    print(f"layers: {len(known)} rooms, includes and file sizes as they should be")


if __name__ == "__main__":
    main()
