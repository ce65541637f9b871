#!/usr/bin/python3
"""program_test.py MOEBIUS: the built program from outside.

Exit codes and messages, ranks that die or stop in the middle, goldens that were tampered with, and
interrupts. Works on a copy of the scenarios in a folder of its own; ends only what it started.
"""

import json
import os
import shutil
import signal
import sys
import time
import unittest
from pathlib import Path

from program import Program, TRACE


class Results(Program):
    def test_all_pass_and_are_counted(self):
        code, out, _ = self.run_it("run", "smoke")
        self.assertEqual(code, 0, out)
        self.assertRegex(out, r"\n\d+ passed, 0 failed, 0 skipped, 0 errors\n$")

    def test_json_has_an_object_a_run_and_a_summary(self):
        code, out, _ = self.run_it("run", "smoke/two-ranks", "--json", "-")
        self.assertEqual(code, 0)
        lines = [json.loads(line) for line in out.splitlines()]
        counts = {"passed": 5, "failed": 0, "skipped": 0, "errors": 0}
        self.assertEqual(lines[-1], {"summary": counts})
        first = lines[0]
        self.assertEqual(first["verdict"], "passed")
        self.assertEqual(first["run"]["world"], {"dp": 2, "tp": 1, "pp": 1, "pcp": 1, "ep": 2,
                                                 "sequence_parallel": False})
        self.assertEqual(first["judge"], "golden")
        # 14 tokens of rank 0 and 12 of rank 1, each a row out (hidden bf16, 2 ids, 2 weights), and
        # as many partial rows back: 26 * (64*2 + 2*4 + 2*4) + 26 * 64*2.
        self.assertEqual(first["traffic"]["bytes"], 26 * (128 + 16) + 26 * 128)
        self.assertEqual(first["traffic"]["rows"], 52)
        self.assertEqual(set(first["checks"].values()), {"ok"})

    def test_late_ranks_take_time_and_change_no_byte(self):
        """8 operations of 0 to 400 ms or more: less than 200 in all is one run in 10 million."""
        for ranks in ("threads", "processes"):
            begin = time.monotonic()
            code, out, err = self.run_it("run", "smoke/two-ranks", "--communicator", "gloo",
                                         "--ranks", ranks, "--line", "0", "--delay", "400",
                                         "--json", "-")
            self.assertEqual(code, 0, out + err)
            self.assertGreater(time.monotonic() - begin, 0.2, ranks)
            run = json.loads(out.splitlines()[0])
            self.assertEqual(run["run"]["ranks"], ranks)
        code, out, _ = self.run_it("run", "--worlds", "2", "--delay", "2")
        self.assertEqual(code, 0, out)
        code, out, _ = self.run_it("run", "smoke/two-ranks", "--line", "0", "--delay", "2",
                                   "--fault", "MF-42:rank=1")
        self.assertEqual(code, 1)
        self.assertRegex(out, "reproduce: .* --delay 2\\b")
        code, _, err = self.run_it("run", "--worlds", "2", "--delay", "9000")
        self.assertEqual(code, 2)
        self.assertIn("--delay 9000: the deadline of", err)

    def test_what_a_build_lacks_is_skipped_and_fails_if_required(self):
        code, out, _ = self.run_it("run", "smoke/two-ranks", "--device", "cuda", "--line", "0")
        self.assertEqual(code, 0)
        self.assertIn("SKIP", out)
        self.assertIn("not in this build", out)
        code, out, _ = self.run_it("run", "smoke/two-ranks", "--device", "cuda", "--require",
                                   "cuda")
        self.assertEqual(code, 1)
        self.assertIn("required", out)

    def test_a_required_gpu_brings_the_scenarios_for_gpus(self):
        for pack in (self.folder / "scenarios").iterdir():
            if pack.is_dir() and pack.name not in ("smoke", "gpu", "traces"):
                shutil.rmtree(pack)
        code, out, _ = self.run_it("run")
        self.assertEqual(code, 0)
        self.assertNotIn("gpu/", out)
        for word in ("cuda", "nccl"):
            code, out, err = self.run_it("run", "--require", word)
            self.assertEqual((code, err), (1, ""))  # fails where there is none
            self.assertIn("smoke/two-ranks", out)
            self.assertIn("gpu/nccl-two-ranks", out)
            self.assertIn("required, but cuda: not in this build", out)

    def test_a_requirement_that_no_line_can_miss_is_warned_of(self):
        code, _, err = self.run_it("run", "smoke/two-ranks", "--require", "cuda,gloo")
        self.assertEqual(code, 0)
        self.assertIn("--require cuda: no run line is on it (--device", err)
        self.assertNotIn("--require gloo", err)

    def test_each_fault_exits_1_and_says_what_happened(self):
        for fault, words in {"MF-37": ["SEQ", "dispatch"], "MF-42": ["COUNT", "rows_per_rank"],
                             "MF-35": ["POISON", "token", "never written"]}.items():
            code, out, _ = self.run_it("run", TRACE, "--line", "0", "--fault", fault)
            self.assertEqual(code, 1, fault)
            for word in words:
                self.assertIn(word, out, fault)

    def test_a_flipped_output_bit_is_located(self):
        where = "step=7,layer=2,rank=3,token=1,column=17"
        code, out, _ = self.run_it("run", TRACE, "--line", "0", "--fault", f"flip_bit:{where}")
        self.assertEqual(code, 1)
        self.assertRegex(out, "step 7, layer 2, rank 3, token 1, column 17: expected .*, got")


