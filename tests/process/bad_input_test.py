#!/usr/bin/python3
"""bad_input_test.py MOEBIUS: what the program says to input that cannot be.

Every case ends with exit code 2 and one sentence that names the file, the place in it and what
would be right; standard output is empty or whole JSON, and no process is left. Each bad file is a
good one with one thing changed, and the good one passes.
"""

import json
import struct
import sys
import unittest

import numpy
from program import Program, TRACE

SMALL = """name: bad/small
why: "a small world to break"
world: {dp: 2}
model: {experts: 4, top_k: 2, hidden: 16, intermediate: 16}
routing: {uniform: {}, seed: 1}
steps: [[3, 2]]
runs:
  - {backend: allgather_reducescatter, communicator: local}
"""


class Safetensors:
    """A routing trace of 2 ranks, 3 steps, 2 layers, top-2 of 4 experts, whose every part may be
    changed before it becomes bytes."""

    def __init__(self):
        self.counts = numpy.array([[1, 2], [0, 1], [1, 0]], "<i4")
        tokens = int(self.counts.sum())
        self.tensors = {
            "topk_ids": numpy.tile(numpy.array([[0, 1], [3, 2]], "<i2"), (tokens, 1, 1)),
            "topk_weights": numpy.full((tokens, 2, 2), 0.5, "<f4"),
            "num_tokens": self.counts,
            "request_id": numpy.zeros(tokens, "<i4"),
            "position": numpy.arange(tokens, dtype="<i4"),
            "phase": numpy.ones(tokens, "u1")}
        self.metadata = {
            "format": "moe-routing-trace/1", "model": "made", "dp_size": "2", "steps": "3",
            "num_layers": "2", "num_experts": "4", "top_k": "2", "hidden_size": "16",
            "moe_intermediate_size": "16", "scoring": "softmax", "renormalize": "true",
            "num_expert_group": "1", "topk_group": "1", "routed_scaling_factor": "1.0",
            "num_shared_experts": "0", "max_num_batched_tokens": "256"}
        self.dtypes = {"topk_ids": "I16", "topk_weights": "F32", "num_tokens": "I32",
                       "request_id": "I32", "position": "I32", "phase": "U8"}
        self.entries = {}  # of the header, in the place of the true ones
        self.words = None  # the header, in the place of the true one
        self.length = None  # of the header, in the place of the true one

    def data(self):
        header = {"__metadata__": self.metadata}
        body = b""
        for name, values in self.tensors.items():
            raw = numpy.ascontiguousarray(values).tobytes()
            header[name] = {"dtype": self.dtypes[name], "shape": list(values.shape),
                            "data_offsets": [len(body), len(body) + len(raw)]}
            header[name].update(self.entries.get(name, {}))
            body += raw
        words = json.dumps(header).encode() if self.words is None else self.words
        length = len(words) if self.length is None else self.length
        return struct.pack("<Q", length) + words + body


class BadInput(Program):
    def setUp(self):
        super().setUp()
        self.write("scenarios/bad/small.yaml", SMALL)


