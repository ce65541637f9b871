#!/usr/bin/python3
"""verify_trusted_test.py MOEBIUS: damage to what verify trusts is found where something follows
from it, and only there; files that are no capture are refused with the reason.
"""

import json
import shutil
import struct
import subprocess
import sys
import unittest

import numpy
from captures import floats, fma, made, quantised, stored
from program import MOEBIUS
from verify_made_test import WORLDS
from verify_test import real
from verifying import Verifying


class Trusted(Verifying):
    def judged(self, name, rank, tensor, change):
        capture = real()[name].with_own(rank, tensor)
        change(capture[rank][tensor])
        judged, = self.verify([capture])
        return judged["findings"]

    def test_a_hidden_state_that_changed_is_found_in_every_copy(self):
        for name, capture in real().items():
            findings = self.judged(name, 0, "hidden_states",
                                   lambda table: numpy.put(table, 2048 * 3 + 17,
                                                           table[3, 17] ^ 0x4000))
            self.assertGreater(len(findings), 0, name)
            for finding in findings:
                self.assertIn(finding["tensor"], ("dispatched_hidden_states",
                                                  "dispatched_scales"))
                self.assertEqual((finding["source_rank"], finding["source_row"]), (0, 3))
            wanted = {"nccl-allgather_reducescatter-uneven": 2,
                      "deepep_high_throughput-uneven": 2, "deepep_low_latency-uneven": 4}
            if name in wanted:
                self.assertEqual(len(findings), wanted[name])
                self.assertEqual({one["column"] for one in findings}, {17})

    def test_a_bit_that_the_quantiser_rounds_away_changes_nothing(self):
        name = "deepep_low_latency-uneven-fp8"
        capture = real()[name]
        rows = capture[0].floats("hidden_states")
        codes, scales = quantised(rows)
        silent = loud = 0
        for column in range(0, 2048, 61):
            bits = capture[0]["hidden_states"].copy()
            bits[5, column] ^= 1
            same = all((one == other).all() for one, other in
                       zip(quantised(floats(bits, "BF16")), (codes, scales)))
            findings = self.judged(name, 0, "hidden_states",
                                   lambda table: numpy.copyto(table, bits))
            self.assertEqual(findings == [], same, column)
            silent, loud = silent + same, loud + (not same)
        self.assertGreater(silent, 3)
        self.assertGreater(loud, 1)

    def test_another_choice_moves_rows_counts_and_sums(self):
        for name, capture in real().items():
            def change(table):
                table[4, 1] = 9  # was 3: nobody is with expert 9 of rank 0
            findings = self.judged(name, 0, "topk_ids", change)
            tensors = {one["tensor"] for one in findings}
            if capture.is_batched:
                self.assertIn("expert_num_tokens", tensors)
                self.assertIn("row lost", {one["fault"] for one in findings})
            else:
                self.assertIn("dispatched_topk_ids", tensors)

    def test_an_id_that_no_expert_has_is_named(self):
        for name in real():
            def change(table):
                table[2, 3] = 1 << 40
            first = self.judged(name, 1, "topk_ids", change)[0]
            self.assertEqual((first["tensor"], first["rank"], first["row"], first["slot"]),
                             ("topk_ids", 1, 2, 3))
            self.assertEqual(first["fault"], "input invalid")
            self.assertEqual(first["value"], str(1 << 40))

    def test_a_weight_is_found_where_it_weighs(self):
        for name, capture in real().items():
            def change(table):
                table[6, 2] *= numpy.float32(1.5)
            findings = self.judged(name, 0, "topk_weights", change)
            self.assertGreater(len(findings), 0, name)
            if capture.is_batched:
                self.assertEqual([(one["tensor"], one["rank"], one["row"]) for one in findings],
                                 [("combined", 0, 6)])
            else:
                self.assertEqual({one["tensor"] for one in findings}, {"dispatched_topk_weights"})
                self.assertEqual({(one["source_row"], one["slot"]) for one in findings}, {(6, 2)})

    def test_the_weight_of_a_masked_choice_matters_to_nobody(self):
        for name, capture in real().items():
            self.assertEqual(capture[0]["topk_ids"][8, 1], -1)
            def change(table):
                table[8, 1] = 77
            findings = self.judged(name, 0, "topk_weights", change)
            if name.startswith("nccl"):  # it is gathered as it is
                self.assertEqual(len(findings), 2)
            else:
                self.assertEqual(findings, [], name)

    def test_an_expert_output_is_found_in_the_sum_that_it_changes(self):
        draw = numpy.random.default_rng(3)
        silent = loud = 0
        for name, capture in real().items():
            if capture.is_batched:
                continue
            due = {rank: capture.due(rank) for rank in (0, 1)}
            for _ in range(40):
                rank = int(draw.integers(2))
                row, column = int(draw.integers(len(due[rank]))), int(draw.integers(2048))
                bit = int(draw.integers(15))
                source, token = due[rank][row]
                terms = []
                for other in (0, 1):
                    table = capture[other]["expert_output"].copy()
                    if other == rank:
                        table[row, column] ^= 1 << bit
                    at = [i for i, one in enumerate(due[other]) if one == (source, token)]
                    terms += [floats(table[i, column:column + 1], "BF16") for i in at]
                with numpy.errstate(all="ignore"):
                    total = stored(sum(terms, numpy.zeros(1, "<f4")), "BF16")[0]
                same = total == capture[source]["combined"][token, column]
                findings = self.judged(name, rank, "expert_output",
                                       lambda table: numpy.put(table, row * 2048 + column,
                                                               table[row, column] ^ (1 << bit)))
                found = [(one["tensor"], one["rank"], one["row"], one["column"])
                         for one in findings]
                self.assertEqual(found, [] if same else [("combined", source, token, column)])
                silent, loud = silent + bool(same), loud + (not same)
        self.assertGreater(loud, 20)
        self.assertGreater(silent, 0)


