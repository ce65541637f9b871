#!/usr/bin/python3
"""golden/oracle.py, world.py and make_golden.py against hand-written numbers and slow loops.

The literals marked with P stand in tests/unit/golden/golden_oracle_test.cc, too. The loops below
share no line with what they test.
"""

import contextlib
import io
import json
import struct
import sys
import tempfile
import unittest
import unittest.mock
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "golden"))
import make_golden  # noqa: E402
import numpy  # noqa: E402
import oracle  # noqa: E402
import world  # noqa: E402
import xxhash  # noqa: E402

FULL = 2 ** 64 - 1


def slow_mix(seed, *indices):
    z = 0
    for index in (seed, *indices):
        z = ((z ^ index) + 0x9E3779B97F4A7C15) & FULL
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & FULL
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & FULL
        z ^= z >> 31
    return z


def slow_row(kernel, sizes, place, ids):
    """One token's output; sizes: experts, hidden, intermediate; place: seed, layer, t."""
    (num_experts, hidden, intermediate), (seed, layer, t) = sizes, place
    row = [0] * hidden
    for slot, expert in enumerate(ids):
        for h in range(hidden):
            if expert == -1:
                continue
            e = layer * num_experts + expert
            value = 1 if slow_mix(seed, e, h) % 2 == 0 else -1
            if kernel == "probe":
                value *= slow_mix(seed, 1, layer, t, h) % 17 - 8
            else:
                source = slow_mix(seed, 3, e, slow_mix(seed, 4, e, h) % intermediate) % hidden
                value *= (slow_mix(seed, 1, layer, t, source) % 3) ** 2
            row[h] += value * (1 + slow_mix(seed, 2, layer, t, slot) % 2)
    return row


def slow_digest(rows, pack):
    return xxhash.xxh64(b"".join(pack(value) for row in rows for value in row)).hexdigest()


def bf16(value):
    return struct.pack("<f", value)[2:]


def write_trace(path, ids, num_tokens, **changed):
    """A trace of 5 experts, hidden 6, intermediate 3; ids [tokens][layers][top_k]."""
    layers, top_k = len(ids[0]), len(ids[0][0])
    metadata = {"format": "moe-routing-trace/1", "dp_size": str(len(num_tokens[0])),
                "steps": str(len(num_tokens)), "num_layers": str(layers), "num_experts": "5",
                "top_k": str(top_k), "hidden_size": "6", "moe_intermediate_size": "3",
                "scoring": "softmax", "renormalize": "true", "num_shared_experts": "0", **changed}
    flat = [e for token in ids for layer in token for e in layer]
    counts = [n for step in num_tokens for n in step]
    parts = {"topk_ids": ("I16", [len(ids), layers, top_k], struct.pack(f"<{len(flat)}h", *flat)),
             "topk_weights": ("F32", [len(ids), layers, top_k],
                              struct.pack(f"<{len(flat)}f", *[0.5] * len(flat))),
             "num_tokens": ("I32", [len(num_tokens), len(num_tokens[0])],
                            struct.pack(f"<{len(counts)}i", *counts))}
    header, body = {"__metadata__": metadata}, b""
    for name, (dtype, shape, data) in parts.items():
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


class MixTest(unittest.TestCase):
    def test_numbers_of_the_contract(self):
        self.assertEqual(int(oracle.mix(0)), 0xE220A8397B1DCDAF)  # P
        with numpy.errstate(over="ignore"):
            second = oracle.splitmix64(numpy.uint64(0x9E3779B97F4A7C15))
        self.assertEqual(int(second), 0x6E789E6AA1B965F4)  # P
        self.assertEqual(int(oracle.mix(1)), 0x910A2DEC89025CC1)  # P
        self.assertEqual(int(oracle.mix(1, 1, 0, 0, 0)), 0x0B55DCAB4E1ED522)  # P
        self.assertEqual(int(oracle.mix(7, 3, 2)), 0x09473A693C473A79)  # P
        self.assertEqual(int(oracle.mix(FULL, 2 ** 40, 5)), 0x036BE17769E4B409)  # P

    def test_arrays_are_the_single_numbers(self):
        table = oracle.mix(9, 4, numpy.arange(5)[:, None], numpy.arange(3))
        self.assertEqual(table.tolist(), [[slow_mix(9, 4, a, b) for b in range(3)]
                                          for a in range(5)])