class Goldens(Program):
    def test_a_flipped_stored_row_is_located(self):
        def change(golden):
            golden["stored"][0]["rows"][0]["values"][3] += 1
            self.cell = golden["stored"][0]
        self.edit_golden(change)
        code, out, _ = self.run_it("run", TRACE, "--line", "0")
        self.assertEqual(code, 1)
        cell = self.cell
        self.assertIn(f"step {cell['step']}, layer {cell['layer']}, rank {cell['rank']}, "
                      f"token {cell['rows'][0]['token']}, column 3", out)

    def test_a_flipped_digest_is_located_and_the_golden_is_called_wrong(self):
        def change(golden):
            digest = golden["steps"][5]["digests"][2][1]
            golden["steps"][5]["digests"][2][1] = ("0" if digest[0] != "0" else "1") + digest[1:]
        self.edit_golden(change)
        code, out, _ = self.run_it("run", TRACE, "--line", "0")
        self.assertEqual(code, 1)
        self.assertIn("step 5, layer 2, rank 1", out)
        self.assertIn("run and oracle agree", out)
        self.assertIn("golden is wrong", out)

    def test_another_scenarios_golden_is_refused(self):
        path = self.folder / "scenarios" / "smoke" / "two-ranks.yaml"
        path.write_text(path.read_text() + "# changed\n")
        code, _, err = self.run_it("run", "smoke/two-ranks")
        self.assertEqual(code, 2)
        self.assertIn("make_golden.py", err)

    def test_a_missing_golden_is_refused(self):
        (self.folder / "golden" / "data" / "smoke" / "two-ranks.golden.json").unlink()
        code, _, err = self.run_it("run", "smoke/two-ranks")
        self.assertEqual(code, 2)
        self.assertIn("make_golden.py", err)

    def test_a_changed_trace_is_found(self):
        path = self.folder / "scenarios" / "traces" / "mixtral-style-e8k2.dev.safetensors"
        data = bytearray(path.read_bytes())
        header = int.from_bytes(data[:8], "little")
        begin = json.loads(data[8:8 + header])["topk_ids"]["data_offsets"][0] + 8 + header
        data[begin:begin + 4] = data[begin + 2:begin + 4] + data[begin:begin + 2]  # two choices
        path.write_bytes(data)
        code, _, err = self.run_it("run", TRACE, "--line", "0")
        self.assertEqual(code, 2)
        self.assertIn("step 0", err)


