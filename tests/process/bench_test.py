#!/usr/bin/python3
"""bench_test.py MOEBIUS: moebius bench as its users meet it, on tiny worlds.

The shape of what it prints, what it counts, and what it says where the peer is absent. Asserts no
time.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

MOEBIUS = str(Path(sys.argv[1]).resolve()) if len(sys.argv) > 1 else "build/cpu/sim/moebius"
TINY = ["--shape", "64x32x8x2", "--tokens", "16", "--iterations", "3"]


def bench(*words, **environment):
    done = subprocess.run([MOEBIUS, "bench", *TINY, *words], text=True, capture_output=True,
                          timeout=200, env={**os.environ, **environment})
    return done.returncode, done.stdout, done.stderr


def measured(*words, **environment):
    code, out, err = bench(*words, "--json", "-", **environment)
    assert code == 0, err
    return json.loads(out)


class Bench(unittest.TestCase):
    def test_every_stage_is_measured_and_traffic_counted(self):
        for words in ([], ["--communicator", "local"], ["--ranks", "threads"],
                      ["--dtype", "f32"], ["--dtype", "f16"], ["--world-size", "3"]):
            result = measured(*words)
            self.assertEqual(result["samples"], 3)
            self.assertEqual(list(result["stages"]), ["route", "dispatch", "experts", "combine",
                                                      "layer", "checked_layer"])
            for stage, times in result["stages"].items():
                self.assertGreater(times["min_us"], 0, stage)
                self.assertLessEqual(times["min_us"], times["p50_us"], stage)
                self.assertLessEqual(times["p50_us"], times["p99_us"], stage)
            self.assertIsNone(result["peer"])

    def test_wire_bytes_are_those_of_the_rows(self):
        # each of 2 ranks sends 16 rows: 64 bf16 values, 2 ids, 2 weights; and 16 rows back
        self.assertEqual(measured()["wire_bytes"], {"dispatch": 2 * 16 * (128 + 8 + 8),
                                                    "combine": 2 * 16 * 128})

    def test_every_backend_is_measured_and_sends_its_own_rows(self):
        # bytes of a row in dispatch (as the wire wants it, then ids and weights or the header of
        # 16) and in combine: 64 bf16 values, 256 in 512 bytes, 2048 as the least of DeepEP's sizes
        copies = {"deepep_high_throughput": (512 + 2 * 8 + 2 * 4, 512),
                  "flashinfer_nvlink_two_sided": (128 + 8 + 8, 128),
                  "flashinfer_nvlink_one_sided": (128 + 8 + 8, 128),
                  "mori_high_throughput": (128 + 8 + 8, 128),
                  "mori_low_latency": (128 + 8 + 8, 128)}
        slots = {"deepep_low_latency": (4096 + 16, 4096), "nixl_ep": (4096 + 16, 4096),
                 "pplx": (128 + 16, 128)}
        for ranks in ("2", "4"):
            sent = {}
            for backend, (there, back) in {**copies, **slots}.items():
                result = measured("--backend", backend, "--communicator", "local", "--world-size",
                                  ranks)
                self.assertGreater(result["stages"]["checked_layer"]["min_us"], 0, backend)
                bytes_sent = result["wire_bytes"]
                self.assertEqual(bytes_sent["dispatch"] % there, 0, backend)
                sent[backend] = bytes_sent["dispatch"] // there
                self.assertEqual(bytes_sent["combine"], sent[backend] * back, backend)
            # a copy for each other rank with a choice, a message for each choice on another rank
            self.assertEqual(len({sent[backend] for backend in copies}), 1, sent)
            self.assertEqual(len({sent[backend] for backend in slots}), 1, sent)
            self.assertLess(0, sent["pplx"])
            self.assertLess(sent["mori_low_latency"], sent["pplx"])
        naive = measured("--backend", "naive")["wire_bytes"]
        self.assertEqual(naive["combine"], 2 * 2 * 16 * 128)

    def test_what_a_backend_cannot_take_is_refused_before_ranks_start(self):
        for words, said in (
                (["deepep_low_latency", "--tokens", "512"], "at most 511 tokens of a rank, not"),
                (["deepep_low_latency", "--dtype", "f32"], "takes rows of bf16, not of f32"),
                (["deepep_high_throughput", "--world-size", "3"], "runs on 2, 4, 8"),
                (["mori_low_latency", "--world-size", "3"], "8 do not divide by 3"),
                (["nixl_ep", "--shape", "9000x32x8x2"], "at most 8192 columns"),
                (["no_ep"], "moves nothing between ranks")):
            code, out, err = bench("--backend", *words)
            self.assertEqual((code, out), (2, ""), words)
            self.assertIn(f"--backend {words[0]}: it ", err)
            self.assertIn(said, err)
        self.assertEqual(bench("--backend", "no_ep", "--world-size", "1", "--ranks", "threads")[0],
                         0)

    def test_operators_are_timed_at_the_sizes_that_were_given(self):
        rows = measured("--operators", "--shape", "128x32x8x2,256x64x4x1", "--tokens", "8,16")
        self.assertEqual({(row["shape"], row["tokens"]) for row in rows["operators"]},
                         {(shape, tokens) for shape in ("128x32x8x2", "256x64x4x1")
                          for tokens in (8, 16)})
        self.assertEqual(len(rows["operators"]), 4 * 7)
        self.assertEqual({row["anchor_us"] for row in rows["operators"]}, {0})
        # Widths that blocks of 128 do not divide, and fewer experts than a usual world has ranks.
        rows = measured("--operators", "--shape", "96x32x1x1", "--tokens", "1")
        self.assertEqual(len(rows["operators"]), 7)

    def test_pinned_table_names_what_was_measured(self):
        code, out, _ = bench("--pin")
        self.assertEqual(code, 0)
        self.assertIn("2 processes over gloo, one core each, 16 tokens a rank, bf16", out)
        self.assertIn("checked_layer", out)

    def test_json_goes_to_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "bench.json"
            code, out, _ = bench("--json", str(file))
            self.assertEqual(code, 0)
            self.assertIn("layer", out)
            self.assertEqual(json.loads(file.read_text())["bench"]["shape"], "64x32x8x2")

    def test_several_are_measured_in_one_command_and_go_into_a_table(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "results.md"
            code, out, err = bench("--only", "moves", "--tokens", "8,16", "--results", str(file),
                                   "--communicator", "local")
            self.assertEqual(code, 0, err)
            self.assertEqual(out.count("wire bytes of all ranks"), 2)
            self.assertNotIn("experts  ", out)
            rows = [row.split(" | ") for row in file.read_text().splitlines()
                    if row.startswith("| 64x32x8x2 | ")]
            self.assertEqual([row[1:4] for row in rows],
                             [[tokens, move, str(int(tokens) * each)] for tokens in ("8", "16")
                              for move, each in (("dispatch, awaited", 128 + 8 + 8),
                                                 ("combine, awaited", 128))])

    def test_an_absent_peer_is_said_and_ours_is_measured(self):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "torch.py").write_text("raise ImportError('not here')\n")
            code, out, _ = bench("--peer", "torch", PYTHONPATH=folder)
            self.assertEqual(code, 0)
            self.assertIn("peer torch: not measured: /usr/bin/python3 has no torch", out)
            result = measured("--peer", "torch", PYTHONPATH=folder)
            self.assertIsNone(result["peer"])
            self.assertIn("apt-get install python3-torch", result["peer_absence"])

    def test_bad_words_and_too_large_shapes_are_refused(self):
        for words, part in ((["--shape", "nothing"], "deepseek-v3"), (["--pinned"], "--pin"),
                            (["--operators", "--results", "r.md"],
                             "--results means nothing to --operators, which takes --device, --sh"),
                            (["--operators", "--ranks", "threads"], "--ranks means nothing to"),
                            (["--operators", "--shape", "1000000x1000000x8x2"], "GiB"),
                            (["--shape", "1000000x1000000x8x2"], "GiB")):
            code, _, err = bench(*words)
            self.assertEqual(code, 2, words)
            self.assertIn(part, err)

    def test_an_interrupt_ends_it_and_its_ranks(self):
        process = subprocess.Popen([MOEBIUS, "bench", *TINY[:4], "--iterations", "1000000"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        until = time.monotonic() + 30
        while len(children.read_text().split()) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        ranks = children.read_text().split()
        self.assertEqual(len(ranks), 2)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        self.assertEqual(process.returncode, 130)
        self.assertFalse([rank for rank in ranks if Path(f"/proc/{rank}").exists()])

    def test_help(self):
        code, out, _ = bench("--help")
        self.assertEqual(code, 0)
        self.assertIn("--peer torch", out)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