class WorldNumbersTest(unittest.TestCase):
    def test_inputs(self):
        tokens = numpy.arange(3)
        probe = oracle.Experts("probe", 1, 2, 6, 0)
        self.assertEqual(oracle.hidden_states(probe, 0, tokens).tolist(),
                         [[1, 5, 1, -4, -1, 0], [-2, -1, 1, -4, -5, 0], [8, 4, 8, -1, -4, -7]])
        gemm = oracle.Experts("exact_gemm", 1, 2, 6, 3)
        self.assertEqual(oracle.hidden_states(gemm, 2, tokens).tolist(),
                         [[2, 2, 1, 2, 0, 0], [1, 2, 1, 0, 1, 0], [0, 2, 0, 1, 2, 2]])
        self.assertEqual(oracle.topk_weights(1, 0, tokens, 4).tolist(),
                         [[1, 1, 1, 2], [1, 1, 2, 1], [2, 1, 2, 1]])

    def test_probe_by_hand(self):
        # e0 has the signs - - - +, e1 - + - +; token 0 is 1 5 1 -4 with weights 1 1, token 2 is
        # 8 4 8 -1 with weights 2 1.
        probe = oracle.Experts("probe", 1, 2, 4, 0)
        rows = oracle.expected_rows(probe, 0, numpy.array([0, 2]), numpy.array([[0, 1], [1, -1]]))
        self.assertEqual(rows.tolist(), [[-2, 0, -2, -8], [-16, 8, -16, -2]])

    def test_exact_gemm_by_hand(self):
        # Sources: e0 2 0 2 2, e1 2 3 2 2, as in golden_oracle_test.cc.
        gemm = oracle.Experts("exact_gemm", 1, 2, 4, 3)
        self.assertEqual(oracle.expert_columns(gemm, 0)[0].tolist(), [2, 0, 2, 2])
        self.assertEqual(oracle.expert_columns(gemm, 1)[0].tolist(), [2, 3, 2, 2])
        self.assertEqual(oracle.expert_columns(gemm, 0)[1].tolist(), [-1, -1, -1, 1])

    def test_pinned_world(self):
        for kernel, pinned in (("probe", "a82aa15bfd565a8e"),       # P
                               ("exact_gemm", "aa08b45c1a6a69ef")):  # P
            ids = [[-1 if (t + 2 * slot) % 7 == 0 else (t + slot) % 5 for slot in range(3)]
                   for t in range(16)]
            slow = [slow_row(kernel, (5, 20, 7), (11, 2, t), ids[t]) for t in range(16)]
            self.assertEqual(slow_digest(slow, bf16), pinned)
            rows = oracle.expected_rows(oracle.Experts(kernel, 11, 5, 20, 7), 2, numpy.arange(16),
                                        numpy.array(ids))
            self.assertEqual(rows.tolist(), slow)
            self.assertEqual(oracle.digest(oracle.encoded(rows, "bf16")), pinned)

    def test_output_types(self):
        rows = numpy.array([[-9, 8, 0, 15], [-2, 4, -6, 8]])
        for dtype, digest in (("bf16", "8af39438a6a7216e"), ("f32", "5d9e6289ad13673b"),
                              ("f16", "eb951cada29a2e99")):
            self.assertEqual(oracle.digest(oracle.encoded(rows, dtype)), digest)
        for dtype, largest in (("bf16", 256), ("f16", 2048), ("f32", 2 ** 24)):
            oracle.encoded(numpy.array([[largest, -largest]]), dtype)
            with self.assertRaisesRegex(ValueError, f"{dtype} does not hold .* {largest + 1}"):
                oracle.encoded(numpy.array([[largest + 1]]), dtype)
        with self.assertRaises(ValueError):
            oracle.encoded(numpy.array([[2 ** 17]]), "f16")


