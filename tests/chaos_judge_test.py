#!/usr/bin/env python3
"""The judge of ./dev chaos can tell: each of its rules is broken once, by pages that no agent served."""
import unittest

from chaos_watch import Limits, Page, Watch

KNOWN = {"hw_temperature_celsius": ("gauge", -100, 200), "hw_energy_joules_total": ("counter", 0, float("inf")),
         "accelmon_collector_polls_total": ("counter", 0, float("inf"))}
OWNERS = {"nvidia": "nvml", "amd": "amdgpu"}
INTERVALS = {"nvml": 0.1, "amdgpu": 0.1}


def text(at, energy=1000.0, temperature=40, memory=48e9, status=True, up=1, restarts=0, age=0.05, more=""):
    board = 'hw_id="GPU-0",gpu="0",hw_vendor="nvidia"'
    lines = [f"hw_temperature_celsius{{{board}}} {temperature}", f"hw_energy_joules_total{{{board}}} {energy}",
             f"hw_gpu_memory_limit_bytes{{{board}}} {memory}", more]
    if status:
        lines.append(f'hw_status{{{board},hw_state="ok"}} 1')
    for name in INTERVALS:
        its_up, its_restarts = (up, restarts) if name == "amdgpu" else (1, 0)
        lines += [f'accelmon_collector_up{{collector="{name}"}} {its_up}',
                  f'accelmon_collector_restarts_total{{collector="{name}"}} {its_restarts}',
                  f'accelmon_collector_last_success_timestamp_seconds{{collector="{name}"}} {at - age}']
    return "# TYPE x gauge\n" + "\n".join(line for line in lines if line) + "\n"


class Judge(unittest.TestCase):
    def setUp(self):
        self.watch = Watch(None, OWNERS, INTERVALS, Limits(), KNOWN, {})
        self.watch.target, self.watch.neighbours = "nvml", {"amdgpu": 0}
        self.watch.boards = {"GPU-0": 48e9}
        self.at = 1000.0

    def see(self, took=0.002, control=0.001, stall=0.001, **what):
        self.at += 0.1
        page = Page()
        page.began, page.ended, page.wall = self.at, self.at + took, self.at
        page.took, page.control, page.stall = took, control, stall
        self.watch.judge(page, text(self.at, **what))
        self.watch.pages.append(page)

    def broken(self):
        self.watch.times()
        return sorted(rule for rule, texts in self.watch.broken.items() if texts)

    def test_good_pages_break_nothing(self):
        for i in range(50):
            self.see(energy=1000 + 30 * i)
        self.assertEqual(self.broken(), [])

    def test_a_slow_page_while_the_machine_was_quiet(self):
        for _ in range(300):
            self.see()
        self.see(took=0.06)
        self.assertEqual(self.broken(), ["in time"])

    def test_a_slow_page_that_the_machine_made_slow(self):
        for _ in range(300):
            self.see()
        self.see(took=0.06, control=0.055)
        self.assertEqual(self.broken(), [])

    def test_lenient_judges_the_half_and_not_the_one(self):
        self.watch.limits = Limits(lenient=True)
        for _ in range(30):
            self.see()
        self.see(took=0.2)
        self.assertEqual(self.broken(), [])
        for _ in range(35):
            self.see(took=0.2)
        self.assertEqual(self.broken(), ["in time"])

    def test_an_old_reading(self):
        self.see(age=0.3)
        self.assertEqual(self.broken(), [])
        self.see(age=0.36)
        self.assertEqual(self.broken(), ["true"])

    def test_a_number_that_cannot_be(self):
        for number in (4294967295, "NaN", "+Inf", -1e30):
            with self.subTest(number=number):
                self.watch.broken = {}
                self.see(temperature=number)
                self.assertEqual(self.broken(), ["true"])

    def test_a_series_that_stands_twice(self):
        self.see(more='hw_temperature_celsius{hw_id="GPU-0",gpu="0",hw_vendor="nvidia"} 41')
        self.assertEqual(self.broken(), ["true"])

    def test_a_counter_that_falls(self):
        self.see(energy=1000)
        self.see(energy=999)
        self.assertEqual(self.broken(), ["counters"])

    def test_a_counter_that_leaps(self):
        self.see(energy=1000)
        self.see(energy=1030)
        self.see(energy=262144)
        self.assertEqual(self.broken(), ["counters"])

    def test_a_driver_that_begins_anew_does_so_near_zero(self):
        self.watch.resets = True
        self.see(energy=100_000)
        self.see(energy=100_030)
        self.see(energy=20)
        self.assertEqual(self.broken(), [])
        self.see(energy=100_000)
        self.watch.broken = {}
        self.see(energy=60_000)
        self.assertEqual(self.broken(), ["counters"])

    def test_wild_numbers_of_its_own_are_judged_by_their_bounds(self):
        self.watch.wild = True
        self.see(energy=1000)
        self.see(energy=999)
        self.assertEqual(self.broken(), [])
        self.see(temperature=4294967295)
        self.assertEqual(self.broken(), ["true"])

    def test_a_board_without_a_status(self):
        self.see(status=False)
        self.assertEqual(self.broken(), ["boards"])
        self.watch.broken, self.watch.statuses = {}, False
        self.see(status=False)
        self.assertEqual(self.broken(), [])

    def test_a_board_with_the_numbers_of_another(self):
        self.see(memory=24e9)
        self.assertEqual(self.broken(), ["boards"])

    def test_a_neighbour_that_is_silent_or_was_started_again(self):
        self.see(up=0)
        self.assertEqual(self.broken(), ["the others"])
        self.watch.broken = {}
        self.see(restarts=1)
        self.assertEqual(self.broken(), ["the others"])


if __name__ == "__main__":
    unittest.main()