class Traces(BadInput):
    def refuse(self, change, *parts):
        trace = Safetensors()
        change(trace)
        path = self.write("t.safetensors", trace.data())
        for more in ((), ("smoke/two-ranks",)):
            self.refused(("run", *more, "--trace", path), path, *parts)

    def test_numbers_that_are_none_and_doubled_faults_are_refused_with_what_would_do(self):
        for words, said in ((["--jobs", "x"], "--jobs: 'x' is not a whole number, 1 to 256"),
                            (["--deadline", "2s"], "--deadline: '2s' is not a whole number, 1 to"),
                            (["--worlds", "1e3"], "--worlds: '1e3' is not a whole number, 1 to"),
                            (["--delay", "0"], "--delay: 0 ms is no delay"),
                            (["--delay", "1ms"], "--delay: '1ms' is not a whole number, 1 to"),
                            (["--delay", "2", "--deadline", "2"],
                             "--delay 2: the deadline of 2 ms ends first (--deadline)"),
                            (["--line", "two"], "--line: 'two' is not a whole number"),
                            (["--fault", "MF-42", "--fault", "MF-42:rank=1"],
                             "--fault MF-42:rank=1: MF-42 is seeded already")):
            code, out, err = self.run_it("run", "smoke/two-ranks", *words)
            self.assertEqual((code, out), (2, ""), words)
            self.assertIn(said, err)

    def test_backends_that_cannot_take_a_trace_are_not_left_out_in_silence(self):
        trace = ["run", "--trace", "scenarios/traces/mixtral-style-e8k2.dev.safetensors"]
        for backend, said in (("no_ep", "moves nothing between DP ranks and needs world.dp 1"),
                              ("deepep_v2", "it is not emulated yet"),
                              ("deepep_low_latenc", "did you mean 'deepep_low_latency'")):
            code, out, err = self.run_it(*trace, "--backend", f"allgather_reducescatter,{backend}")
            self.assertEqual((code, out), (2, ""), backend)
            self.assertIn(said, err)

    def test_a_backend_that_moves_nothing_is_refused_where_it_is_asked_for(self):
        path = self.write("two.yaml", b"""name: two
why: "two ranks that nothing moves between"
world: {dp: 2}
model: {experts: 8, top_k: 2, hidden: 64, intermediate: 32, layers: 1}
routing: {uniform: {}, seed: 1}
steps: [[3, 2]]
capacity: {max_num_batched_tokens: 16}
runs:
  - {backend: no_ep, communicator: local}
""")
        self.refused(("run", path), f"{path}:9:15: runs[0].backend", "needs world.dp 1, not 2")

    def test_the_unchanged_one_passes(self):
        path = self.write("t.safetensors", Safetensors().data())
        code, out, err = self.run_it("run", "--trace", path)
        self.assertEqual(code, 0, out + err)
        self.assertNotIn("FAIL", out)

    def test_files_that_are_missing_empty_or_cut(self):
        whole = Safetensors().data()
        header = struct.unpack("<Q", whole[:8])[0]
        self.refused(("run", "--trace", "none.safetensors"), "none.safetensors", "no such file")
        self.refused(("run", "--trace", str(self.folder)), str(self.folder))
        for length in (0, 1, 7, 8, 9, 8 + header // 2, 8 + header, len(whole) - 1):
            path = self.write("cut.safetensors", whole[:length])
            self.refused(("run", "--trace", path), path)
        path = self.write("cut.safetensors", whole + b"\0")
        self.refused(("run", "--trace", path), path)

    def test_headers_that_are_too_long_or_no_json(self):
        def words(value, length=None):
            def change(trace):
                trace.words = value
                trace.length = length
            return change
        self.refuse(words(None, 1 << 40), str(1 << 40))
        self.refuse(words(None, (1 << 64) - 1))
        self.refuse(words(None, 0))
        self.refuse(words(b"{"), "byte")
        self.refuse(words(b"[]"))
        self.refuse(words(b"null"))
        self.refuse(words(b"\xff\xfe{}"))
        self.refuse(words(b'{"a": 1, "a": 2}'))
        self.refuse(words(b'{"topk_ids": []}'))
        self.refuse(words(b"[" * 100000))

    def test_offsets_and_shapes_that_lie(self):
        def entry(name, **values):
            def change(trace):
                trace.entries[name] = values
            return change
        for offsets in ([-8, 40], [0, 1 << 62], [40, 0], [0, 41], [0], [0.5, 40], ["0", "40"],
                        [8, 48], [(1 << 63) - 1, (1 << 63) - 1]):
            self.refuse(entry("topk_ids", data_offsets=offsets), "topk_ids")
        self.refuse(entry("topk_ids", data_offsets=[0, (1 << 64) - 1]), str((1 << 64) - 1))
        for shape in ([-5, 2, 2], [1 << 31, 1 << 31, 1 << 31], [5, 2], [5, 4], [20], [0, 2, 2],
                      [4, 2, 2], [5, 2, 2, 1], ["5", 2, 2], [5.5, 2, 2], 5, None):
            self.refuse(entry("topk_ids", shape=shape), "topk_ids")
        for dtype in ("F16", "I64", "U16", "", "i16", 7, None):
            self.refuse(entry("topk_ids", dtype=dtype), "topk_ids")

    def test_versions_and_metadata(self):
        def metadata(key, value):
            def change(trace):
                if value is None:
                    del trace.metadata[key]
                else:
                    trace.metadata[key] = value
            return change
        self.refuse(metadata("format", "moe-routing-trace/2"), "moe-routing-trace/2",
                    "moe-routing-trace/1")
        self.refuse(metadata("format", "moe-router-logits/1"), "moe-routing-trace/1")
        self.refuse(metadata("format", None), "format")
        for key in ("dp_size", "steps", "num_layers", "num_experts", "top_k", "hidden_size"):
            for value in (None, "0", "-1", "1e3", "two", "99999999999999999999"):
                self.refuse(metadata(key, value), key)
        self.refuse(metadata("scoring", "sigmoidal"), "softmax, sigmoid")

    def test_values_that_cannot_be(self):
        def value(name, at, new):
            def change(trace):
                trace.tensors[name][at] = new
            return change
        place = "token 3, layer 1, slot 0"
        self.refuse(value("topk_ids", (3, 1, 0), 4), place, "expert 4 is outside [-1, 4)")
        self.refuse(value("topk_ids", (3, 1, 0), -2), place, "expert -2 is outside [-1, 4)")
        self.refuse(value("topk_ids", (3, 1, 1), 3), "token 3, layer 1, slot 1", "a second time")
        for weight in (numpy.nan, numpy.inf, -numpy.inf):
            self.refuse(value("topk_weights", (3, 1, 0), weight), place, "not finite")
        self.refuse(value("num_tokens", (1, 0), 1), "the counts sum to 6", "5 tokens")
        self.refuse(value("num_tokens", (1, 0), -1), "step 1, rank 0: -1 is negative")
        self.refuse(value("phase", 2, 9), "phase: token 2: 9 is neither")

    def test_worlds_that_do_not_fit_their_trace(self):
        self.write("scenarios/traces/t.safetensors", Safetensors().data())
        with_trace = SMALL.replace("routing: {uniform: {}, seed: 1}\nsteps: [[3, 2]]",
                                   "routing: {trace: traces/t.safetensors}")
        with_trace = with_trace.replace("model: {experts: 4, top_k: 2, hidden: 16, "
                                        "intermediate: 16}\n", "")
        for old, new, *parts in (
                ("world: {dp: 2}", "world: {dp: 3}", ":3:13: world.dp: 3", "possible: 1, 2"),
                ("world: {dp: 2}", "world: {dp: 2}\nmodel: {experts: 8}", ":4:18: model.experts",
                 "the trace says 4"),
                ("t.safetensors}", "t.safetensors}\nsteps: [0, 9]", ":5:8: steps",
                 "the trace has 3"),
                ("t.safetensors}", "t.safetensors, layers: [1, 3]}", "routing.layers",
                 "the trace has 2"),
                ("t.safetensors}", "tt.safetensors}", "routing.trace", "traces/t.safetensors")):
            path = self.write("scenarios/bad/small.yaml", with_trace.replace(old, new))
            self.refused(("run", "bad/small"), "bad/small.yaml", *parts)
            self.refused(("run", path, "smoke"), *parts, json_out=True)

    def test_a_merged_step_that_exceeds_the_capacity(self):
        self.write("scenarios/traces/t.safetensors", Safetensors().data())
        text = ("name: bad/small\nwhy: w\nworld: {dp: 1}\nrouting: {trace: traces/t.safetensors}\n"
                "capacity: {max_num_batched_tokens: 2}\n"
                "runs: [{backend: allgather_reducescatter}]\n")
        path = self.write("scenarios/bad/small.yaml", text)
        sentence = ("bad/small.yaml:5:36: capacity.max_num_batched_tokens: 2, but step 0: DP rank "
                    "0 has 3 tokens with the trace on dp 1")
        # Its golden comes later than its capacity.
        self.refused(("run", path, "--seed", "3"), sentence)
        self.write("scenarios/bad/small.yaml", text.replace("dp: 1", "dp: 2"))
        code, out, err = self.run_it("run", path, "--seed", "3")
        self.assertEqual(code, 0, out + err)
        self.write("scenarios/bad/small.yaml",
                   SMALL + "capacity: {max_num_batched_tokens: 2}\n")
        self.refused(("run", path, "--seed", "3"), "step 0: DP rank 0 has 3 tokens")


class Scenarios(BadInput):
    def refuse(self, old, new, *parts):
        self.assertIn(old, SMALL)
        path = self.write("scenarios/bad/small.yaml", SMALL.replace(old, new, 1))
        self.refused(("run", path, "--seed", "2"), path + ":", *parts)
        self.refused(("run", "bad", "--seed", "2"), "bad/small.yaml:", *parts, json_out=True)
        self.refused(("explain", path), path + ":", *parts)

    def test_the_unchanged_one_passes(self):
        code, out, err = self.run_it("run", "bad/small", "--seed", "2")
        self.assertEqual(code, 0, out + err)

    def test_unknown_keys_and_words(self):
        self.refuse("steps", "stepz", ":6:1: ", "'stepz'", "did you mean 'steps'?")
        self.refuse("experts: 4", "expert: 4", ":4:9: ", "did you mean 'experts'?")
        self.refuse("world: {dp: 2}", "world: {dp: 2, top_k: 1}", "'top_k' belongs under model")
        self.refuse("uniform", "unifrom", ":5:11: ", "did you mean 'uniform'?")
        self.refuse("communicator: local", "communicator: glo", ":8:54: ",
                    "gloo, nccl, local", "did you mean 'gloo'?")
        self.refuse("backend: allgather_reducescatter", "backend: allgather_reducescater",
                    ":8:15: unknown backend", "did you mean 'allgather_reducescatter'?")

    def test_faults_that_do_not_exist(self):
        for fault, *parts in (("MF-99", "MF-"), ("MF-42, ranks: 1", "no parameter 'ranks'")):
            path = self.write("scenarios/bad/small.yaml", SMALL + f"faults: [{{name: {fault}}}]\n")
            line = SMALL.count("\n") + 1
            self.refused(("run", path), f"bad/small.yaml:{line}:", *parts)

    def test_wrong_types(self):
        for old, new, *parts in (
                ("world: {dp: 2}", "world: 2", ":3:8: world"),
                ("world: {dp: 2}", "world: {dp: two}", ":3:13: world.dp: 'two'"),
                ("world: {dp: 2}", "world: {dp: 2.5}", ":3:13: world.dp: '2.5'"),
                ("world: {dp: 2}", "world: {dp: [2]}", ":3:13: world.dp"),
                ("world: {dp: 2}", "world: {dp: -2}", ":3:13: world.dp: '-2'"),
                ("world: {dp: 2}", "world: {dp: 2, ep: 1}", "world.ep", "true", "false"),
                ("world: {dp: 2}", "world: {dp: 999999999999}", "world.dp: '999999999999'"),
                ("steps: [[3, 2]]", "steps: 3", ":6:8: steps"),
                ("steps: [[3, 2]]", "steps: [[3, x]]", ":6:13: steps"),
                ("steps: [[3, 2]]", "steps: [[3]]", "steps[0]"),
                ("steps: [[3, 2]]", "steps: [[3, 99999999999]]", "steps[0]"),
                ("runs:\n  - {", "runs:\n    {", "runs"),
                ("bad/small", "bad/other", ":1:7: name")):
            self.refuse(old, new, *parts)

    def test_what_is_no_yaml(self):
        for new in ("world: {dp: 2", "world: [dp: 2}", "world: *nowhere", "world: !!python {dp: 2}",
                    "world: {dp: 2}\nworld: {dp: 2}", 'world: "dp', "world: {dp: 2}\n---\na: b",
                    "\tworld: {dp: 2}", "world: " + "[" * 5000):
            self.refuse("world: {dp: 2}", new)
        for content in (b"", b"\n\n", b"\xff\xfe", b"a\0b: 1\n", b"- 1\n", b"17\n", b"\x01"):
            path = self.write("scenarios/bad/small.yaml", content)
            self.refused(("run", path), path)

    def test_aliases_that_grow(self):
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        for level in range(1, 12):
            lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")
        path = self.write("scenarios/bad/small.yaml", "\n".join(lines) + "\n")
        self.refused(("run", path), path)

    def test_integers_that_would_not_be_exact(self):
        self.refuse("experts: 4, top_k: 2", "experts: 64, top_k: 32", "model.top_k",
                    "bf16 is exact only up to 256")
        self.refuse("intermediate: 16}", "intermediate: 16, scale: 0.3}", "model.scale")
        self.refuse("intermediate: 16}", "intermediate: 16, kernel: real}", "model.kernel",
                    "probe or exact_gemm")

    def test_what_cannot_run_is_said_before_a_missing_golden(self):
        for end, said in (("runs: [{backend: mori}]\n", "fresh.yaml:5:18: runs[0].backend"),
                          ("faults: [{name: MF-42, rank: 7}]\n", "fresh.yaml:5:10: fault MF-42"),
                          ("", "no golden judges bad/fresh")):
            path = self.write("scenarios/bad/fresh.yaml", "name: bad/fresh\nwhy: x\n"
                              "world: {dp: 2}\nsteps: [[4, 1]]\n" + end)
            self.refused(("run", path), said)
        self.refused(("run", path, "--tag", "none"), "the tag none; those looked at have none")

    def test_names_that_are_no_scenario(self):
        self.refused(("run", "smoke/two-rank"), "smoke/two-rank", "smoke/two-ranks")
        self.refused(("run", "nowhere"), "nowhere")
        self.refused(("run", ""))
        self.refused(("run", "--tag", "fasst"), "fasst")
        self.refused(("run", "smoke/two-ranks", "--line", "9"), "--line 9", "0 to 4")
        self.refused(("run", "smok"), "did you mean 'smoke'?")
        self.refused(("run", "two-ranks"), "did you mean 'smoke/two-ranks'?")
        self.refused(("run", "--tag", "fats"), "no scenario has the tag fats", "did you mean fast?")
        self.refused(("run", "smoke/two-ranks", "--path", "device"), "not in this build")
        self.refused(("run", "smoke/two-ranks", "--path", "referenc"), "reference")
        self.refused(("run", "smoke/two-ranks", "--profile", "v0.99"), "did you mean 'v0.9'")
        self.refused(("explain", "smoke/two-ranks", "--step", "99"), "99")
        self.refused(("run", "smoke", "--json", "/nowhere/at/all.json"), "/nowhere/at/all.json")
        self.refused(("run", "smoke", "--junit", "/nowhere/at/all.xml"), "/nowhere/at/all.xml")

    def test_what_this_build_has_not(self):
        for words, name in ((("--device", "cuda"), "cuda"), (("--communicator", "nccl"), "nccl")):
            code, out, _ = self.run_it("run", "smoke/two-ranks", "--line", "0", *words)
            self.assertEqual(code, 0, out)
            self.assertRegex(out, rf"SKIP .*\n +{name}: not in this build")


class Goldens(BadInput):
    NAME = "golden/data/" + TRACE + ".golden.json"

    def refuse(self, change, *parts):
        path = self.folder / self.NAME
        whole = path.read_text()
        golden = json.loads(whole)
        changed = change(golden)
        path.write_text(changed if isinstance(changed, str) else json.dumps(golden))
        self.refused(("run", TRACE), self.NAME, *parts)
        path.write_text(whole)

    def test_of_another_scenario_version_or_oracle(self):
        def member(key, value):
            def change(golden):
                golden[key] = value
            return change
        run_it = "golden/make_golden.py"
        self.refuse(member("scenario", "smoke/two-ranks"), "smoke/two-ranks", run_it)
        self.refuse(member("scenario_sha256", "0" * 64), run_it)
        self.refuse(member("format", "moe-golden/2"), "moe-golden/2", "moe-golden/1")
        self.refuse(member("generator", "another 9"), "another 9", run_it)

    def test_that_are_cut_or_of_wrong_types(self):
        for change in (lambda golden: "", lambda golden: "{", lambda golden: "[]",
                       lambda golden: json.dumps(golden)[:1000],
                       lambda golden: golden.pop("steps") and None,
                       lambda golden: golden.update(steps=3),
                       lambda golden: golden["steps"].pop() and None,
                       lambda golden: golden["steps"][0].update(digests=[["xyz"]]),
                       lambda golden: golden["stored"][0].update(step=10 ** 9),
                       lambda golden: golden["stored"][0].update(rank=-1),
                       lambda golden: golden["stored"][0]["rows"][0].update(token=10 ** 12)):
            self.refuse(change)

    def test_whose_rows_are_not_as_wide_as_is_due(self):
        def values(change):
            return lambda golden: change(golden["stored"][0]["rows"][0]["values"])
        due = "stored[0].rows[0] (step 0, layer 0, rank 1, token 0) has {} values, due are 64"
        self.refuse(values(lambda row: row.append(1)), due.format(65))
        self.refuse(values(lambda row: row.pop() and None), due.format(63))

    def test_that_the_system_cannot_look_up(self):
        path = self.folder / self.NAME
        path.unlink()
        path.symlink_to(path.name)
        self.refused(("run", TRACE), self.NAME, "Too many levels of symbolic links")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
