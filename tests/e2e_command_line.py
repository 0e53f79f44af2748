#!/usr/bin/env python3
"""The verbs, against a running agent and without one."""
import csv
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import receivers
from agent_fixture import PATIENCE, PROGRAM, SOURCE, Agent, Page, command_line, main, run, wait_for

VERBS = ("serve", "status", "doctor", "release", "resume", "metrics", "config",
         "torchserve-collect", "findings", "export", "cloudwatch-cost", "version", "help")


class WithAgent(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.agent = Agent(simulate="h100x8")
        cls.addClassCleanup(cls.agent.end)
        cls.config = ["--config", str(cls.agent.config_path)]

    def test_status_table(self):
        code, out, err = run(["status", *self.config])
        self.assertEqual((code, err), (0, ""))
        self.assertIn("H100", out)
        self.assertNotIn("\x1b", out, "colour though this is no terminal")
        rows = [line for line in out.splitlines() if "H100" in line]
        self.assertEqual(len(rows), 8)
        self.assertLessEqual(max(len(line) for line in out.splitlines()), 200)

    def test_status_json(self):
        code, out, _ = run(["status", *self.config, "--format", "json"])
        self.assertEqual(code, 0)
        status = json.loads(out)
        self.assertEqual(status["pid"], self.agent.pid)
        self.assertEqual(len(status["devices"]), 8)

    def test_status_csv(self):
        code, out, _ = run(["status", *self.config, "--format", "csv"])
        self.assertEqual(code, 0)
        rows = list(csv.DictReader(io.StringIO(out)))
        self.assertGreaterEqual(len(rows), 8)
        self.assertTrue(all(None not in row and None not in row.values() for row in rows), "rows of unequal length")

    def test_status_prometheus(self):
        code, out, _ = run(["status", *self.config, "--format", "prometheus"])
        self.assertEqual(code, 0)
        self.assertEqual(len(Page(out).values("hw_gpu_memory_limit_bytes")), 8)

    def test_doctor(self):
        code, out, err = run(["doctor", *self.config])
        self.assertIn(code, (0, 1))
        self.assertEqual(err, "")
        self.assertIn("nvidia", out)
        self.assertIn("host", out)

    def test_release_and_resume(self):
        self.assertIn("nvml", self.agent.collectors())
        code, out, err = run(["release", "nvidia", *self.config])
        self.assertEqual(code, 0, err)
        self.assertTrue(out.strip())
        wait_for("the process to be gone", lambda: "nvml" not in self.agent.collectors())
        self.assertEqual(self.agent.collector("nvml")["state"], "released")
        wait_for("the series to be gone", lambda: not self.agent.page().values("hw_gpu_utilization_ratio"))
        self.assertEqual(self.agent.page().value("accelmon_collector_up", collector="host"), 1)
        code, _, err = run(["resume", "nvidia", *self.config])
        self.assertEqual(code, 0, err)
        wait_for("the series to be back", lambda: len(
            self.agent.page().values("hw_gpu_utilization_ratio", hw_gpu_task="general")) == 8)

    def test_release_of_a_stranger(self):
        code, _, err = run(["release", "matrox", *self.config])
        self.assertNotEqual(code, 0)
        self.assertIn("matrox", err)


class WithoutAgent(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="accelmon-test-")
        self.addCleanup(folder.cleanup)
        path = pathlib.Path(folder.name) / "accelmon.toml"
        path.write_text(f'[listen]\naddress = "127.0.0.1:0"\nsocket = "{folder.name}/s"\n')
        self.config = ["--config", str(path)]

    def test_status_samples_by_itself(self):
        code, out, err = run(["status", *self.config, "--simulate", "h100x8", "--format", "json"])
        self.assertEqual(code, 0, err)
        status = json.loads(out)
        self.assertEqual(len(status["devices"]), 8)
        values = {entry["metric"] for device in status["devices"] for entry in device["values"]
                  if entry["state"] == "ok"}
        self.assertTrue({"hw.gpu.utilization", "hw.gpu.memory.usage", "hw.power", "hw.energy"} <= values, values)

    def test_no_process_is_left_behind(self):
        run(["status", *self.config, "--simulate", "t4"])
        mine = [pid for pid in os.listdir("/proc") if pid.isdigit() and "collect" in command_line(int(pid))
                and self.config[1] in " ".join(command_line(int(pid)))]
        self.assertEqual(mine, [])

    def test_status_on_a_machine_without_accelerators(self):
        code, out, err = run(["status", *self.config])
        self.assertIn(code, (0, 1), err)
        self.assertTrue(out.strip())

    def test_doctor_without_an_agent(self):
        code, out, _ = run(["doctor", *self.config, "--simulate", "t4"])
        self.assertIn(code, (0, 1))
        self.assertIn("nvidia", out)

    def test_release_without_an_agent(self):
        code, _, err = run(["release", "nvidia", *self.config])
        self.assertEqual(code, 1)
        self.assertIn("agent", err)


HISTORY = ["export", "--from", "-1h", "--to", "now", "--format", "csv"]


class History(unittest.TestCase):
    """`accelmon export` where nobody names the file."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="accelmon-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        (cls.folder / "kept").mkdir()
        cls.file = cls.folder / "kept/history.db"
        # Little of it: every export below writes all of it.
        cls.agent = Agent(simulate="t4", poll="500ms", config=f'[store]\npath = "{cls.file}"\ncommit = "250ms"\n')
        cls.addClassCleanup(cls.agent.end)
        wait_for("rows on the disk", lambda: cls.agent.status()["history"]["polls_written"] > 8)
        # As the shell of somebody who has started no agent: its socket is where the service's would be.
        cls.env = {"RUNTIME_DIRECTORY": str(cls.agent.path)}

    def rows(self, arguments, env=None):
        code, out, err = run(arguments, env=env)
        self.assertEqual((code, err), (0, ""))
        rows = list(csv.DictReader(io.StringIO(out)))
        self.assertGreater(len(rows), 100)
        self.assertTrue({"hw.power", "hw.gpu.utilization"} <= {row["metric"] for row in rows})
        return rows

    def test_the_running_agent_says_where(self):
        self.assertEqual(self.agent.status()["history"]["path"], str(self.file))
        self.rows(HISTORY, self.env)
        self.rows([*HISTORY, "--socket", self.agent.socket])
        self.rows([*HISTORY, "--config", str(self.agent.config_path)])

    def test_what_it_writes_counts_and_not_what_it_was_told_since(self):
        self.agent.write_config('[store]\npath = "/nowhere/else.db"\ncommit = "100ms"\n')
        self.agent.signal(1)
        wait_for("the reload", lambda: "take effect at the next start" in self.agent.log())
        self.assertEqual(self.agent.status()["history"]["path"], str(self.file))
        self.rows(HISTORY, self.env)
        code, out, err = run([*HISTORY, "--config", str(self.agent.config_path)])
        self.assertEqual((code, out), (1, ""))
        self.assertIn("/nowhere/else.db", err)
        self.assertIn(str(self.agent.config_path), err)

    def test_an_agent_without_a_history(self):
        with Agent(simulate="t4") as other:
            code, out, err = run([*HISTORY, "--socket", other.socket])
        self.assertEqual((code, out), (1, ""))
        self.assertIn(f"the agent at {other.socket} keeps no history on disk", err)
        self.assertIn("--path", err)

    def test_nobody_knows(self):
        config = self.folder / "empty.toml"
        config.write_text(f'[listen]\nsocket = "{self.folder}/none.sock"\n')
        code, out, err = run([*HISTORY, "--config", str(config)])
        self.assertEqual((code, out), (1, ""))
        for looked in (f"no agent listens on {self.folder}/none.sock", f"store.path is not set in {config}", "--path"):
            self.assertIn(looked, err)
        code, _, err = run([*HISTORY, "--socket", f"{self.folder}/none.sock"])
        self.assertEqual(code, 1)
        self.assertIn(f"no agent listens on {self.folder}/none.sock", err)

    @unittest.skipIf(os.geteuid() != 0, "only root can be another user")
    def test_somebody_who_may_not_read_it(self):
        nobody = 65534
        # Copied to where that user reaches it.
        program = self.folder / "accelmon"
        shutil.copy(PROGRAM, program)
        self.folder.chmod(0o755)

        def asked(*arguments):
            done = subprocess.run([program, *HISTORY, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                                  timeout=PATIENCE, check=False, user=nobody, group=nobody, extra_groups=[], cwd="/")
            return done.returncode, done.stdout.decode(), done.stderr.decode()
        self.file.parent.chmod(0o700)
        for arguments in (["--path", str(self.file)], ["--config", str(self.for_nobody())]):
            code, out, err = asked(*arguments)
            self.assertEqual((code, out), (1, ""))
            self.assertIn(f"the history {self.file}", err)
            self.assertIn("may not be read by this user: run it as root, as in 'sudo accelmon export'", err)
        # The file alone may be read, and what the agent holds beside it may not.
        self.file.parent.chmod(0o755)
        self.file.chmod(0o600)
        code, out, err = asked("--path", str(self.file))
        self.assertEqual((code, out), (1, ""))
        self.assertIn("may not be read by this user", err)
        code, out, err = asked("--socket", self.agent.socket)
        self.assertEqual((code, out), (1, ""))
        self.assertIn("may not be asked by this user", err)

    def for_nobody(self):
        config = self.folder / "nobody.toml"
        config.write_text(f'[store]\npath = "{self.file}"\n')
        return config

    def test_as_the_package_has_it(self):
        """The packaged configuration, folders as systemd gives them, and a shell that knows of neither."""
        script = f"""
set -e
mount -t tmpfs none /run && mount -t tmpfs none /var/lib && mkdir /run/accelmon /var/lib/accelmon
sed 's/^\\[store\\]/[store]\\ncommit = "100ms"/' {SOURCE}/deploy/accelmon.toml > /run/accelmon.toml
STATE_DIRECTORY=/var/lib/accelmon RUNTIME_DIRECTORY=/run/accelmon {PROGRAM} serve --config /run/accelmon.toml \
  --listen 127.0.0.1:0 --simulate t4 --interval 500ms > /run/out 2> /run/err &
agent=$!
for i in $(seq 200); do
  {PROGRAM} {" ".join(HISTORY)} > /run/first 2> /run/first.err || true
  [ $(wc -l < /run/first) -gt 100 ] && break
  sleep 0.1
done
cat /run/first.err >&2
wc -l < /run/first
kill $agent
wait $agent
{PROGRAM} {" ".join(HISTORY)} > /run/second
wc -l < /run/second
rm /var/lib/accelmon/history.db
{PROGRAM} {" ".join(HISTORY)} || echo "code $?"
"""
        command = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("no mount namespace may be made here")
        if pathlib.Path("/etc/accelmon/accelmon.toml").exists():
            self.skipTest("this host has a configuration of its own")
        env = {key: value for key, value in os.environ.items()
               if key not in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR")}
        done = subprocess.run([*command, "bash", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, env=env,
                              timeout=2 * PATIENCE, check=False)
        err = done.stderr.decode()
        self.assertEqual(done.returncode, 0, err)
        first, second, code = done.stdout.decode().splitlines()
        self.assertGreater(int(first), 100)
        self.assertGreaterEqual(int(second), int(first), "what waited was written at the end")
        self.assertEqual(code, "code 1")
        self.assertRegex(err, r"\Aaccelmon: no history is found: no agent listens on /run/accelmon/accelmon\.sock; there is no "
                              r"/etc/accelmon/accelmon\.toml; there is no /var/lib/accelmon/history\.db\. Name a file with "
                              r"--path, or let an agent keep one: store\.path\n\Z")


class CloudWatchCost(unittest.TestCase):
    """What docs/exporters.md says of it, typed as it stands there."""

    DOCUMENT = (SOURCE / "docs/exporters.md").read_text()
    RULE = re.compile(r"^ +(\d+)  ([a-z].*)$", re.MULTILINE)
    TOTAL = re.compile(r"^ +(\d+)  metrics, \$0\.30 each a month +\$(\d+\.\d\d)$", re.MULTILINE)

    def test_the_example(self):
        command, printed = re.search(r"```\n\$ (accelmon cloudwatch-cost [^\n]*)\n(.*?)```", self.DOCUMENT, re.DOTALL).groups()
        code, out, err = run(command.split()[1:])
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out, printed)

    def test_of_a_configuration(self):
        sections = [example for example in re.findall(r"```toml\n(.*?)```", self.DOCUMENT, re.DOTALL)
                    if "[exporters.cloudwatch]" in example or "[exporters.emf]" in example]
        self.assertEqual(len(sections), 2)
        sink = receivers.HttpSink()
        self.addCleanup(sink.end)
        folder = tempfile.TemporaryDirectory(prefix="accelmon-test-")
        self.addCleanup(folder.cleanup)
        config = pathlib.Path(folder.name) / "accelmon.toml"
        config.write_text(sections[0] + f'url = "{sink.url()}"\n' + sections[1].replace("25888", str(sink.port)))
        code, out, err = run(["cloudwatch-cost", "--config", str(config), "--simulate", "h100x8"])
        self.assertEqual((code, err), (0, ""))
        _, cloudwatch, emf = re.split(r"^(?:cloudwatch|emf) \((?:cloudwatch|emf)\), a value for each 1m$", out, flags=re.MULTILINE)
        self.assertEqual(self.RULE.findall(cloudwatch)[:2], [("8", "hw.gpu.utilization{hw.gpu.task=general}"),
                                                            ("2", "hw.power{accelmon.power.scope=gpu} by host")])
        for text, rules in ((cloudwatch, 2), (emf, 8)):
            metrics, dollars = self.TOTAL.search(text).groups()
            self.assertEqual(int(metrics), sum(int(count) for count, _ in self.RULE.findall(text)[:rules]))
            self.assertAlmostEqual(float(dollars), 0.3 * int(metrics))
        self.assertIn("requests a month", cloudwatch)
        self.assertNotIn("requests a month", emf)
        self.assertEqual(sink.requests, [], "a dry run sends nothing")

    def test_a_rule_that_is_none(self):
        folder = tempfile.TemporaryDirectory(prefix="accelmon-test-")
        self.addCleanup(folder.cleanup)
        config = pathlib.Path(folder.name) / "accelmon.toml"
        config.write_text('[exporters.cloudwatch]\nregion = "eu-central-1"\nrules = ["hw.powr"]\n')
        code, out, err = run(["cloudwatch-cost", "--config", str(config), "--simulate", "t4"])
        self.assertEqual((code, out), (1, ""))
        self.assertIn("hw.power", err)


class Words(unittest.TestCase):
    def test_help_fits_a_screen(self):
        for arguments in (["--help"], ["help"], *[[verb, "--help"] for verb in VERBS if verb not in ("help", "version")]):
            with self.subTest(arguments=arguments):
                code, out, err = run(arguments)
                self.assertEqual((code, err), (0, ""))
                self.assertLessEqual(max(len(line) for line in out.splitlines()), 120)

    def test_help_of_a_verb_is_its_help(self):
        self.assertEqual(run(["help", "serve"]), run(["serve", "--help"]))

    def test_unknown_words(self):
        for arguments, nearest in ((["statsu"], "status"), (["status", "--fromat", "json"], "--format"),
                                   (["status", "--format", "jsno"], "json")):
            with self.subTest(arguments=arguments):
                code, _, err = run(arguments)
                self.assertEqual(code, 2, err)
                self.assertIn(nearest, err)

    def test_version(self):
        code, out, _ = run(["--version"])
        self.assertEqual(code, 0)
        self.assertRegex(out, r"\d+\.\d+\.\d+")

    def test_full_disk_behind_output_is_a_failure(self):
        import subprocess

        from agent_fixture import PROGRAM
        for arguments in (["--version"], ["metrics"], ["help"]):
            with self.subTest(arguments=arguments), open("/dev/full", "wb") as full:
                done = subprocess.run([PROGRAM, *arguments], stdout=full, stderr=subprocess.PIPE, timeout=30, check=False)
                self.assertEqual(done.returncode, 1, "output was lost and nobody was told")


if __name__ == "__main__":
    main(240)
