"""The built program as a test case meets it, for the tests of this folder.

A test file is run as `FILE MOEBIUS`; each test works on a copy of the scenarios and goldens in a
folder of its own, and ends only what it started.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

MOEBIUS = str(Path(sys.argv[1]).resolve()) if len(sys.argv) > 1 else "build/cpu/sim/moebius"
ROOT = Path(__file__).resolve().parents[2]
TRACE = "recorded/mixtral-style-e8k2"


def end(process):
    """Ends a process that a test started, if it still runs, and takes what it said."""
    if process.poll() is None:
        process.kill()
    process.communicate()


class Program(unittest.TestCase):
    """A folder with scenarios and goldens that a test may change."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        shutil.copytree(ROOT / "scenarios", self.folder / "scenarios")
        shutil.copytree(ROOT / "golden" / "data", self.folder / "golden" / "data")

    def start(self, *words, stderr=subprocess.PIPE):
        return subprocess.Popen([MOEBIUS, *words], cwd=self.folder, text=True,
                                stdout=subprocess.PIPE, stderr=stderr)

    def run_it(self, *words):
        process = self.start(*words)
        out, err = process.communicate(timeout=400)
        return process.returncode, out, err

    def ranks_of(self, process, count):
        """Process ids of the ranks, by rank, once all have started."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            ranks = {}
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            for child in children:
                try:
                    words = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
                except OSError:
                    continue
                if "--rank" in words:
                    ranks[int(words[words.index("--rank") + 1])] = int(child)
            if len(ranks) == count:
                return ranks
            time.sleep(0.01)
        self.fail("the ranks did not start")

    def edit_golden(self, change):
        path = self.folder / "golden" / "data" / (TRACE + ".golden.json")
        golden = json.loads(path.read_text())
        change(golden)
        path.write_text(json.dumps(golden))