class Refused(Verifying):
    """Each file is a good one with one thing changed; exit 2 and one sentence with the reason."""

    WORLD = WORLDS["high throughput, four ranks, local ids, counts"]
    BATCHED = WORLDS["low latency, fp8, three ranks"]

    def refused(self, capture, *parts, data=None, names=None):
        name = capture.write(self.folder, "bad")
        for path, content in (data or {}).items():
            (self.folder / path).write_bytes(content)
        for words in (names or [name], [*(names or [name]), "--json", "-"]):
            code, out, err = self.run_it(*words)
            self.assertEqual(code, 2, out + err)
            self.assertEqual(len(err.splitlines()), 1, err)
            self.assertTrue(err.startswith("moebius: "), err)
            for part in parts:
                self.assertIn(part, err)
            for line in out.splitlines():
                if words[-1] == "-":
                    json.loads(line)
        for file in self.folder.glob("bad*"):
            file.unlink()

    def test_metadata(self):
        cases = {"format": ("moe-capture/2", "moe-capture/1"), "backend": ("depep", "one of"),
                 "rank": ("3", "as the file's name says"), "dp_size": ("2", "ep_size"),
                 "ep_size": ("0", "1 to"), "num_experts": ("x", "integer"),
                 "top_k": ("3", "[7, 3]"), "hidden_size": ("63", "[7, 63]"),
                 "placement": ("random", "round_robin"),
                 "activation_format": ("batched_experts", "must be standard"),
                 "topk_ids_space": ("none", "global or local"),
                 "weights_applied_by": ("source_rank", "expert_rank"),
                 "quantization": ("int4", "fp8_block128"), "num_tokens": ("[7, 0, 1]", "4 counts")}
        for rank in (0, 2):
            for key, (value, part) in cases.items():
                capture = made(1, **self.WORLD)
                capture[rank].metadata[key] = value
                self.refused(capture, f"bad.rank{rank}.safetensors", part if rank == 0 else key)
                if key == "quantization":
                    continue
                capture = made(1, **self.WORLD)
                del capture[rank].metadata[key]
                alone = rank == 0 or key in ("format", "rank")  # not held against another rank's
                self.refused(capture, f"bad.rank{rank}.safetensors",
                             f"the metadata has no '{key}'" if alone
                             else f"metadata '{key}' is missing, in ")

    def test_batched_metadata(self):
        for value, part in (("4", "5 to"), ("12", "x senders"), ("-1", "integer")):
            capture = made(1, **self.BATCHED)
            for rank in capture.ranks:
                rank.metadata["max_num_tokens_per_rank"] = value
            self.refused(capture, "bad.rank0.safetensors", part)

    def test_worlds_that_the_backend_cannot_have(self):
        low = dict(backend="deepep_low_latency", format="batched_experts", tokens=[3, 4],
                   experts=8, top_k=2, hidden=2048)
        high = dict(backend="deepep_high_throughput", format="standard", tokens=[3, 4], experts=8,
                    top_k=2, hidden=64)
        cases = [
            ({**high, "backend": "no_ep"}, "moves nothing between DP ranks and needs dp_size 1"),
            ({**low, "backend": "pplx", "placement": "round_robin"}, "needs the placement linear"),
            ({**low, "experts": 7}, "as many experts on every rank: 7 do not divide by 2"),
            ({**low, "backend": "nixl_ep", "hidden": 96},
             "sends rows of 2048, 2560, 3072, 4096, 5120, 6144, 7168, 8192 columns, not of 96"),
            ({**low, "hidden": 8448}, "at most 8192 columns, not 8448"),
            ({**low, "dtype": "F16"}, "rows of bf16, not of f16"),
            ({**low, "dtype": "F32"}, "rows of bf16, not of f32"),
            ({**low, "experts": 24, "top_k": 12}, "at most top-11, not 12"),
            ({**low, "tokens": [3, 1]}, "a multiple of 4, not 3 x 2"),
            ({**low, "tokens": [512, 1], "hidden": 2048, "more_room": 0}, "at most 511 tokens"),
            ({**high, "tokens": [1, 2, 3]}, "not on 3"),
            ({**high, "dtype": "F16"}, "rows of bf16, not of f16"),
            ({**high, "backend": "mori", "experts": 9}, "9 do not divide by 2"),
            ({**high, "backend": "flashinfer_nvlink_one_sided", "dtype": "F32"},
             "rows of bf16, not of f32")]
        for world, part in cases:
            self.refused(made(1, **world), "metadata 'backend' is ", part)

    def test_backends_that_cannot_be_judged(self):
        for name in ("deepep_v2", "skeleton"):
            capture = made(1, **self.WORLD)
            for rank in capture.ranks:
                rank.metadata["backend"] = name
            self.refused(capture, name, "cannot be judged")

    def test_tensors(self):
        for world in (self.WORLD, self.BATCHED):
            for tensor in made(1, **world)[1].tensors:
                if tensor not in ("source_row", "source_range", "expert_num_tokens"):
                    capture = made(1, **world)
                    del capture[1].tensors[tensor]
                    self.refused(capture, "bad.rank1.safetensors", tensor)
                capture = made(1, **world)
                dtype, values = capture[1].tensors[tensor]
                capture[1].tensors[tensor] = ("U8", values.view("u1"))
                self.refused(capture, "bad.rank1.safetensors", tensor, "U8")
                if values.size:
                    capture = made(1, **world)
                    capture[1].tensors[tensor] = (dtype, values[..., None])
                    self.refused(capture, "bad.rank1.safetensors", tensor)
                capture = made(1, **world)
                capture[0].tensors[tensor] = (dtype, numpy.concatenate([capture[0][tensor]] * 2))
                self.refused(capture, "bad.rank0.safetensors")
        capture = made(1, **self.WORLD)
        capture[3]["surprise"] = ("F32", numpy.zeros(3, "<f4"))
        self.refused(capture, "bad.rank3.safetensors", "surprise", "nothing judges it")

    def test_a_type_is_offered_once(self):
        capture = made(1, **self.WORLD)
        for rank in capture.ranks:
            rank["expert_output"] = ("F16", rank["expert_output"].view("<f2"))
        self.refused(capture, "expert_output is F16, it must be BF16 or F32")

    def test_files_that_are_cut_or_broken(self):
        whole = made(1, **self.WORLD)[1].data()
        header = struct.unpack("<Q", whole[:8])[0]
        for length in (0, 7, 8, 9, 8 + header // 2, 8 + header, len(whole) - 1):
            self.refused(made(1, **self.WORLD), "bad.rank1.safetensors",
                         data={"bad.rank1.safetensors": whole[:length]})
        for content in (b"\xff" * 100, whole + b"\0"):
            self.refused(made(1, **self.WORLD), "bad.rank1.safetensors",
                         data={"bad.rank1.safetensors": content})

    def test_ranks_that_are_missing_or_too_many(self):
        capture = made(1, **self.WORLD)
        capture.write(self.folder, "whole")
        (self.folder / "whole.rank2.safetensors").unlink()
        code, out, err = self.run_it(self.folder / "whole.rank0.safetensors")
        self.assertEqual(code, 2)
        self.assertIn("rank 2 of 4 is missing", err)
        self.refused(capture, "rank4", "ep_size is 4",
                     data={"bad.rank4.safetensors": capture[3].data()})
        code, out, err = self.run_it(self.folder / "nothing")
        self.assertEqual(code, 2)
        self.assertIn("nothing.rank0.safetensors", err)
        code, out, err = self.run_it(self.folder / "other.safetensors")
        self.assertEqual(code, 2)
        self.assertIn("NAME.rank<r>.safetensors", err)

    def test_types_that_ranks_do_not_share(self):
        capture = made(1, **self.WORLD)
        for tensor in ("hidden_states", "dispatched_hidden_states", "expert_output", "combined"):
            capture[2][tensor] = ("F16", capture[2][tensor].view("<f2"))
        self.refused(capture, "bad.rank2.safetensors", "f16", "bf16")

    def test_the_project_s_data_is_not_needed(self):
        shutil.copy(MOEBIUS, self.folder / "alone")
        good = made(1, **self.WORLD).write(self.folder, "good")
        ended = subprocess.run([self.folder / "alone", "verify", good], capture_output=True,
                               text=True, timeout=60, cwd=self.folder)
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        self.assertTrue(ended.stdout.startswith("PASS  good"), ended.stdout)

    def test_a_bad_one_does_not_hide_the_others(self):
        good = made(1, **self.WORLD).write(self.folder, "good")
        wrong = made(2, **self.WORLD)
        wrong[0]["combined"][2, 5] ^= 1
        wrong = wrong.write(self.folder, "wrong")
        code, out, err = self.run_it(self.folder / "none", good, wrong, "--json")
        self.assertEqual(code, 2)
        self.assertIn("none.rank0", err)
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([line.get("verdict") for line in lines],
                         ["error", "passed", "failed", None])
        self.assertEqual(lines[-1]["summary"], {"passed": 1, "failed": 1, "skipped": 0,
                                                "errors": 1})
        code, out, err = self.run_it(good, wrong, "--quiet")
        self.assertEqual(code, 1)
        self.assertTrue(out.startswith("FAIL  wrong"), out)
        self.assertIn("combined row 2, column 5", out)
        self.assertIn("1 passed, 1 failed", out)

    def test_words(self):
        code, out, err = self.run_it("--help")
        self.assertEqual(code, 0)
        self.assertIn("usage: moebius verify FILE", out)
        code, out, err = self.run_it()
        self.assertEqual(code, 2)
        self.assertIn("verify which capture?", err)
        good = made(1, **self.WORLD).write(self.folder, "good")
        every_rank = [f"{good}.rank{rank}.safetensors" for rank in range(4)]
        code, out, err = self.run_it(*every_rank, good)
        self.assertEqual(code, 0)
        self.assertIn("1 passed, 0 failed", out)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
