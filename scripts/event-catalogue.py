#!/usr/bin/env python3
"""Makes src/model/event_catalogue.def of data/event-catalogue.toml.

  scripts/event-catalogue.py           writes the table
  scripts/event-catalogue.py --check   exit code 1 where the table is not what the file says
"""
import pathlib
import re
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCE = ROOT / "data" / "event-catalogue.toml"
TABLE = ROOT / "src" / "model" / "event_catalogue.def"
SEVERITIES = ("info", "warning", "critical")
# One field of a code is a word or a number; the whole is a label's value in every system that reads it.
CODE = re.compile(r"^[a-z0-9_]+(:[a-z0-9_]+)?$")
LONGEST = 200


def complain(row, what):
    sys.exit(f"{SOURCE.relative_to(ROOT)}: event {row.get('code', '?')!r}: {what}")


def table(document):
    version = document.get("version")
    if not isinstance(version, int) or version < 1:
        sys.exit(f"{SOURCE.relative_to(ROOT)}: version must be a whole number from 1")
    lines = [
        "// Made by scripts/event-catalogue.py of data/event-catalogue.toml; change that file.",
        '// EVENT("code", severity, sympathetic, "meaning", "action")',
        f"EVENT_CATALOGUE_VERSION({version})",
    ]
    seen = set()
    for row in document.get("event", []):
        if unknown := set(row) - {"code", "severity", "meaning", "action", "sympathetic"}:
            complain(row, f"unknown key {sorted(unknown)[0]!r}")
        code = row.get("code", "")
        if not isinstance(code, str) or not CODE.match(code):
            complain(row, "code must be lower-case words, one colon at most")
        if code in seen:
            complain(row, "stands there twice")
        seen.add(code)
        if row.get("severity") not in SEVERITIES:
            complain(row, f"severity must be one of {', '.join(SEVERITIES)}")
        if not isinstance(row.get("sympathetic", False), bool):
            complain(row, "sympathetic must be true or false")
        for key in ("meaning", "action"):
            text = row.get(key)
            if not isinstance(text, str) or not text or len(text) > LONGEST or not text.isprintable():
                complain(row, f"{key} must be a line of 1 to {LONGEST} characters")
        quoted = ['"' + row[key].replace("\\", "\\\\").replace('"', '\\"') + '"' for key in ("meaning", "action")]
        sympathetic = "true" if row.get("sympathetic", False) else "false"
        lines.append(f'EVENT("{code}", {row["severity"]}, {sympathetic}, {quoted[0]}, {quoted[1]})')
    return "\n".join(lines) + "\n"


def main():
    text = table(tomllib.loads(SOURCE.read_text()))
    if sys.argv[1:] == ["--check"]:
        if not TABLE.exists() or TABLE.read_text() != text:
            print(f"{TABLE.relative_to(ROOT)} is not what {SOURCE.relative_to(ROOT)} says: run scripts/event-catalogue.py")
            sys.exit(1)
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        TABLE.write_text(text)


if __name__ == "__main__":
    main()
