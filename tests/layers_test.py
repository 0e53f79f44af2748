#!/usr/bin/env python3
"""scripts/check-layers.py refuses what it is there to refuse, on a small tree of its own."""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parent.parent

TREE = {
    "CMakeLists.txt": "accelmon_room(base 0)\naccelmon_room(net 2 USES base)\naccelmon_room(store 2 USES base)\n"
                      "accelmon_room(agent 4 USES net store base LIBS z)\n",
    "scripts/long-files.txt": "# none\n",
    "src/base/fd.h": "#include <string>\n#include <sys/socket.h>\n",
    "src/net/server.h": '#include "base/fd.h"\n',
    "src/net/server.cc": '#include "net/server.h"\n#include <boost/asio.hpp>\n',
    "src/net/helper.h": "#include <gtest/gtest.h>\n",
    "src/net/server_test.cc": '#include "net/helper.h"\n#include <gtest/gtest.h>\n',
    "src/agent/agent.cc": '#include "net/server.h"\n#include "base/fd.h"\n',
}


class Layers(unittest.TestCase):
    def check(self, changes):
        with tempfile.TemporaryDirectory(prefix="accelmon-layers-") as folder:
            root = pathlib.Path(folder)
            for name, text in {**TREE, **changes}.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            shutil.copy(SOURCE / "scripts/check-layers.py", root / "scripts")
            subprocess.run(["git", "init", "-q", folder], check=True)
            done = subprocess.run([sys.executable, root / "scripts/check-layers.py"], capture_output=True, text=True,
                                  check=False)
            return done.returncode, done.stdout + done.stderr

    def test_a_good_tree_passes(self):
        code, out = self.check({})
        self.assertEqual(code, 0, out)

    def refused(self, name, text, *words):
        code, out = self.check({name: text})
        self.assertEqual(code, 1, out)
        for word in (name, *words):
            self.assertIn(word, out)

    def test_a_higher_room(self):
        self.refused("src/net/server.cc", '#include "agent/agent.h"\n', ":1:", "agent")

    def test_a_neighbour(self):
        self.refused("src/store/store.cc", '#include "net/server.h"\n', "net")

    def test_third_party_in_a_header(self):
        self.refused("src/net/server.h", "#include <boost/asio.hpp>\n", "boost")

    def test_third_party_in_another_room(self):
        self.refused("src/agent/agent.cc", "#include <boost/asio.hpp>\n", "boost")

    def test_unknown_third_party(self):
        self.refused("src/agent/agent.cc", "#include <curl/curl.h>\n", "curl")

    def test_test_header_in_the_program(self):
        code, out = self.check({"src/net/server.cc": '#include "net/helper.h"\n'})
        self.assertEqual(code, 1, out)
        self.assertIn("src/net/helper.h", out)

    def test_two_files_that_know_the_command_line_library(self):
        code, out = self.check({"src/app/a.cc": "#include <CLI/CLI.hpp>\n", "src/app/b.cc": "#include <CLI/CLI.hpp>\n",
                                "CMakeLists.txt": TREE["CMakeLists.txt"] + "accelmon_room(app 6 USES base)\n"})
        self.assertEqual(code, 1, out)
        self.assertIn("src/app/a.cc, src/app/b.cc", out)

    def test_a_long_file(self):
        self.refused("src/net/server.cc", "//\n" * 601, "601")

    def test_a_reason_is_needed(self):
        long = {"src/net/server.cc": "//\n" * 601}
        self.assertEqual(self.check({**long, "scripts/long-files.txt": "src/net/server.cc a table\n"})[0], 0)
        self.assertEqual(self.check({**long, "scripts/long-files.txt": "src/net/server.cc\n"})[0], 1)


if __name__ == "__main__":
    unittest.main()
