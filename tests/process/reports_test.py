#!/usr/bin/python3
"""reports_test.py MOEBIUS: what the built program writes besides its verdicts.

JUnit's XML, the log, progress, lines that run side by side.
"""

import json
import os
import re
import signal
import sys
import time
import unittest
import xml.etree.ElementTree as ElementTree

from program import Program, TRACE


class Junit(Program):
    def suites_of(self, *words):
        """The exit code and the parsed testsuites of a run."""
        code, _, _ = self.run_it("run", *words, "--junit", "junit.xml")
        return code, ElementTree.parse(self.folder / "junit.xml").getroot()

    def test_one_suite_a_scenario_and_one_case_a_line(self):
        code, root = self.suites_of("smoke/one-rank", "smoke/two-ranks")
        self.assertEqual(code, 0)
        self.assertEqual([suite.get("name") for suite in root],
                         ["smoke/one-rank", "smoke/two-ranks"])
        cases = root[1].findall("testcase")
        self.assertEqual(len({case.get("name") for case in cases}), 5)
        self.assertEqual({case.get("classname") for case in cases}, {"smoke.two-ranks"})
        self.assertTrue(all(float(case.get("time")) >= 0 for case in cases))
        self.assertEqual(root[1].get("tests"), "5")
        self.assertEqual([root.get(key) for key in ("failures", "errors", "skipped")],
                         ["0", "0", "0"])

    def test_the_same_line_twice_has_two_names(self):
        _, root = self.suites_of("smoke/two-ranks", "--line", "0", "--repeat", "2")
        names = [case.get("name") for case in root.iter("testcase")]
        self.assertEqual(names[1], names[0] + " (2)")

    def test_failures_and_skips_say_why(self):
        code, root = self.suites_of("smoke/two-ranks", "--fault", "flip_bit", "--line", "0")
        self.assertEqual(code, 1)
        failure = root.find("testsuite/testcase/failure")
        self.assertIn("REF, TWICE caught flip_bit", failure.get("message"))
        self.assertIn("reproduce: moebius run", failure.text)
        self.assertEqual(root.get("failures"), "1")
        code, root = self.suites_of("smoke/two-ranks", "--device", "cuda", "--line", "0")
        self.assertIn("not in this build",
                      root.find("testsuite/testcase/skipped").get("message"))

    def test_standard_output_takes_the_report_and_nothing_else(self):
        code, out, _ = self.run_it("run", "smoke/two-ranks", "--junit", "-", "--json", "one")
        self.assertEqual(code, 0)
        self.assertEqual(ElementTree.fromstring(out).get("tests"), "5")
        self.assertFalse((self.folder / "-").exists())

    def test_an_interrupted_run_leaves_whole_xml(self):
        process = self.start("run", TRACE, "--line", "1", "--junit", "junit.xml")
        time.sleep(0.7)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        self.assertEqual(process.returncode, 130)
        root = ElementTree.parse(self.folder / "junit.xml").getroot()
        self.assertEqual(root.get("errors"), "1")
        self.assertEqual(root.find("testsuite/testcase/error").get("message"), "interrupted")

    def test_a_file_that_cannot_be_written_is_refused_first(self):
        code, out, err = self.run_it("run", "smoke", "--junit", "no/such/folder.xml")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("--junit", err)


class Log(Program):
    def test_info_tells_loads_and_starts(self):
        code, out, err = self.run_it("run", "smoke/two-ranks", "--line", "0", "--log", "info")
        self.assertEqual(code, 0)
        self.assertIn("loaded smoke/two-ranks: steps 3, layers 1, judged by the golden", err)
        self.assertIn("ranks start: smoke/two-ranks allgather_reducescatter local 2 threads", err)
        self.assertNotIn("debug", err)
        self.assertNotIn("moebius info", out)

    def test_debug_tells_how_ranks_ended_and_the_default_tells_nothing(self):
        _, _, err = self.run_it("run", "smoke/two-ranks", "--line", "0", "--log", "debug")
        self.assertRegex(err, "moebius debug: rank 1 finished, rows judged: 12")
        _, _, err = self.run_it("run", "smoke/two-ranks", "--line", "0")
        self.assertEqual(err, "")
        code, _, err = self.run_it("run", "smoke", "--log", "verbose")
        self.assertEqual(code, 2)
        self.assertIn("error, warning, info, debug", err)


