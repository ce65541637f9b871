#!/usr/bin/python3
"""install_test.py CMAKE BUILD: the installed tree runs where nothing of ours is installed.

Installs into a folder, moves that folder elsewhere, and runs the program there from the root of the
file system: it finds its scenarios, its goldens and its libraries in the tree that it came with.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

CMAKE, BUILD = sys.argv[1:3]
BYTES_MAX = 50 * 2 ** 20
OURS = ("libfmt", "libyaml-cpp", "libboost", "libxxhash", "libcrypto", "libgloo")


class InstalledTree(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        done = subprocess.run([CMAKE, "--install", BUILD, "--strip", "--prefix",
                               str(cls.folder / "here")], capture_output=True, text=True,
                              check=False)
        assert done.returncode == 0, done.stderr
        cls.tree = (cls.folder / "here").rename(cls.folder / "elsewhere")

    def run_it(self, *words):
        # The system's programs alone: PoCL links kernels with the machine's ld, and ends the
        # process that has none.
        return subprocess.run([str(self.tree / "bin" / words[0]), *words[1:]], cwd="/",
                              env={"PATH": os.defpath}, capture_output=True, text=True, check=False)

    def test_it_runs_a_scenario_against_its_golden(self):
        done = self.run_it("moebius", "run", "smoke/two-ranks", "--line", "0", "--communicator",
                           "local", "--ranks", "threads")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("as the golden says", done.stdout)

    def test_its_tests_run(self):
        done = self.run_it("moe_tests_conformance", "conformance: groups by split*")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("All tests passed", done.stdout)

    def test_what_a_gpu_machine_runs_says_where_there_is_none(self):
        if not (self.tree / "bin/moebius-gpu-check").exists():
            self.skipTest("not a tree for GPUs")
        if shutil.which("nvidia-smi"):
            self.skipTest("a machine with NVIDIA's driver")
        done = self.run_it("moebius-gpu-check", str(self.folder / "logs"))
        self.assertEqual(done.returncode, 2)
        self.assertIn("lists no GPU", done.stderr)

    def test_its_libraries_are_those_of_the_tree(self):
        listed = subprocess.run(["ldd", str(self.tree / "bin" / "moebius")], capture_output=True,
                                text=True, check=True).stdout
        found = re.findall(r"(lib\S+) => (\S+)", listed)
        ours = [(name, path) for name, path in found if name.startswith(OURS)]
        self.assertGreaterEqual(len(ours), 4, listed)
        for name, path in ours:
            self.assertTrue(Path(path).resolve().is_relative_to(self.tree.resolve()),
                            f"{name} is {path}, outside {self.tree}")

    def test_no_program_looks_for_libraries_in_the_folder_that_it_is_called_in(self):
        """An empty entry of a run path means that folder. Here and where it was built."""
        programs = [Path(BUILD) / "sim/moebius", *(self.tree / "bin").glob("moe*")]
        for program in programs:
            said = subprocess.run(["readelf", "-d", str(program)], capture_output=True, text=True,
                                  check=False).stdout
            for path in re.findall(r"\((?:RUNPATH|RPATH)\).*\[(.*)\]", said):
                for entry in path.split(":"):
                    self.assertRegex(entry, r"^(/|\$ORIGIN)", f"{program}: {path}")

    def test_it_is_small(self):
        # A GPU machine's tree has no oneDNN, which is half of another's.
        size = sum(path.lstat().st_size for path in self.tree.rglob("*")
                   if not path.name.startswith("libdnnl"))
        self.assertLess(size, BYTES_MAX)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
