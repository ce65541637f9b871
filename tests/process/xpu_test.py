#!/usr/bin/python3
"""xpu_test.py MOEBIUS: ranks on an OpenCL device, from outside.

What is said where there is none, what is counted as staged, however ranks were started. Ends
only what it started.
"""

import json
import os
import re
import sys
import unittest

from job import Job, torchrun
from program import Program

# smoke/two-ranks. Dispatch: 26 rows (hidden, ids, weights, the tag) go down, all of them up on both
# ranks; combine: both ranks' partial rows of all tokens go down, each rank's own rows up.
ROW, PARTIAL = 128 + 16 + 8, 128
STAGED = 26 * ROW + 2 * 26 * ROW + 2 * 26 * PARTIAL + 26 * PARTIAL


class WithoutADevice(Program):
    def setUp(self):
        super().setUp()
        _, out, _ = self.run_it("list", "devices")
        if re.search(r"^xpu: .*not in this build", out, re.MULTILINE):
            self.skipTest("a build without OpenCL")

    def give(self, variable, value):
        before = os.environ.get(variable)
        os.environ[variable] = str(value)
        self.addCleanup(os.environ.pop, variable)
        if before is not None:
            self.addCleanup(os.environ.__setitem__, variable, before)

    def test_without_a_platform_xpu_is_a_skip_that_says_so(self):
        empty = self.folder / "no drivers"
        empty.mkdir()
        self.give("OCL_ICD_VENDORS", empty)  # where the loader looks for platforms
        code, out, _ = self.run_it("list", "devices")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"(?m)^xpu: no OpenCL platform")
        code, out, _ = self.run_it("run", "smoke/two-ranks", "--device", "xpu", "--line", "0")
        self.assertEqual(code, 0, out)
        self.assertRegex(out, r"SKIP .*\n +xpu: no OpenCL platform")
        code, out, _ = self.run_it("run", "smoke/two-ranks", "--device", "xpu", "--require", "xpu")
        self.assertEqual(code, 1)
        self.assertIn("required, but xpu: no OpenCL platform", out)


class WithADevice(Job):
    def setUp(self):
        super().setUp()
        _, out, _ = self.run_it("list", "devices")
        if not re.search(r"^xpu: OpenCL, .*: .* of ", out, re.MULTILINE):
            self.skipTest("no OpenCL device")

    def test_rows_are_staged_over_gloo_and_counted(self):
        staged = {}
        for communicator in ("local", "gloo"):
            code, out, _ = self.run_it("run", "smoke/two-ranks", "--device", "xpu", "--require",
                                       "xpu", "--communicator", communicator, "--ranks",
                                       "threads", "--json", "-")
            self.assertEqual(code, 0, out)
            first, *_, summary = [json.loads(line) for line in out.splitlines()]
            self.assertEqual(summary["summary"]["skipped"], 0)
            self.assertEqual(first["run"]["device"], "xpu")
            # What travels is what travels from the host's memory.
            self.assertEqual(first["traffic"]["bytes"], 26 * (128 + 16) + 26 * 128)
            staged[communicator] = first["traffic"]["staged_bytes"]
        self.assertEqual(staged, {"local": 0, "gloo": STAGED})

    def test_ranks_of_a_job_stage_as_much_as_threads(self):
        words = ["smoke/two-ranks", "--device", "xpu", "--require", "xpu", "--json", "-"]
        ended = self.all_end_with(0, self.start_job(torchrun, 2, *words))
        rows = [json.loads(line) for line in ended[0][1].splitlines()]
        gathered = [row["traffic"]["staged_bytes"] for row in rows[:-1]
                    if (row["verdict"], row["run"]["backend"])
                    == ("passed", "allgather_reducescatter")]
        self.assertEqual(gathered, [STAGED])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
