#!/usr/bin/python3
"""explain_test.py MOEBIUS: the teaching view as a student reads it.

That the numbers are the layer's is tests/property/explain_test.cc; here: the sums on the page add
up, the defaults show something, and every line fits.
"""

import re
import sys
import unittest

import numpy
from program import ROOT, Program, TRACE

sys.path.insert(0, str(ROOT / "golden"))
import oracle  # noqa: E402
import quantise  # noqa: E402
import real  # noqa: E402
import requantise  # noqa: E402
import schemes  # noqa: E402

LABEL = slice(3, 47)
NUMBERS = slice(47, None)


class Explain(Program):
    def explained(self, *words):
        code, out, err = self.run_it("explain", *words)
        self.assertEqual(code, 0, err)
        for line in out.splitlines():
            self.assertLessEqual(len(line), 100, line)
        return out

    def rows(self, out, label):
        """The numbers of every row whose label starts like this."""
        return [[float(word) for word in line[NUMBERS].split()] for line in out.splitlines()
                if line[LABEL].startswith(label)]

    def added(self, rows):
        return [sum(column) for column in zip(*rows)]

    def test_the_sums_on_the_page_add_up(self):
        out = self.explained("smoke/two-ranks", "--token", "3")
        output = self.rows(out, "output")
        self.assertEqual(len(output), 1)
        self.assertEqual(len(output[0]), 4)
        self.assertEqual(self.added(self.rows(out, "partial row of rank")), output[0])
        terms = [row for row in out.splitlines() if " x E" in row]
        self.assertEqual(len(terms), 2)  # top_k
        self.assertEqual(self.added([[float(word) for word in term[NUMBERS].split()]
                                     for term in terms]), output[0])
        self.assertIn("says the same in all 64 columns", out)
        self.assertIn("token 3 of rank 0 in step 0, layer 0", out)

    def test_codes_and_scales_are_the_judge_s(self):
        out = self.explained("quantized/fp8-block128-real", "--token", "1", "--step", "1",
                             "--layer", "0", "--rank", "1")
        experts = oracle.Experts("real", 1, 8, 200, 144, quantisation=schemes.quantisation_of(
            "fp8_block128"))
        tokens = real.hidden_states(experts, 0, numpy.array([16 + 1 + 1]))
        expert = int(re.search(r"comes to expert (\d+) as codes", out)[1])
        w2 = real.matrix(experts, oracle.W2, expert, range(200), 144)
        a = real.held(real.between_products(experts, expert, tokens).value, "bf16")
        tables = [("fp8_block128", tokens, "x"), ("fp8_block128x128", w2, "w"),
                  ("fp8_block128", a, "a")]
        codes = [line[NUMBERS].split() for line in out.splitlines()
                 if line[LABEL].startswith("  codes")]
        self.assertEqual(len(codes), 3)
        for i, (recipe, values, name) in enumerate(tables):
            rows, columns, _, function = quantise.RECIPES[recipe]
            scales, due, _ = function(quantise.Blocks(values.astype("f4"), rows, columns,
                                                      quantise.Order()))
            numbers = requantise.numbers(recipe, values, quantise.Order())
            self.assertEqual([int(word, 16) for word in codes[i]], due[0, :4].tolist())
            for label, expected in ((name, values), ("  their scales", scales[:, [0] * 4]),
                                    (f"  number x scale: {name}", numbers)):
                found = [line[NUMBERS].split() for line in out.splitlines()
                         if line[LABEL].rstrip() == label or line[LABEL].startswith(label + " f")]
                last = {"x": 0}.get(label, -1)  # x stands at home, too
                row = [float(word) for word in found[i if label == "  their scales" else last]]
                numpy.testing.assert_allclose(row, expected[0, :4], rtol=1e-3)

    def test_four_bits_weights_alone_and_one_scale_for_all(self):
        out = self.explained("quantized/nvfp4-real", "--token", "0")
        self.assertIn("(nvfp4: e2m1, a scale per 16 columns)", out)
        for codes in re.findall(r"  codes +(.*)", out):
            for word in codes.split():
                self.assertRegex(word, "^0x[0-9a-f]$")
        out = self.explained("quantized/weights-alone-fp8", "--token", "0")
        self.assertRegex(out, r"Expert \d's weights are codes, here of W2 \(fp8_channel")
        self.assertNotIn("comes to expert", out)
        self.assertNotIn("once more", out)
        out = self.explained("quantized/fp8-dynamic-real", "--token", "0")
        self.assertIn("one scale for all of them", out)
        out = self.explained("quantized/fp8-block128", "--token", "0")
        self.assertIn("this exact world's numbers survive their codes", out)
        self.assertNotIn("So are its weights", out)

    def test_a_backend_that_moves_nothing(self):
        out = self.explained("smoke/one-rank", "--token", "0")
        self.assertIn("moves nothing", out)
        self.assertEqual(len(self.rows(out, "output")), 1)

    def test_the_worked_example_sends_as_each_backend_does(self):
        # distribution-layer.md, 9.0: rows on the wire 0 -> 1 and 1 -> 0
        wire = {"allgather_reducescatter": (3, 2), "naive": (3, 2), "deepep_low_latency": (3, 1),
                "nixl_ep": (3, 1), "pplx": (3, 1), "deepep_high_throughput": (2, 1),
                "flashinfer_nvlink_two_sided": (2, 1), "flashinfer_nvlink_one_sided": (2, 1),
                "mori_high_throughput": (2, 1), "mori_low_latency": (2, 1)}
        for run in range(len(wire)):
            out = self.explained("backends/worked-example", "--run", str(run), "--step", "0")
            backend, = re.findall(r"decided by the backend (\w+)\.", out)
            there, back = wire.pop(backend)
            self.assertRegex(out, rf"from rank 0 +\(\d\) +{there} +{there}\n", backend)
            self.assertRegex(out, rf"from rank 1 +{back} +\(\d\) +{back}\n", backend)
        self.assertEqual(wire, {})

    def test_sources_that_weight_add_slots_and_owners_that_weight_add_ranks(self):
        for scenario in ("backends/worked-example", "backends/four-ranks"):
            for run in range(9):
                out = self.explained(scenario, "--run", str(run), "--token", "0")
                terms = [[float(word) for word in line[NUMBERS].split()]
                         for line in out.splitlines() if " x E" in line]
                output = self.rows(out, "output")[-1]
                self.assertEqual(self.added(terms), output, out)
                weighs = "latency.\n" in out or "nixl" in out or "pplx" in out
                is_source = weighs and "mori" not in out
                self.assertEqual("the weights stay at home" in out, is_source, out)
                self.assertEqual("(fma)" in out, is_source, out)
                self.assertEqual("partial row of rank" in out, not is_source, out)

    def test_long_rooms_are_broken_after_a_comma(self):
        out = self.explained("backends/sequence-parallel", "--run", "2", "--step", "0")
        lines = out.splitlines()
        at = next(i for i, line in enumerate(lines) if line.endswith(","))
        self.assertRegex(lines[at], "room of expert [0-9]+ +token")
        self.assertRegex(lines[at + 1], "^ +token [0-9]+ from rank")

    def test_a_backend_of_two_names_is_told_under_the_one_that_was_said(self):
        path = self.folder / "scenarios/smoke/two-ranks.yaml"
        said = re.sub(r"runs:\n.*", "runs:\n  - {backend: mori, communicator: local, "
                      "platform: rocm}\n", path.read_text(), flags=re.DOTALL)
        path.write_text(said)
        self.assertIn("the backend mori.", self.explained("smoke/two-ranks", "--token", "0"))

    def test_a_trace_starts_where_its_first_tokens_are(self):
        out = self.explained(TRACE, "--token", "0")
        self.assertIn("token 0 of rank 1 in step 0, layer 0", out)
        out = self.explained(TRACE, "--rank", "0", "--token", "0", "--layer", "5")
        self.assertRegex(out, "token 0 of rank 0 in step [1-9][0-9]*, layer 5")

    def test_a_step_shows_idle_ranks_rows_and_loads(self):
        out = self.explained("smoke/two-ranks", "--step", "0")
        self.assertRegex(out, "rank 1 +0 tokens: idle")
        self.assertRegex(out, r"from rank 0 +\(5\) +5 +5\n")
        self.assertRegex(out, r"from rank 1 +0 +\(0\) +0\n")
        self.assertIn("10 in all", out)
        self.assertIn("--token 0", out)
        self.assertNotIn("The token at home", out)

    def test_every_scenario_is_told_or_refused_with_words(self):
        told = 0
        for path in sorted((self.folder / "scenarios").rglob("*.yaml")):
            if "tags: [full" in path.read_text():
                continue  # whole traces, of which others are cuts
            name = path.relative_to(self.folder / "scenarios").with_suffix("").as_posix()
            code, out, err = self.run_it("explain", name)
            self.assertIn(code, (0, 2), f"{name}: {err}")
            self.assertIn("explain" if code else "The token at home", err if code else out, name)
            for line in out.splitlines():
                self.assertLessEqual(len(line), 100, f"{name}: {line}")
            told += code == 0
        self.assertGreater(told, 60)

    def test_without_options_both(self):
        out = self.explained("smoke/two-ranks")
        self.assertIn("Tokens at home", out)
        self.assertIn("The token at home", out)

    def test_a_line_that_reproduces_a_defect_or_goes_in_chunks_is_not_told_as_healthy(self):
        path = self.folder / "scenarios/smoke/defect.yaml"
        world = ("name: smoke/defect\nwhy: x\nworld: {dp: 2, tp: %d}\nsteps: [[300, 3]]\nruns:\n"
                 "  - {backend: naive, profile: pre-33724}\n"
                 "  - {backend: naive, profile: v0.9}\n  - {backend: pplx, profile: v0.9}\n")
        for tp, run, said in ((2, "0", "this line reproduces a defect"), (1, "0", ""),
                              (2, "1", ""), (1, "2", "step 0 is 2 calls of at most 256 rows")):
            path.write_text(world % tp)
            code, _, err = self.run_it("explain", "smoke/defect", "--run", run)
            self.assertEqual(code, 2 if said else 0, (tp, run, err))
            self.assertIn(said, err)
        path.write_text(world % 2)
        out = self.explained("smoke/defect", "--run", "1", "--step", "0")
        self.assertIn("DP rank 1,   ranks 2 to 3        3 tokens", out)
        self.assertIn("One token's way (--rank counts DP ranks):\nmoebius explain smoke/", out)
        out = self.explained("smoke/defect", "--run", "1", "--rank", "1")
        self.assertIn("token 0 of DP rank 1 in step 0", out)
        path.unlink()

    def test_what_is_not_there_is_refused(self):
        for words, said in ((["smoke/two-ranks", "--step", "3"], "steps 0 to 2"),
                            (["smoke/two-ranks", "--layer", "1"], "layers 0 to 0"),
                            (["smoke/two-ranks", "--rank", "2"], "0 to 1"),
                            (["smoke/two-ranks", "--run", "9"], "run lines 0 to 4"),
                            (["smoke/two-ranks", "--step", "0", "--token", "5"], "5, 0"),
                            (["smoke/two-ranks", "--token", "-1"], "--token -1"),
                            (["smoke/two-ranks", "--rank", "0", "--step", "0", "--token", "5"],
                             "DP rank 0 does not hold so many tokens in step 0"),
                            (["smoke"], "one scenario"), ([], "which scenario"),
                            (["regression/pcp-beside-dp-refused"], "it expects to end with 'PCP"),
                            (["smoke/two-rank"], "smoke/two-ranks")):
            code, out, err = self.run_it("explain", *words)
            self.assertEqual((code, out), (2, ""), words)
            self.assertIn(said, err)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
