#!/usr/bin/python3
"""reports_test.py MOEBIUS: what the built program writes besides its verdicts.

JUnit's XML, the log, progress, lines that run side by side.
"""

import os
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
        self.assertIn("REF caught flip_bit", failure.get("message"))
        self.assertIn("reproduce: moebius run", failure.text)
        self.assertEqual(root.get("failures"), "1")
        code, root = self.suites_of("smoke/two-ranks", "--device", "cuda", "--line", "0")
        self.assertIn("not in this build",
                      root.find("testsuite/testcase/skipped").get("message"))

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


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
