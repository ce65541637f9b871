"""What the tests of moebius verify share: captures go through the program in one process, and the
objects that it printed come back."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest
from collections import Counter
from pathlib import Path

from program import MOEBIUS


class Verifying(unittest.TestCase):
    def setUp(self):
        memory = "/dev/shm"  # captures are large and live for a moment
        self.folder = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))
        self.addCleanup(shutil.rmtree, self.folder)
        self.written = {}  # files of ranks that more than one capture shares

    def run_it(self, *words):
        ended = subprocess.run([MOEBIUS, "verify", *map(str, words)], capture_output=True,
                               text=True, timeout=300)
        return ended.returncode, ended.stdout, ended.stderr

    def shared(self, rank):
        """The file of a rank, written once; the rank is kept, so that its identity stays its."""
        if id(rank) not in self.written:
            path = self.folder / f"shared{len(self.written)}"
            path.write_bytes(rank.data())
            self.written[id(rank)] = (path, rank)
        return self.written[id(rank)][0]

    def verify(self, captures):
        """One judged object for each capture."""
        names = []
        captures = list(captures)
        uses = Counter(id(rank) for capture in captures for rank in capture.ranks)
        for number, capture in enumerate(captures):
            folder = self.folder / str(number)
            folder.mkdir(exist_ok=True)
            for place, rank in enumerate(capture.ranks):
                path = folder / f"made.rank{place}.safetensors"
                if uses[id(rank)] > 1:
                    path.symlink_to(self.shared(rank))
                else:
                    path.write_bytes(rank.data())
            names.append(str(folder / "made"))
        if not names:
            return []
        code, out, err = self.run_it(*names, "--json", "-")
        objects = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(len(objects), len(names) + 1, out + err)
        self.assertEqual(err, "")
        failed = sum(one["verdict"] == "failed" for one in objects[:-1])
        self.assertEqual(objects[-1]["summary"]["failed"], failed)
        self.assertEqual(code, int(failed > 0))
        for name in names:
            shutil.rmtree(Path(name).parent)
        return objects[:-1]
