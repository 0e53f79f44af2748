#!/usr/bin/env python3
"""tests/hot_path.py refuses what it is there to refuse."""
import unittest

import hot_path

DUMP = """version: 1
creator: callgrind-3.19.0
pid: 7
desc: Timerange: Basic block 0 - 1
desc: Trigger: Client Request: poll
events: Ir
totals: 120000
"""


class Counting(unittest.TestCase):
    def test_dumps_are_added_up_and_brought_to_960_samples(self):
        last = DUMP.replace("Client Request: poll", "Program termination")
        counts = hot_path.counts_of([DUMP, DUMP, last], "poll 1920\n")
        self.assertEqual(counts, {"poll": 120000})

    def test_a_part_that_was_not_seen(self):
        with self.assertRaisesRegex(hot_path.Trouble, "text"):
            hot_path.counts_of([DUMP], "poll 960\ntext 960\n")


class Judging(unittest.TestCase):
    def test_within_the_margin(self):
        lines, wrong = hot_path.judge({"poll": 1149, "text": 10}, {"poll": 1000, "text": 10})
        self.assertEqual(wrong, [])
        self.assertEqual(len(lines), 2)

    def test_beyond_the_margin(self):
        _, wrong = hot_path.judge({"poll": 1160}, {"poll": 1000})
        self.assertEqual(len(wrong), 1)
        self.assertIn("poll takes 1160", wrong[0])

    def test_much_less_is_said_and_passes(self):
        lines, wrong = hot_path.judge({"poll": 500}, {"poll": 1000})
        self.assertEqual(wrong, [])
        self.assertIn("--record", "".join(lines))

    def test_what_is_recorded_or_counted_alone(self):
        _, wrong = hot_path.judge({"poll": 1}, {"text": 1})
        self.assertEqual(len(wrong), 2)

    def test_a_record_is_read_as_it_was_written(self):
        written = hot_path.record_of("GNU 12 x86_64", {"poll": 12, "gzip": 3})
        self.assertEqual(hot_path.read_record(written), ("GNU 12 x86_64", {"poll": 12, "gzip": 3}))

    def test_the_record_that_is_kept(self):
        builder, counts = hot_path.read_record(hot_path.RECORD.read_text(encoding="utf-8"))
        self.assertTrue(builder)
        self.assertEqual(set(counts), {"poll", "text", "openmetrics", "gzip"})


if __name__ == "__main__":
    unittest.main()
