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

    def write(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def refused(self, words, *parts, json_out=False):
        """Exit 2, every part in the message, standard output empty or whole, nobody left."""
        if json_out:
            words = (*words, "--json", "-")
        process = self.start(*words)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 2, f"{words}: {out}{err}")
        for part in parts:
            self.assertIn(part, err, words)
        self.assertEqual(len(err.splitlines()), 1, err)
        self.assertTrue(err.startswith("moebius: "), err)
        for line in out.splitlines():
            json.loads(line)
        if not json_out:
            self.assertEqual(out, "")
        self.assertEqual(self.left_by(process.pid), [])

    @staticmethod
    def left_by(session):
        """Processes whose command is the started one's."""
        left = []
        for entry in Path("/proc").iterdir():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except (OSError, ValueError):
                continue
            if entry.name.isdigit() and int(stat[1]) == session:
                left.append(entry.name)
        return left