class Progress(Program):
    def error_on_a_terminal(self, *words):
        """Standard error of a run that has a terminal there."""
        ours, theirs = os.openpty()
        process = self.start("run", TRACE, "--line", "0", *words, stderr=theirs)
        os.close(theirs)
        out, _ = process.communicate(timeout=120)
        said = b""
        try:
            while chunk := os.read(ours, 65536):
                said += chunk
        except OSError:
            pass  # the other end is closed
        os.close(ours)
        self.assertEqual(process.returncode, 0, out)
        return said.decode(), out

    def test_a_terminal_sees_how_far_a_run_is(self):
        said, out = self.error_on_a_terminal()
        # The display ends at 100 columns, which a long step number reaches.
        self.assertRegex(said, TRACE + r" .* local 4 threads, step \d+ of 302, \d+ % jud")
        self.assertTrue(said.endswith("\r\x1b[K"), "the line was left on the terminal")
        self.assertNotIn("judged", out)

    def test_quiet_means_no_progress(self):
        said, _ = self.error_on_a_terminal("--quiet")
        self.assertEqual(said, "")


class SideBySide(Program):
    def test_jobs_keep_the_order_and_the_verdicts(self):
        def facts(*words):
            code, out, _ = self.run_it("run", "smoke", "--json", *words)
            self.assertEqual(code, 0)
            rows = [json.loads(line) for line in out.splitlines()]
            return [(row["scenario"], row["run"], row["rows"], row["traffic"])
                    for row in rows[:-1]] + [rows[-1]]
        self.assertEqual(facts("--jobs", "3"), facts())

    def test_an_interrupt_ends_all_jobs(self):
        process = self.start("run", TRACE, "--jobs", "2")
        time.sleep(0.7)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 130, out)
        self.assertRegex(out, r"\d+ passed, 0 failed, 0 skipped, [12] errors\n$")

    def test_no_number_of_jobs(self):
        code, _, err = self.run_it("run", "smoke", "--jobs", "0")
        self.assertEqual(code, 2)
        self.assertIn("--jobs", err)


class Worlds(Program):
    def test_many_worlds_are_counted_and_not_listed(self):
        code, out, _ = self.run_it("run", "--worlds", "60", "--seed", "3", "--jobs", "2")
        self.assertEqual(code, 0, out)
        self.assertRegex(out, r"\A60 small worlds of seed 3 from number 0 on, (\d+) runs\n"
                              r"\1 passed, 0 failed, 0 skipped, 0 errors\n\Z")

    def test_a_world_follows_from_its_seed_and_number(self):
        def rows(*words):
            _, out, _ = self.run_it("run", "--worlds", *words, "--json")
            return [(row["scenario"], row["run"], row["rows"], row["traffic"])
                    for row in map(json.loads, out.splitlines()) if "run" in row]
        nine = rows("9", "--seed", "5")
        last = rows("1", "--seed", "5", "--first", "8")
        self.assertTrue(last)
        self.assertEqual(nine[-len(last):], last)
        self.assertNotEqual(rows("9", "--seed", "6"), nine)
        self.assertIn("gloo", {row[1]["communicator"] for row in nine})

    def test_a_failing_world_says_how_to_see_it_again(self):
        words = ["run", "--worlds", "20", "--seed", "5", "--fault", "MF-35"]
        code, out, _ = self.run_it(*words)
        self.assertEqual(code, 1, out)
        self.assertRegex(out, r"world: dp \d, experts \d+, top_k \d, hidden \d+")
        again = re.search("reproduce: moebius (run --worlds 1 --seed 5 --first .*)", out).group(1)
        code, second, _ = self.run_it(*again.split())
        self.assertEqual(code, 1)
        self.assertIn("reproduce: moebius " + again, second)

    def test_what_worlds_cannot_have(self):
        for words in (["--worlds", "0"], ["smoke", "--worlds", "2"], ["--first", "2"],
                      ["--worlds", "2", "--tag", "fast"], ["--worlds", "2", "--first", "-1"],
                      ["--worlds", "2", "--values", "real"],
                      ["--worlds", "2", "--fault", "flip_bit:layer=7"],
                      ["--worlds", "2", "--ranks", "processes"]):
            code, out, err = self.run_it("run", *words)
            self.assertEqual((code, out), (2, ""), words)
            self.assertTrue(err.startswith("moebius: "), err)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
