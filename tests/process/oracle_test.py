#!/usr/bin/python3
"""oracle_test.py MOEBIUS: `moebius oracle` as its users meet it.

That the answers are vLLM's is tests/unit/backends; here: words and JSON say the same, every option
is honoured, what names nothing is refused with what does, and answers are exit 0.
"""

import json
import sys
import unittest

from program import Program

LOW_LATENCY = ("--dp", "4", "--ep", "--all2all", "deepep_low_latency")


class Oracle(Program):
    def answer(self, *words):
        """The JSON object, and the words for people beside it."""
        code, out, err = self.run_it("oracle", *words, "--json", "-")
        self.assertEqual(code, 0, err)
        return json.loads(out)

    def refused(self, *words):
        code, out, err = self.run_it("oracle", *words)
        self.assertEqual((code, out), (2, ""), words)
        return err

    def test_words_and_json_say_the_same(self):
        said = self.answer(*LOW_LATENCY)
        self.assertEqual(said["backend"], "BATCHED_TRITON")
        self.assertEqual(said["prepare_finalize"], "DeepEPLLPrepareAndFinalize")
        self.assertEqual([one["refused_by"] for one in said["trace"]],
                         ["device", "activation_format", None])
        code, out, _ = self.run_it("oracle", *LOW_LATENCY)
        self.assertEqual(code, 0)
        for one in said["trace"]:
            self.assertIn(f"{one['backend']}, {one['experts']}: {one['reason'] or 'chosen'}", out)
        self.assertIn("not tried   FLASHINFER_CUTLASS\n", out)
        code, quiet, _ = self.run_it("oracle", *LOW_LATENCY, "--quiet")
        self.assertEqual(quiet, "BATCHED_TRITON with BatchedTritonExperts, modular, "
                                "batched_experts format\n")

    def test_what_a_library_cannot_take_stands_as_a_note(self):
        for words, said in (
                ((*LOW_LATENCY, "--hidden", "9000"), "deepep_low_latency takes rows of at most"),
                (("--dp", "3", "--ep", "--all2all", "deepep_high_throughput"),
                 "deepep_high_throughput runs on 2, 4, 8, 16")):
            notes = self.answer(*words)["notes"]
            self.assertTrue(any(note.startswith("rows do not move: " + said) for note in notes),
                            notes)
        for words in (LOW_LATENCY, ("--dp", "4", "--ep", "--all2all", "deepep_high_throughput"),
                      ("--dp", "3", "--ep", "--hidden", "9000")):
            self.assertNotIn("rows do not move", " ".join(self.answer(*words)["notes"]))

    def test_the_configuration_of_the_quantisation_is_this_deployments(self):
        for words, said in (
                (("--quant", "fp8_block128", "--tp", "2", "--ep"), "w8a8"),
                (("--quant", "fp8_tensor", "--tp", "2", "--ep"),
                 "w8a8 with alphas w_scale·a_scale and inverse activation scales"),
                (("--quant", "mxfp8", "--capability", "10.0"), "mxfp8, scales not swizzled")):
            answer = self.answer(*words)
            self.assertIn("FLASHINFER", answer["backend"])
            self.assertIn(f"quantisation config: {said}", answer["notes"])

    def test_ranks_beyond_all_machines_are_refused(self):
        err = self.refused("--tp", "4096", "--dp", "4096", "--pcp", "4096", "--ep")
        self.assertIn("together 68719476736 ranks, more than 1048576", err)

    def test_why_not(self):
        said = self.answer(*LOW_LATENCY, "--why-not", "TRITON", "--why-not", "FlashInferExperts")
        self.assertEqual([one["name"] for one in said["why_not"]], ["TRITON", "FlashInferExperts"])
        self.assertIn("refused: kernel does not support batched_experts activation format",
                      said["why_not"][0]["answers"][0])
        self.assertIn("not tried", said["why_not"][1]["answers"][0])

    def test_why_not_takes_a_name_in_any_case_and_an_unknown_one_gets_all(self):
        for word in ("triton", "Triton", "TRITONEXPERTS", "tritonexperts"):
            said = self.answer(*LOW_LATENCY, "--why-not", word)["why_not"][0]
            self.assertIn(said["name"], ("TRITON", "TritonExperts"))
            self.assertIn("batched_experts activation format", said["answers"][0])
        code, quiet, _ = self.run_it("oracle", *LOW_LATENCY, "--quiet", "--why-not", "triton")
        self.assertEqual(code, 0)
        self.assertIn("\nwhy not     TRITON (TritonExperts): refused", quiet)
        said = self.answer("--quant", "nvfp4", "--why-not", "flashinfer-cutedsl-batched")
        self.assertEqual(said["why_not"][0]["name"], "FLASHINFER_CUTEDSL_BATCHED")
        refusal = self.refused("--quant", "int4_a16", "--why-not", "Tritom")
        self.assertIn("of the wna16 oracle under post-40412: 'Tritom' is not one of MARLIN, "
                      "MarlinExperts, BATCHED_MARLIN, BatchedMarlinExperts", refusal)

    def test_late_2026_has_oracles_of_its_own(self):
        late = ("--profile", "late-2026")
        for words, backend in ((("--quant", "w4a8"), "CUTLASS"),
                               (("--quant", "w4a8_int8", "--platform", "cpu"), "CPU_INT4"),
                               (("--quant", "mxfp4_generic"), "MARLIN"),
                               (("--quant", "mxfp4_generic", "--capability", "10.0"),
                                "FLASHINFER_TRTLLM_MXFP4_MXFP8")):
            self.assertEqual(self.answer(*late, *words)["backend"], backend, words)
            self.assertIn("no oracle of post-40412 is asked about it", self.refused(*words))
        said = self.answer(*late, "--quant", "w4a8", "--moe-backend", "marlin")
        self.assertIn("moe_backend marlin is ignored by this oracle", said["notes"])

    def test_what_moves_the_rows_is_asked_too(self):
        rocm = ("--platform", "rocm", "--dp", "4", "--ep", "--all2all", "mori")
        said = self.answer(*rocm)
        self.assertEqual((said["backend"], said["prepare_finalize"]),
                         ("TRITON", "MoriPrepareAndFinalize"))
        self.assertIn("AITER's experts only", said["pair_refusal"])
        said = self.answer(*rocm, "--env", "VLLM_ROCM_USE_AITER=1")
        self.assertEqual((said["backend"], said["pair_refusal"]), ("AITER", None))
        said = self.answer(*LOW_LATENCY, "--platform", "rocm")
        self.assertIn("DeepEP is there on cuda only", " ".join(said["notes"]))
        said = self.answer("--platform", "xpu", *LOW_LATENCY)
        self.assertIn("falling back to allgather_reducescatter", " ".join(said["notes"]))
        one_sided = ("--dp", "4", "--ep", "--all2all", "flashinfer_nvlink_one_sided",
                     "--capability", "10.0")
        self.assertIn("nvfp4", self.answer(*one_sided)["pair_refusal"].lower())
        self.assertIsNone(self.answer(*one_sided, "--profile", "late-2026")["pair_refusal"])
        uneven = ("--dp", "4", "--ep", "--experts", "10")
        said = self.answer(*uneven, "--moe-backend", "flashinfer_cutlass")
        self.assertIn("10 experts on 4 ranks are uneven", said["pair_refusal"])
        self.assertIsNone(self.answer(*uneven)["pair_refusal"])
        self.assertIn("from 4 (EP ranks)", self.refused("--dp", "4", "--ep", "--experts", "3"))

    def test_an_error_of_vllm_is_an_answer(self):
        said = self.answer("--moe-backend", "marlin")
        self.assertEqual(said["error"], "ValueError")
        self.assertIn("Expected one of ['triton'", said["error_text"])
        self.assertIsNone(said["backend"])

    def test_a_pair_that_the_kernel_refuses_is_told(self):
        said = self.answer("--capability", "10.0", "--dp", "4", "--ep",
                           "--all2all", "flashinfer_nvlink_one_sided")
        self.assertEqual(said["backend"], "FLASHINFER_CUTLASS")
        self.assertIn("#39717", said["pair_refusal"])

    def test_every_option_is_honoured(self):
        h100, b200 = (), ("--capability", "10.0")
        for words, backend in (
                (h100, "FLASHINFER_CUTLASS"), (("--libraries", "none"), "TRITON"),
                (("--libraries", "deep_gemm,flashinfer_cutlass"), "FLASHINFER_CUTLASS"),
                (("--dp", "2"), "TRITON"), (("--platform", "cpu"), "CPU"),
                (("--platform", "rocm", "--env", "VLLM_ROCM_USE_AITER=1"), "AITER"),
                (b200, "FLASHINFER_TRTLLM"), ((*b200, "--eplb"), "FLASHINFER_CUTLASS"),
                ((*b200, "--routing-method", "Default"), "FLASHINFER_CUTLASS"),
                ((*b200, "--router", "softmax"), "FLASHINFER_CUTLASS"),
                (("--activation", "gelu"), "TRITON"), (("--batch-invariant",), "TRITON"),
                (("--lora",), "TRITON"), (("--env", "VLLM_USE_FLASHINFER_MOE_FP16=0"), "TRITON"),
                (("--moe-backend", "Triton"), "TRITON"), (("--profile", "late-2026"), "TRITON"),
                (("--quant", "fp8_channel_token"), "VLLM_CUTLASS"),
                (("--quant", "fp8_channel_token", "--no-vllm-cutlass"), "TRITON"),
                (("--quant", "fp8_block128", "--tp", "2", "--ep"), "FLASHINFER_CUTLASS"),
                (("--quant", "fp8_block128", "--pcp", "2", "--ep"), "FLASHINFER_CUTLASS"),
                (("--quant", "fp8_block128", "--tp", "2"), "TRITON")):
            self.assertEqual(self.answer(*words)["backend"], backend, words)
        monolithic = (*b200, "--quant", "fp8_block128")
        self.assertTrue(self.answer(*monolithic)["monolithic"])
        self.assertFalse(self.answer(*monolithic, "--router-logits", "f32")["monolithic"])
        nvfp4 = (*b200, "--quant", "nvfp4")
        self.assertEqual(self.answer(*nvfp4, "--hidden", "2880")["backend"], "FLASHINFER_CUTEDSL")
        sizes = self.answer("--capability", "8.0", "--quant", "mxfp4", "--hidden", "2880",
                            "--intermediate", "2880")
        self.assertIn("weights are made for hidden 3072, intermediate 2944", sizes["notes"])
        late = ("--profile", "late-2026")
        hpc = (*late, "--libraries", "hpc", "--quant", "fp8_block128", "--moe-backend", "hpc")
        self.assertEqual(self.answer(*hpc)["backend"], "HPC")
        self.assertEqual(self.answer(*hpc, "--bias")["error"], "ValueError")
        clamped = (*late, *nvfp4, *LOW_LATENCY)
        self.assertEqual(self.answer(*clamped)["backend"], "FLASHINFER_CUTEDSL_BATCHED")
        self.assertEqual(self.answer(*clamped, "--swiglu-limit")["error"], "NotImplementedError")
        split = (*late, *b200, "--tp", "2", "--ep", "--all2all", "deepep_high_throughput")
        self.assertEqual(self.answer(*split)["experts"], "TrtLlmBf16ExpertsMonolithic")
        self.assertEqual(self.answer(*split, "--sequence-parallel")["experts"],
                         "TrtLlmBf16ExpertsModular")

    def test_what_names_nothing_is_refused_with_what_does(self):
        for words, valid in (
                (("--quant", "fp9"), "fp8_block128"),
                (("--quant", "int4_w4a16"), "the oracles call it int4_a16"),
                (("--platform", "vulkan"), "out_of_tree"),
                (("--capability", "nine"), "as in 9.0"), (("--capability", "9.0x"), "as in 9.0"),
                (("--platform", "cpu", "--capability", "9.0"), "cuda and rocm have"),
                (("--libraries", "cutlass"), "cutlass_grouped_gemm"),
                (("--libraries", "usual,aiter"), "stands alone"),
                (("--all2all", "pplx2"), "did you mean 'pplx'"),
                (("--all2all", "deepep_v2"), "deepep_high_throughput"),
                (("--activation", "relu"), "relu2_no_mul"), (("--router", "x"), "softmax"),
                (("--routing-method", "MiniMax2"), "DeepSeekV3"),
                (("--router", "softmax", "--routing-method", "Default"), "follows from"),
                (("--router-logits", "f64"), "f32"), (("--dp", "0"), "from 1 to 4096"),
                (("--hidden", "0"), "from 1 to"), (("--moe-backend", "hpc"), "flashinfer_cutlass"),
                (("--env", "X=1"), "VLLM_USE_DEEP_GEMM"), (("--env", "X"), "sets nothing"),
                (("--env", "VLLM_USE_DEEP_GEMM=yes"), "0, 1"),
                (("--env", "VLLM_USE_DEEP_GEMM=0", "--env", "VLLM_USE_DEEP_GEMM=1"), "twice"),
                (("--profile", "v0.9"), "post-36294"), (("--why-not", "X"), "FLASHINFER_TRTLLM"),
                (("--diff", "post-36286"), "two profiles"), (("--diff", "a", "b"), "post-36286"),
                (("--diff", "post-36286", "post-40412", "--profile", "late-2026"), "without"),
                (("--all", "--quant", "none"), "--quant describes one"),
                (("--all", "x"), "belongs to no option"), (("x",), "belongs to no option")):
            self.assertIn(valid, self.refused(*words), words)

    def test_the_cross_product_and_its_differences(self):
        code, out, _ = self.run_it("oracle", "--all", "--json", "-")
        self.assertEqual(code, 0)
        table, choices = map(json.loads, out.splitlines())
        self.assertEqual((table["axes"], table["cells"]), ("deployments", 1346400))
        self.assertEqual(choices["axes"], "choices")
        code, out, _ = self.run_it("oracle", "--diff", "post-36294", "post-36286", "--json", "-")
        flips = json.loads(out.splitlines()[0])
        self.assertEqual((code, flips["from"], flips["flipped"]), (0, "post-36294", 5808))
        self.assertEqual(flips["lines"][0], "quant none")

    def test_a_fault_is_caught_or_survives(self):
        code, out, _ = self.run_it("oracle", "--fault", "MF-30", "--json", "-")
        said = json.loads(out)
        self.assertEqual((code, said["caught"]), (1, True))
        self.assertIn("ORACLE caught MF-30", said["reason"])
        code, out, _ = self.run_it("oracle", "--quiet", "--fault",
                                   "MF-29:experts=XPUExperts,bit=activation swiglustep")
        self.assertEqual(code, 1)
        self.assertTrue(out.startswith("SURVIVED: MF-29"), out)
        for words, valid in (("MF-99", "MF-31"), ("MF-29", "TritonExperts"),
                             ("MF-29:experts=XPUExperts", "activation gelu"),
                             ("MF-31", "use_ag_rs_all2all_kernels"), ("MF-30:bit=x", "none")):
            self.assertIn(valid, self.refused("--fault", words))
        self.assertIn("describes one", self.refused("--fault", "MF-30", "--quant", "none"))
        self.assertIn("moebius run PACK --fault MF-42", self.refused("--fault", "MF-42"))

    def test_a_run_says_where_the_oracles_faults_are_seeded(self):
        _, listed, _ = self.run_it("list", "faults")
        for name in ("MF-29", "MF-30", "MF-31"):
            code, out, err = self.run_it("run", "smoke", "--fault", name)
            self.assertEqual((code, out), (2, ""))
            self.assertIn(f"fault {name} is of the oracles, which no run asks", err)
            example = err.split("moebius oracle --fault ")[1].split()[0]
            self.assertTrue(example.startswith(name), err)
            line = next(line for line in listed.splitlines() if line.startswith(name + ": "))
            self.assertIn(f"moebius oracle --fault {example}", line)
            code, out, err = self.run_it("oracle", "--quiet", "--fault", example)
            self.assertEqual(code, 1, err)
            self.assertIn("ORACLE caught " + name, out)

    def test_list_experts(self):
        code, out, err = self.run_it("list", "experts", "--json", "-")
        self.assertEqual(code, 0, err)
        rows = {row["name"]: row for row in map(json.loads, out.splitlines())}
        self.assertTrue(rows["TritonExperts"]["available"])
        self.assertIn("oracles: unquantized, fp8, int8", rows["TritonExperts"]["about"])
        self.assertIn("predicates raise", rows["TritonWNA16Experts"]["reason"])
        code, out, _ = self.run_it("list", "experts", "--profile", "late-2026")
        self.assertIn("HpcExperts: ", out)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
