#!/usr/bin/python3
"""documents_test.py MOEBIUS: what the READMEs show is what the program prints.

In a code block a line `$ ./run.sh WORDS` is a command and what follows its output: a line `…`
stands for any lines, times differ. Commands in running text and tables must succeed.
"""

import re
import shlex
import sys
import tarfile
import unittest

from captures import Capture, read_rank
from program import Program, ROOT

PAGES = ("README.md", "scenarios/README.md", "scenarios/teaching/README.md")
BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
IN_TEXT = re.compile(r"`\./run\.sh ([^`]+)`")
TIME = re.compile(r"\b\d+\.\d\d s\b")
LONG = ("", "bench")  # they take a minute: a person with time runs these
PACK = re.compile(r"run ([a-z]+)( --tag fast)?")  # every line of a pack is a test of its own


def blocks(page):
    return BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


def sessions(block):
    """(words, expected lines) of every command of a block that shows its output."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, *lines = part.rstrip("\n").split("\n")
        if command.startswith("./run.sh"):
            yield command.removeprefix("./run.sh").strip(), lines


def plain(line):
    return TIME.sub("N s", line.rstrip())


def first_difference(expected, printed):
    """The first expected line that does not come; None if all come, in order."""
    at, skips = 0, False
    for line in expected:
        if line == "…":
            skips = True
            continue
        places = [i for i in range(at, len(printed)) if plain(printed[i]) == plain(line)]
        if not places or (not skips and places[0] != at):
            return line
        at, skips = places[0] + 1, False
    return None if skips or at == len(printed) else f"the end, after {printed[at - 1]!r}"


def unpack_captures(folder):
    """The captures that README.md shows, and the damaged one."""
    with tarfile.open(ROOT / "tests" / "captures" / "captures.tar.xz") as archive:
        archive.extractall(folder)
    damaged = Capture([read_rank(folder / f"deepep_low_latency-uneven.rank{rank}.safetensors")
                       for rank in (0, 1)])
    rows = damaged[1]["dispatched_hidden_states"][5]
    rows[[1, 2]] = rows[[2, 1]]
    damaged[0]["expert_num_tokens"][3] -= 1
    damaged[0]["combined"][7, 100] ^= 0x40
    damaged.write(folder, "damaged")


class Documents(Program):
    def setUp(self):
        super().setUp()
        unpack_captures(self.folder / "captures")

    def test_commands_print_what_is_shown(self):
        shown = 0
        for page in PAGES:
            for block in blocks(page):
                for words, expected in sessions(block):
                    if words in LONG:
                        continue
                    code, out, err = self.run_it(*shlex.split(words))
                    fails = "--fault" in words or "damaged" in words
                    self.assertEqual(code, int(fails), f"{page}: {words}: {err}")
                    self.assertIsNone(first_difference(expected, out.splitlines()),
                                      f"{page}: {words} prints\n{out}")
                    shown += 1
        self.assertGreater(shown, 10)

    def test_commands_in_the_text_succeed(self):
        found = 0
        for page in PAGES:
            text = BLOCK.sub("", (ROOT / page).read_text(encoding="utf-8"))
            for words in sorted(set(IN_TEXT.findall(text)) - set(LONG)):
                if words.isupper() or "my-case" in words:
                    continue  # a place for the reader's own words
                pack = PACK.fullmatch(words)
                if pack:
                    self.assertTrue((ROOT / "scenarios" / pack[1]).is_dir(), f"{page}: {words}")
                    continue
                with self.subTest(page=page, words=words):
                    code, _, err = self.run_it(*shlex.split(words))
                    self.assertEqual(code, int("--fault" in words), err)
                    found += 1
        self.assertGreater(found, 5)

    def test_the_scenario_to_write_is_one(self):
        example, = [block for block in blocks("scenarios/README.md") if block.startswith("name: ")]
        (self.folder / "scenarios/regression/my-case.yaml").write_text(example)
        code, out, err = self.run_it("explain", "regression/my-case")
        self.assertEqual(code, 0, err)
        code, out, err = self.run_it("run", "regression/my-case")
        self.assertEqual(code, 2)
        self.assertIn("run golden/make_golden.py scenarios/regression/my-case.yaml", err)
        code, out, err = self.run_it("run", "regression/my-case", "--seed", "2")
        self.assertEqual(code, 0, err)
        self.assertIn("2 passed", out)

    def test_the_default_run_counts_as_many_lines_as_are_tagged_fast(self):
        block, = [block for block in blocks("README.md") if block.startswith("$ ./run.sh\n")]
        shown = re.search(r"^(\d+) passed, 0 failed, 0 skipped, 0 errors$", block, re.MULTILINE)
        lines = 0
        for path in (ROOT / "scenarios").rglob("*.yaml"):
            text = path.read_text(encoding="utf-8")
            if re.search(r"^tags: \[.*\bfast\b", text, re.MULTILINE):
                lines += max(1, len(re.findall(r"^  - {", text, re.MULTILINE)))
        self.assertEqual(int(shown[1]), lines, "README.md shows another number of run lines than "
                         "the fast scenarios have: run ./run.sh and paste its end")

    def test_a_difference_is_found(self):
        self.assertIsNone(first_difference(["a", "…", "c 0.10 s"], ["a", "b", "c 2.00 s"]))
        self.assertEqual(first_difference(["a", "c"], ["a", "b", "c"]), "c")
        self.assertEqual(first_difference(["…", "d"], ["a", "b"]), "d")
        self.assertIn("the end", first_difference(["a"], ["a", "b"]))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