class RoutingTest(unittest.TestCase):
    """Seed 7, layer 1, five experts. mix(7, 5, 1, t, d) % 5 for d = 0, 1, …:
    t 0: 3 3 0 2 0 2 2 0; t 1: 1 4 4 1 1 4 4 0; t 2: 3 4 4 4 4 3 0 4; t 3: 4 2 0 0 3 3 3 1."""

    tokens = numpy.arange(4)

    def test_uniform(self):
        self.assertEqual(oracle.uniform(oracle.Draws(7, 5, 3), 1, self.tokens).tolist(),
                         [[3, 0, 2], [1, 4, 0], [3, 4, 0], [4, 2, 0]])
        self.assertEqual(oracle.uniform(oracle.Draws(7, 5, 3), 1, numpy.array([2])).tolist(),
                         [[3, 4, 0]])
        everyone = oracle.uniform(oracle.Draws(7, 5, 5), 1, self.tokens)
        self.assertEqual(numpy.sort(everyone).tolist(), [[0, 1, 2, 3, 4]] * 4)

    def test_one_hot_expert(self):
        self.assertEqual(oracle.one_hot_expert(oracle.Draws(7, 5, 3), 1, self.tokens, 3).tolist(),
                         [[3, 0, 2], [3, 1, 4], [3, 4, 0], [3, 4, 2]])

    def test_masked(self):
        # The coins of slots 0 to 2: 0.33 0.42 0.57, 0.04 0.74 0.67, 0.31 0.44 0.99, 0.08 0.91 0.37.
        self.assertEqual(oracle.masked(oracle.Draws(7, 5, 3), 1, self.tokens, 0.4).tolist(),
                         [[-1, 0, 2], [-1, 4, 0], [-1, 4, 0], [-1, 2, -1]])

    def test_skewed(self):
        # Three experts of 1, 1.5, 1.83…; the first coins are 0.794 0.832, 0.923 0.755, 0.756 0.284.
        self.assertEqual(oracle.skewed(oracle.Draws(7, 3, 2), 1, self.tokens[:3], 1.0).tolist(),
                         [[1, 2], [2, 1], [1, 0]])
        self.assertEqual(oracle.skewed(oracle.Draws(7, 5, 3), 1, self.tokens[:1], 100).tolist(),
                         [[0, 1, 2]])  # only expert 0 is ever drawn, the rest is filled

    def test_skewed_takes_the_first_above(self):
        quarter = numpy.array([0.25])  # u is c_0 of 1, 2, 3, 4
        with unittest.mock.patch("oracle.unit", return_value=quarter):
            one = oracle.skewed(oracle.Draws(7, 4, 1), 1, self.tokens[:1], 0)
        self.assertEqual(one.tolist(), [[1]])

    def test_hot_rank(self):
        # Rank 1 of 2 owns 3 and 4. t 1: coin 0.92 is cold, pick % 5 = 4; 0.04 is hot, pick even.
        owned = oracle.experts_of_rank(5, 2, 1)
        self.assertEqual(owned, (3, 2))
        self.assertEqual(oracle.experts_of_rank(7, 3, 0), (0, 3))
        self.assertEqual(oracle.experts_of_rank(7, 3, 2), (5, 2))
        draws = oracle.Draws(7, 5, 2)
        self.assertEqual(oracle.hot_rank(draws, 1, self.tokens[1:2], owned, 0.8).tolist(), [[4, 3]])
        # Only hot: picks 1, 3, 5 of t 1 are even even odd, those of t 2 all odd; then the lowest.
        three = oracle.Draws(7, 5, 3)
        self.assertEqual(oracle.hot_rank(three, 1, self.tokens[1:3], owned, 1.0).tolist(),
                         [[3, 4, 0], [4, 3, 0]])

    def test_ids_repeat(self):
        self.assertEqual(oracle.repeated_ids([[0, 1], [2, -1]], numpy.array([4, 5, 6])).tolist(),
                         [[0, 1], [2, -1], [0, 1]])


