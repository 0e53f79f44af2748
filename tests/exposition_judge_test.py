#!/usr/bin/env python3
"""Reads exposition pages with the parsers of the Prometheus Python client, which share no code with accelmon.

    exposition_judge_test.py [--text FILE]... [--openmetrics FILE]... [--untyped-counters PREFIX]

For each page it prints one line "FILE FAMILIES SAMPLES" and, after it, one line of JSON for each sample:
[name, {label: value}, value]. Exit status: 0 all pages are well-formed, 1 one is not (the reason is on standard error),
77 the Python client is not installed.

--untyped-counters: families of OpenMetrics whose names begin so may be of type unknown, since that format has no counter
without _total.
"""

import argparse
import json
import sys

try:
    from prometheus_client import openmetrics, parser
    import prometheus_client.openmetrics.parser  # noqa: F401
except ImportError:
    print("prometheus_client is not installed", file=sys.stderr)
    sys.exit(77)


def judge(path, parse, may_be_unknown):
    with open(path, encoding="utf-8", newline="") as page:
        text = page.read()
    names = set()
    series = set()
    lines = []
    for family in parse(text):
        if family.name in names:
            raise ValueError(f"the family {family.name} stands in two places")
        names.add(family.name)
        if family.type == "unknown" and not (may_be_unknown and family.name.startswith(may_be_unknown)):
            raise ValueError(f"{family.name} has no type")
        if not family.documentation:
            raise ValueError(f"{family.name} has no help")
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            if key in series:
                raise ValueError(f"{sample.name}{sample.labels} stands twice")
            series.add(key)
            lines.append(json.dumps([sample.name, sample.labels, repr(float(sample.value))]))
    print(path, len(names), len(series))
    for line in lines:
        print(line)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--text", action="append", default=[])
    arguments.add_argument("--openmetrics", action="append", default=[])
    arguments.add_argument("--untyped-counters", default="")
    options = arguments.parse_args()
    if not options.text and not options.openmetrics:
        arguments.error("no page to judge")
    failed = False
    for paths, parse, may_be_unknown in (
        (options.text, parser.text_string_to_metric_families, ""),
        (options.openmetrics, openmetrics.parser.text_string_to_metric_families, options.untyped_counters),
    ):
        for path in paths:
            try:
                judge(path, parse, may_be_unknown)
            except ValueError as error:
                print(f"{path}: {error}", file=sys.stderr)
                failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
