#!/usr/bin/python3
"""bad_options_test.py MOEBIUS: what the program says to options that cannot be, and to places that
cannot be read or written.

Every case ends with exit code 2 and one sentence that names the option or the place.
"""

import signal
import subprocess
import sys
import time
import unittest

from program import MOEBIUS, Program, TRACE


class Paths(Program):
    def test_that_the_system_cannot_look_up(self):
        name = "x" * 300 + ".rank0.safetensors"
        self.refused(("verify", name), name, "File name too long")
        for name in ("scenarios", "golden/data"):
            whole = self.folder / name
            kept = whole.rename(self.folder / "kept")
            whole.symlink_to(whole.name)
            self.refused(("list", "scenarios"), name, "Too many levels of symbolic links")
            whole.unlink()
            kept.rename(whole)


class EmptyWords(Program):
    def test_name_nothing_and_are_refused(self):
        run = ("run", "smoke/two-ranks")
        for words in ((*run, "--junit"), (*run, "--json"), ("run", "--trace"), (*run, "--tag"),
                      (*run, "--backend"), (*run, "--store"), (*run, "--fault"), (*run, "--seed"),
                      ("list", "backends", "--profile"), ("list", "backends", "--json"),
                      ("oracle", "--json"), ("oracle", "--env"), ("oracle", "--why-not"),
                      ("verify", "one", "--json"), ("bench", "--json"), ("bench", "--results"),
                      ("bench", "--shape")):
            self.refused((*words, ""), words[-1], "a word is empty")
            self.refused((*words[:-1], words[-1] + "="), words[-1])
        for words in (("run", ""), ("explain", ""), ("list", "")):
            self.refused(words)


class Reports(Program):
    def test_do_not_share_a_place(self):
        whole = str(self.folder / "one")
        for json, junit in (("one", "one"), ("one", "./one"), ("one", whole), ("-", "-")):
            self.refused(("run", "smoke/one-rank", "--json", json, "--junit", junit),
                         f"--json {json} and --junit {junit}: both in one place")
        self.refused(("bench", "--json", "one", "--results", "./one"), "both in one place")
        self.refused(("bench", "--results", "-"), "--results -: ")
        code, out, err = self.run_it("run", "smoke/one-rank", "--json", "one", "--junit", "two")
        self.assertEqual(code, 0, out + err)


class Faults(Program):
    def test_take_minus_one_only_where_it_means_something_and_no_key_twice(self):
        run = ("run", "smoke/two-ranks", "--line", "0", "--fault")
        self.refused((*run, "MF-42:rank=-1"), "fault MF-42: rank=-1 is not in this world (0 to 1)")
        self.refused((*run, "flip_bit:rank=-1"), "flip_bit: rank=-1 is not in this world")
        self.refused((*run, "MF-35:expert=-2"), "MF-35: expert=-2 is not in this world")
        self.refused((*run, "MF-42:rank=1,rank=0"), "fault MF-42: rank is given twice")
        self.refused(("oracle", "--fault", "MF-31:bit=a,bit=b"), "MF-31: bit is given twice")
        code, out, err = self.run_it(*run, "MF-35:rank=-1,expert=-1")
        self.assertEqual(code, 1, err)
        self.assertIn("POISON, REF caught MF-35", out)


class StandardOutput(Program):
    """Results that cannot be written are no success, whatever the command."""

    COMMANDS = (("--help",), ("--version",), ("run", "--help"), ("list", "backends"),
                ("list", "backends", "--markdown"), ("list", "checks", "--json"), ("oracle",),
                ("oracle", "--json"), ("explain", "smoke/two-ranks"), ("run", "smoke/one-rank"))

    def ended(self, words, redirected):
        return subprocess.run(["sh", "-c", f'exec "$0" "$@" {redirected}', MOEBIUS, *words],
                              cwd=self.folder, text=True, capture_output=True, check=False)

    def test_that_is_full_or_closed(self):
        for words in self.COMMANDS:
            for redirected, why in ((">/dev/full", "No space left on device"),
                                    (">&-", "Bad file descriptor")):
                done = self.ended(words, redirected)
                self.assertEqual(done.returncode, 2, (words, redirected, done.stderr))
                self.assertIn("results cannot be written to standard output", done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                if words[0].startswith("--"):  # little enough to be written at the end
                    self.assertIn(why, done.stderr, words)

    def test_something_worse_stays(self):
        words = ("run", "smoke/two-ranks", "--line", "0", "--fault", "flip_bit")
        self.assertEqual(self.ended(words, ">/dev/full").returncode, 2)
        with open("/dev/full", "w", encoding="utf-8") as full:
            process = subprocess.Popen([MOEBIUS, "run", TRACE], cwd=self.folder, stdout=full,
                                       stderr=subprocess.PIPE, text=True)
        time.sleep(0.7)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[1]
        self.assertEqual(process.returncode, 130, said)
        self.assertIn("results cannot be written", said)

    def test_no_file_takes_the_number_of_a_closed_one(self):
        done = self.ended(("run", "smoke/one-rank", "--junit", "report.xml"), ">&-")
        self.assertEqual(done.returncode, 2)
        self.assertTrue((self.folder / "report.xml").read_text().endswith("</testsuites>\n"))
        done = self.ended(("run", "smoke/one-rank", "--json", "report.json"), ">&-")
        self.assertEqual(done.returncode, 2)
        self.assertNotIn("PASS", (self.folder / "report.json").read_text())


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