class TreeCase(unittest.TestCase):
    """A folder with scenarios/ and golden/ of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name).resolve()
        (self.root / "scenarios/sub").mkdir(parents=True)

    def write(self, text, name="sub/small"):
        path = self.root / "scenarios" / f"{name}.yaml"
        path.write_text(f"name: {name}\n{text}\n", encoding="utf-8")
        return path

    def golden(self, text):
        return make_golden.golden_of(self.write(text), self.root / "scenarios")

    def main(self, *arguments):
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = make_golden.main([*map(str, arguments)], self.root)
        return code, out.getvalue()


class GoldenTest(TreeCase):
    def test_generated_world_is_the_loops(self):
        for kernel in ("probe", "exact_gemm"):
            golden = self.golden("seed: 4\nsteps: [[2, 0], [1, 3]]\nworld: {dp: 2}\n"
                                 "routing: {ids: [[0, 2], [-1, 1], [2, -1]]}\nmodel: {experts: 3, "
                                 "top_k: 2, hidden: 70, intermediate: 5, layers: 2, dtype: f32, "
                                 f"kernel: {kernel}}}")
            ids = [[0, 2], [-1, 1], [2, -1]]
            cells = {(0, 0): [0, 1], (0, 1): [], (1, 0): [2], (1, 1): [3, 4, 5]}
            self.assertEqual([step["tokens"] for step in golden["steps"]], [[2, 0], [1, 3]])
            kept = {(c["step"], c["layer"], c["rank"]): c["rows"] for c in golden["stored"]}
            self.assertEqual(len(kept), 6)  # both layers of the three cells that have rows
            for (step, rank), tokens in cells.items():
                for layer in range(2):
                    rows = [slow_row(kernel, (3, 70, 5), (4, layer, t), ids[t % 3]) for t in tokens]
                    self.assertEqual(golden["steps"][step]["digests"][layer][rank],
                                     slow_digest(rows, lambda value: struct.pack("<f", value)))
                    due = [{"token": i, "values": row[:64]} for i, row in enumerate(rows)]
                    self.assertEqual(kept.get((step, layer, rank), []), due)

    def trace_golden(self, more, **changed):
        ids = [[[t % 5, (t + 2) % 5], [(t + 1) % 5, -1], [4, t % 4]] for t in range(9)]
        write_trace(self.root / "scenarios/t.safetensors", ids,
                    [[1, 0, 2, 0], [1, 1, 0, 1], [0, 3, 0, 0]], **changed)
        return ids, self.golden(more)

    def test_trace_world_is_the_loops(self):
        ids, golden = self.trace_golden("world: {dp: 2}\nrouting: {trace: t.safetensors, "
                                        "layers: [1, 3], steps: [1, 3]}")
        self.assertEqual([step["tokens"] for step in golden["steps"]], [[2, 1], [3, 0]])
        cells = {(0, 0): [3, 4], (0, 1): [5], (1, 0): [6, 7, 8], (1, 1): []}
        for (step, rank), tokens in cells.items():
            for layer in (1, 2):
                rows = [slow_row("probe", (5, 6, 3), (1, layer, t), ids[t][layer]) for t in tokens]
                self.assertEqual(golden["steps"][step]["digests"][layer - 1][rank],
                                 slow_digest(rows, bf16))
        for step, tokens in ((0, [3, 4, 5]), (1, [6, 7, 8])):
            rows = [ids[t][layer] for t in tokens for layer in (1, 2)]
            self.assertEqual(golden["steps"][step]["routing"],
                             slow_digest(rows, lambda e: struct.pack("<h", e)))

    def test_trace_ranges(self):
        _, whole = self.trace_golden("routing: {trace: t.safetensors}")
        self.assertEqual(len(whole["steps"]), 3)
        self.assertEqual([len(step["digests"]) for step in whole["steps"]], [3, 3, 3])
        _, top = self.trace_golden("steps: [1, 2]\nrouting: {trace: t.safetensors, layers: 1}")
        self.assertEqual(top["steps"][0]["digests"], whole["steps"][1]["digests"][:1])
        for more, why in (("world: {dp: 3}\nrouting: {trace: t.safetensors}", r"\[1, 2, 4\]"),
                          ("routing: {trace: t.safetensors, steps: [0, 4]}", "the trace has 3"),
                          ("routing: {trace: t.safetensors, layers: 4}", "the trace has 3"),
                          ("model: {top_k: 1}\nrouting: {trace: t.safetensors}", "trace says 2"),
                          ("routing: {trace: t.safetensors, seed: 1}", "unknown"),
                          ("routing: {trace: no.safetensors}", "no.safetensors")):
            with self.assertRaisesRegex(world.ScenarioError, why):
                self.trace_golden(more)

    def test_broken_traces_are_refused(self):
        plain = "routing: {trace: t.safetensors}"
        for changed, why in (({"format": "moe-routing-trace/2"}, "moe-routing-trace/2"),
                             ({"num_experts": "4"}, "outside"), ({"steps": "4"}, "fit"),
                             ({"num_shared_experts": "-1"}, "shared_experts")):
            with self.assertRaisesRegex(world.ScenarioError, why):
                self.trace_golden(plain, **changed)
        path = self.root / "scenarios/t.safetensors"
        write_trace(path, [[[1, 1]]], [[1]])
        with self.assertRaisesRegex(world.ScenarioError, "twice"):
            self.golden(plain)
        write_trace(path, [[[1, 2]]], [[1]])
        whole = path.read_bytes()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            with self.assertRaises(world.ScenarioError, msg=length):
                self.golden(plain)

    def test_what_is_not_understood_is_refused(self):
        good = ("model: {experts: 2, top_k: 1, hidden: 2}", "steps: [[1]]", "routing: {seed: 3}")
        self.golden("\n".join(good))
        for place, bad in ((0, "model: {experts: 2, top_k: 3, hidden: 2}"), (0, ""),
                           (0, "model: {experts: 2, top_k: 1, hidden: 2, scale: -2.5}"),
                           (0, "model: {experts: 2, top_k: 1, hidden: 2, quantization: fp8}"),
                           (0, "model: {experts: 2, top_k: 1, hidden: 2, kernel: exact_gemm}"),
                           (0, "model: {experts: 2, top_k: true, hidden: 2}"),
                           (0, "model: {experts: 2, top_k: 1, hidden: 2, depth: 3}"),
                           (1, "steps: [[1, 2]]"), (1, "steps: [[-1]]"), (1, ""),
                           (2, "routing: {logits: {spread: 0}}"), (2, "routing: {skewed: {}}"),
                           (2, "routing: {skewed: {exponent: 1}, uniform: {}}"),
                           (2, "routing: {ids: [[2]]}"),
                           (2, "routing: {one_hot_expert: {expert: 2}}"),
                           (2, "routing: {masked: {share: 2}}"), (2, "sed: 1"), (2, "values: rael"),
                           (2, "routing: {hot_rank: {rank: 1, share: 0.5}}"), (2, "world: {pp: 0}"),
                           (2, "seed: 1\nseed: 2"), (2, "name: other")):
            lines = [*good]
            lines[place] = bad
            with self.assertRaises(world.ScenarioError, msg=bad):
                self.golden("\n".join(lines))


class MakeGoldenTest(TreeCase):
    small = "model: {experts: 3, top_k: 2, hidden: 4}\nsteps: [[20], [1]]"

    def test_write_and_check(self):
        path = self.write(self.small)
        self.write("expect: {error: {kind: scenario, text: no}}\nsteps: nonsense", "refused")
        self.assertEqual(self.main("--check")[0], 1)
        self.assertEqual(self.main(), (0, "goldens: 1 written, 0 differences\n"))
        self.assertEqual(self.main("--check", path)[0], 0)
        target = self.root / "golden/data/sub/small.golden.json"
        text = target.read_text()
        self.assertEqual([row["token"] for row in json.loads(text)["stored"][0]["rows"]],
                         [i * 19 // 15 for i in range(16)])
        self.assertNotIn(" ", text.replace("oracle.py 1", ""))
        digest = json.loads(text)["steps"][1]["digests"][0][0]
        for old, new, why in ((digest, digest[::-1], "steps[1].digests[0][0]"),
                              ('"token":19', '"token":18', "stored[0].rows[15].token"),
                              ('"tokens":[1]', '"tokens":[1,0]', "length of steps[1].tokens"),
                              ('"generator"', '"author"', "generator"),
                              (",\n", ", ", "other text"), ("}", "", "cannot be read")):
            target.write_text(text.replace(old, new, 1))
            code, said = self.main("--check")
            self.assertEqual(code, 1)
            self.assertIn(why, said)
        target.write_text(text)
        self.write(self.small + "\nwhy: changed")
        self.assertIn("scenario_sha256", self.main("--check")[1])

    def test_bad_input_is_exit_2(self):
        self.assertEqual(self.main(self.root / "elsewhere.yaml")[0], 2)
        self.write(self.small.replace("2", "9"))
        code, said = self.main()
        self.assertEqual(code, 2)
        self.assertIn("top_k 9 of 3 experts", said)

    def test_size_limit(self):
        step = str([0] * 31 + [1])
        self.write("world: {dp: 32}\nmodel: {experts: 1, top_k: 1, hidden: 1}\n"
                   f"steps: [{', '.join([step] * 400)}]")
        code, said = self.main()
        self.assertEqual(code, 2)
        self.assertIn("the limit is 200000", said)
        self.assertFalse((self.root / "golden").exists())

    def test_stored_cells_are_spread(self):
        tokens = numpy.ones((10, 2), numpy.int64)
        tokens[0, 0] = 0
        cells = sorted(make_golden.stored_cells(tokens, 3))
        self.assertEqual((len(cells), cells[0], cells[-1]), (8, (0, 0, 1), (9, 2, 1)))


if __name__ == "__main__":
    unittest.main()