class DyingRanks(Program):
    def rank_in_trouble(self, number, deadline):
        process = self.start("run", TRACE, "--line", "2", "--deadline", str(deadline))
        ranks = self.ranks_of(process, 4)
        time.sleep(0.8)  # into the middle of the run; any moment will do
        begin = time.monotonic()
        os.kill(ranks[2], number)
        out, _ = process.communicate(timeout=60)
        took = time.monotonic() - begin
        for pid in ranks.values():
            self.assertFalse(Path(f"/proc/{pid}").exists(), "a rank was left behind")
        return process.returncode, out, took

    def test_a_killed_rank_is_named_and_the_others_stop(self):
        code, out, took = self.rank_in_trouble(signal.SIGKILL, 5000)
        self.assertEqual(code, 3, out)
        self.assertIn("was killed by signal 9", out)
        for rank in (0, 1, 3):
            self.assertRegex(out, f"rank {rank}: .*rank 2")
        self.assertRegex(out, r"rank [013]: .*rank 2 \(process \d+\) was killed by signal 9")
        self.assertLess(took, 3)

    def test_a_stopped_rank_is_named_within_the_deadline(self):
        code, out, took = self.rank_in_trouble(signal.SIGSTOP, 1500)
        self.assertEqual(code, 3, out)
        for rank in (0, 1, 3):
            # In a message, or in the agreement before one.
            self.assertRegex(out, f"rank {rank}: .*rank 2 did not (answer|reach .*) within 1500 ms")
        self.assertLess(took, 1.5 + 2)

    def test_an_interrupted_rank_is_named(self):
        process = self.start("run", TRACE, "--line", "2")
        ranks = self.ranks_of(process, 4)
        time.sleep(0.8)
        os.kill(ranks[2], signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 3, out)
        words = rf"rank 2 \(process {ranks[2]}\) was interrupted by a signal"
        self.assertRegex(out, f"rank 2: {words}")
        # Ranks agree over a board: nobody but it knows these words, and no wire had to break first.
        self.assertRegex(out, rf"rank [013]: before operation \d+ \([^()]*\): {words}")

    def test_an_interrupt_ends_everything(self):
        for line in ("0", "1", "2"):
            process = self.start("run", TRACE, "--line", line)
            time.sleep(0.7)
            begin = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=30)
            self.assertEqual(process.returncode, 130, out)
            self.assertLess(time.monotonic() - begin, 2)
            self.assertIn("passed", out)

    def test_an_interrupt_ends_commands_without_ranks(self):
        for kind in (signal.SIGINT, signal.SIGTERM):
            process = self.start("oracle", "--all")
            time.sleep(0.5)
            begin = time.monotonic()
            process.send_signal(kind)
            out, err = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 130, out)
            self.assertIn("interrupted", out + (err or ""))
            self.assertLess(time.monotonic() - begin, 2.5)


