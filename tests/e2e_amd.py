#!/usr/bin/env python3
"""AMD GPUs under the simulated kernel: the page of a partitioned board, a file that hangs its reader, a card that sleeps,
and that nothing is left behind.
"""
import os
import pathlib
import tempfile
import unittest

from agent_fixture import Agent, Scenario, main, wait_for

UTILIZATION = "hw_gpu_utilization_ratio"


class Amd(unittest.TestCase):
    def start(self, scenario, config=""):
        self.base = (Scenario.BASE / f"{scenario}.toml").read_text()
        self.scenario = Scenario(self.base)
        self.addCleanup(self.scenario.folder.cleanup)
        temporary = tempfile.TemporaryDirectory(prefix="accelmon-test-tmp-")
        self.addCleanup(temporary.cleanup)
        self.temporary = pathlib.Path(temporary.name)
        self.agent = Agent(simulate=self.scenario, config=config, env={"TMPDIR": temporary.name})
        self.addCleanup(self.agent.end)
        wait_for("the devices", lambda: self.agent.page().values(UTILIZATION))
        return self.agent

    def test_partitions_and_an_orderly_end(self):
        agent = self.start("mi300x-cpx")
        page = agent.page()
        parts = [labels for _, labels, _ in page.samples if labels.get("hw_type") == "gpu_partition"]
        self.assertEqual(sorted({labels["gpu"] for labels in parts}), [f"0:{part}" for part in range(8)])
        # A sum over whole devices counts memory once.
        limits = [labels for name, labels, _ in page.samples if name == "hw_gpu_memory_limit_bytes"]
        self.assertEqual([labels["hw_type"] for labels in limits if labels["hw_type"] != "gpu_partition"], ["gpu"])
        self.assertEqual(page.values("hw_gpu_memory_limit_bytes", hw_type="gpu"), [196592 * 1048576])
        # Each partition has its share.
        self.assertEqual(page.values("hw_gpu_memory_limit_bytes", hw_type="gpu_partition"), [24574 * 1048576] * 8)
        self.assertEqual(page.values("hw_status", hw_type="gpu_partition", hw_state="ok"), [1] * 8)
        self.assertEqual(len(os.listdir(self.temporary)), 1)
        self.assertEqual(agent.end(), 0)
        self.assertEqual(os.listdir(self.temporary), [])

    def test_a_file_that_hangs(self):
        agent = self.start("radeon")
        self.scenario.write(f'{self.base}\n[[fault]]\nvendor = "amd"\nkind = "hang"\nfile = "gpu_metrics"\n')
        wait_for("its series to go", lambda: not agent.page().values(UTILIZATION))
        call = wait_for("the file to be named", lambda: agent.collector("amdgpu")["current_call"])
        self.assertEqual(call["name"], "gpu_metrics")
        self.assertEqual(agent.page().value("accelmon_collector_up", collector="host"), 1)
        self.scenario.write(self.base)
        wait_for("the series to come back", lambda: agent.page().values(UTILIZATION))

    def test_a_card_that_sleeps(self):
        agent = self.start("radeon")
        asleep = wait_for("both cards", lambda: (
            values if len(values := agent.page().values("accelmon_gpu_asleep")) == 2 else None))
        self.assertEqual(sorted(asleep), [0, 1])


if __name__ == "__main__":
    main(200)
