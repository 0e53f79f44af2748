#!/usr/bin/env python3
"""A whole cycle under memcheck: start, collect in processes of their own, show, end. No error, no definite leak."""
import pathlib
import subprocess
import tempfile
import unittest

from agent_fixture import PROGRAM, have, main


class Memcheck(unittest.TestCase):
    def check(self, *arguments):
        if have("valgrind") is None:
            self.skipTest("valgrind is not installed")
        with tempfile.TemporaryDirectory(prefix="accelmon-test-") as folder:
            config = pathlib.Path(folder) / "accelmon.toml"
            config.write_text(f'[listen]\naddress = "127.0.0.1:0"\nsocket = "{folder}/s"\n[poll]\nhang = "300s"\n')
            done = subprocess.run(
                [have("valgrind"), "--quiet", "--trace-children=yes", "--leak-check=full",
                 "--errors-for-leak-kinds=definite", "--show-leak-kinds=definite", "--error-exitcode=99",
                 f"--log-file={folder}/valgrind.%p", PROGRAM, *arguments, "--config", str(config)],
                stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)
            logs = {path.name: path.read_text() for path in pathlib.Path(folder).glob("valgrind.*")}
            self.assertGreaterEqual(len(logs), 3, "the agent and two collectors should have run under valgrind")
            for name, text in logs.items():
                self.assertEqual(text, "", f"{name} of {' '.join(arguments)}")
            self.assertEqual(done.returncode, 0, done.stderr.decode())
            return done.stdout.decode()

    def test_status(self):
        out = self.check("status", "--simulate", "t4")
        self.assertIn("T4", out)


if __name__ == "__main__":
    main(400)
