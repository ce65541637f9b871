#!/usr/bin/python3
"""xpu_test.py MOEBIUS: ranks on an OpenCL device, from outside.

What is said where there is none, what is counted as staged, however ranks were started, and kernels
that are compiled while peers wait or a user interrupts. Ends only what it started.
"""

import json
import os
import re
import signal
import sys
import time
import unittest
from pathlib import Path

from job import Job, free_port, torchrun
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

    def test_the_version_names_the_device_and_its_library(self):
        code, out, _ = self.run_it("--version")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"(?m)^devices: cpu.*, xpu \(OpenCL\)$")
        self.assertRegex(out, r"(?m)^libraries: .*, OpenCL \d+\.\d+ headers$")

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

    def test_a_platform_without_a_device_says_what_it_answered(self):
        _, out, _ = self.run_it("list", "devices")
        if "Portable Computing Language" not in out:
            self.skipTest("not PoCL, whose start a test can spoil")
        self.give("POCL_CACHE_DIR", "/proc/none")
        code, out, _ = self.run_it("run", "smoke/two-ranks", "--device", "xpu", "--line", "0",
                                   "--require", "xpu")
        self.assertEqual(code, 1, out)
        self.assertIn("required, but xpu: no OpenCL device: platform Portable Computing Language: "
                      "CL_DEVICE_NOT_FOUND (it has none or cannot start", out)


class WithADevice(Job):
    def setUp(self):
        super().setUp()
        _, out, _ = self.run_it("list", "devices")
        if not re.search(r"^xpu: OpenCL, .*: .* of ", out, re.MULTILINE):
            self.skipTest("no OpenCL device")
        self.is_pocl = "Portable Computing Language" in out

    def cold_cache(self, name):
        """A folder without a compiled kernel; skips where the device is another driver's."""
        if not self.is_pocl:
            self.skipTest("not PoCL, whose cache a test knows")
        folder = self.folder / name
        folder.mkdir()
        return folder

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

    def test_a_rank_that_compiles_is_waited_for_beyond_the_deadline(self):
        words = ["smoke/two-ranks", "--device", "xpu", "--require", "xpu", "--communicator", "gloo",
                 "--deadline", "1500"]
        code, out, _ = self.run_it("run", *words, "--ranks", "threads")  # compiles for rank 0
        self.assertEqual(code, 0, out)
        port = free_port()
        cold = {"POCL_CACHE_DIR": self.cold_cache("cold")}
        job = {0: self.start_rank(torchrun(0, 2, port), *words),
               1: self.start_rank(torchrun(1, 2, port) | cold, *words)}
        self.assertIn("0 failed, 0 skipped, 0 errors", self.all_end_with(0, job)[0][1])

    def test_an_interrupt_does_not_wait_for_all_kernels(self):
        cold = self.cold_cache("cold")
        os.environ["POCL_CACHE_DIR"] = str(cold)
        self.addCleanup(os.environ.pop, "POCL_CACHE_DIR")
        process = self.start("run", "smoke/two-ranks", "--device", "xpu", "--line", "0")
        until = time.monotonic() + 60
        while not list(cold.rglob("*.so")) and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, out + err)
        sources = Path(__file__).resolve().parents[2].glob("kernels/xpu/*.cl")
        kernels = sum(source.read_text().count("\nkernel void ") for source in sources)
        self.assertLess(len(list(cold.rglob("*.so"))), kernels / 2)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