class Input(Program):
    def refused(self, *words):
        code, out, err = self.run_it(*words)
        self.assertEqual(code, 2, out + err)
        return err

    def test_names_that_do_not_exist(self):
        self.assertIn("allgather_reducescatter",
                      self.refused("run", "smoke/two-ranks", "--backend", "allgather_reducescater"))
        self.assertIn("smoke/two-ranks", self.refused("run", "smoke/two-rank"))
        self.assertIn("--backend", self.refused("run", "--backnd", "no_ep"))
        self.assertIn("did you mean run", self.refused("runn"))
        self.assertIn("backends", self.refused("list", "backend"))
        self.assertIn("MF-37", self.refused("run", "smoke", "--fault", "MF-39"))

    def test_options_that_say_nothing_or_too_much(self):
        self.assertIn("a word is empty", self.refused("run", "smoke", "--backend", ","))
        self.assertIn("a word is empty", self.refused("run", "smoke", "--tag", ""))
        self.assertIn("no key=value", self.refused("run", "smoke", "--fault", "MF-42:"))
        self.assertIn("--seed: '-1'", self.refused("run", "smoke", "--seed", "-1"))
        self.assertIn("rank 1 has 0 tokens in step 0",
                      self.refused("run", "smoke/two-ranks", "--fault", "flip_bit:rank=1"))
        self.assertIn("rank 0 has 5 tokens in step 0",
                      self.refused("run", "smoke/two-ranks", "--fault", "flip_bit:token=5"))

    def test_no_verdict_before_all_lines_are_known_to_be_possible(self):
        code, out, err = self.run_it("run", "smoke", "--backend", "no_ep")
        self.assertEqual(code, 2)
        self.assertEqual(out, "")
        self.assertIn("world.dp 1", err)

    def test_unknown_names_come_before_missing_goldens(self):
        (self.folder / "golden" / "data" / "smoke" / "two-ranks.golden.json").unlink()
        path = self.folder / "scenarios" / "smoke" / "two-ranks.yaml"
        text = path.read_text()
        path.write_text(text.replace("backend: skeleton", "backend: skeletton", 1))
        self.assertRegex(self.refused("run", "smoke/two-ranks"),
                         r"two-ranks.yaml:\d+:\d+: .*skeletton.*did you mean 'skeleton'")
        path.write_text(text + "faults: [{name: MF-99}]\n")
        self.assertIn("MF-99", self.refused("run", "smoke/two-ranks"))

    def test_worlds_that_do_not_fit(self):
        self.assertIn("world.dp 1", self.refused("run", "smoke/two-ranks", "--backend", "no_ep"))
        self.assertIn("local", self.refused("run", "smoke/two-ranks", "--communicator", "local",
                                            "--ranks", "processes"))
        self.assertIn("does not exist under profile v0.9; it has naive",
                      self.refused("run", "smoke/two-ranks", "--profile", "v0.9"))
        self.assertIn("did you mean 'v0.9'",
                      self.refused("run", "smoke/two-ranks", "--profile", "v0.8"))

    def test_backends_that_vllm_had_and_nobody_built_are_skipped(self):
        words = ("run", "smoke/two-ranks", "--backend", "deepep_v2", "--profile", "late-2026")
        code, out, _ = self.run_it(*words, "--line", "0", "--json")
        outcome = json.loads(out.splitlines()[0])
        self.assertEqual((code, outcome["verdict"]), (0, "skipped"))
        self.assertIn("deepep_v2: vLLM has it", outcome["reason"])

    def test_a_fallback_warns_everywhere(self):
        report = self.folder / "report.xml"
        words = ("run", "smoke/two-ranks", "--backend", "naive", "--line", "0")
        code, out, _ = self.run_it(*words, "--json", "--junit", str(report))
        outcome = json.loads(out.splitlines()[0])
        self.assertEqual((code, outcome["verdict"]), (0, "passed"))
        self.assertEqual(outcome["run"]["backend"], "naive")
        self.assertEqual(outcome["run"]["resolved_backend"], "allgather_reducescatter")
        self.assertEqual(len(outcome["warnings"]), 1)
        self.assertIn("warning: all2all_backend naive", report.read_text())
        self.assertIn("warning: all2all_backend naive", self.run_it(*words)[1])

    def test_a_trace_that_is_not_there_or_not_one(self):
        self.assertIn("nowhere.safetensors", self.refused("run", "--trace", "nowhere.safetensors"))
        (self.folder / "bad.safetensors").write_bytes(b"\xff" * 64)
        self.assertIn("bad.safetensors", self.refused("run", "--trace", "bad.safetensors"))

    def test_help_and_version(self):
        _, version, _ = self.run_it("--version")
        for library in ("Gloo", "oneDNN", "Boost"):
            self.assertRegex(version, library + r" \d+\.\d+\.\d+")
        for words in (["--help"], ["run", "--help"], ["list", "--help"], ["--version"], []):
            code, out, _ = self.run_it(*words)
            self.assertEqual(code, 0, words)
            self.assertIn("moebius", out)

    def test_every_list_has_names_availability_and_reasons(self):
        for what in ("backends", "communicators", "devices", "profiles", "checks", "faults",
                     "scenarios"):
            code, out, _ = self.run_it("list", what, "--json")  # alone: standard output
            self.assertEqual(code, 0, what)
            rows = [json.loads(line) for line in out.splitlines()]
            self.assertTrue(rows, what)
            for row in rows:
                self.assertEqual(row["available"], row["reason"] is None, row)
            if what == "checks":
                self.assertIn("REF", [row["name"] for row in rows])

    def test_backends_under_a_profile_say_what_each_name_stands_for(self):
        code, out, _ = self.run_it("list", "backends", "--profile", "post-36294", "--json")
        self.assertEqual(code, 0)
        rows = {row["name"]: row for row in map(json.loads, out.splitlines())}
        self.assertTrue(rows["naive"]["available"])
        self.assertIn("falling back to allgather_reducescatter", rows["naive"]["about"])
        self.assertIn("LoRA with EP", rows["allgather_reducescatter"]["about"])
        self.assertIn("does not exist under profile post-36294", rows["deepep_v2"]["reason"])
        self.assertIn("did you mean 'post-36294'",
                      self.refused("list", "backends", "--profile", "post-3629"))
        self.assertIn("--profile is for backends",
                      self.refused("list", "checks", "--profile", "v0.9"))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
