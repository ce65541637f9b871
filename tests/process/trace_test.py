#!/usr/bin/python3
"""trace_test.py MOEBIUS: traces that the repository has never seen, given with --trace.

They are written here, small and awkward: eight ranks, idle ones among them, experts that no number
of ranks divides, masked choices. Every backend that can take them must pass in both kinds of
world, as threads and as processes.
"""

import json
import struct
import sys
import unittest

import numpy
from program import Program


def write_trace(path, seed, **model):
    """A trace whose routing follows from the seed. model: dp, steps, layers, experts, top_k, …"""
    draw = numpy.random.default_rng(seed)
    counts = draw.integers(0, 7, (model["steps"], model["dp"]))
    counts[draw.random(counts.shape) < 0.3] = 0
    counts[:, seed % model["dp"]] += 1  # no step is empty
    tokens = int(counts.sum())
    shape = (tokens, model["layers"], model["top_k"])
    load = numpy.linspace(0, 1, model["experts"])
    ids = numpy.argsort(draw.random((*shape[:2], model["experts"])) + load, axis=2)[..., :shape[2]]
    ids[draw.random(shape) < 0.1] = -1
    weights = draw.random(shape)
    weights *= model["scale"] / weights.sum(axis=2, keepdims=True)
    tensors = {"topk_ids": ("I16", ids.astype("<i2")),
               "topk_weights": ("F32", weights.astype("<f4")),
               "num_tokens": ("I32", counts.astype("<i4")),
               "request_id": ("I32", numpy.zeros(tokens, "<i4")),
               "position": ("I32", numpy.arange(tokens, dtype="<i4")),
               "phase": ("U8", numpy.ones(tokens, "u1"))}
    header = {"__metadata__": {
        "format": "moe-routing-trace/1", "model": "unseen", "dp_size": str(model["dp"]),
        "steps": str(model["steps"]), "num_layers": str(model["layers"]),
        "num_experts": str(model["experts"]), "top_k": str(model["top_k"]),
        "hidden_size": str(model["hidden"]), "moe_intermediate_size": str(model["intermediate"]),
        "scoring": model["scoring"], "renormalize": "true", "num_expert_group": "1",
        "topk_group": "1", "routed_scaling_factor": str(model["scale"]),
        "num_shared_experts": str(model["shared"]), "max_num_batched_tokens": "256"}}
    body = b""
    for name, (dtype, values) in tensors.items():
        raw = numpy.ascontiguousarray(values).tobytes()
        header[name] = {"dtype": dtype, "shape": list(values.shape),
                        "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    words = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(words)) + words + body)


class UnseenTrace(Program):
    def lines_of(self, seed, *words, **model):
        path = self.folder / "unseen.safetensors"
        write_trace(path, seed, **model)
        code, out, err = self.run_it("run", "--trace", str(path), "--json", "-", *words)
        self.assertEqual(code, 0, out + err)
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(lines[-1]["summary"]["failed"], 0)
        left_out = [line for line in lines[:-1] if line["verdict"] == "skipped"]
        self.assertEqual(lines[-1]["summary"]["skipped"], len(left_out))
        self.left_out = {line["run"]["backend"]: line["reason"] for line in left_out}
        return [line for line in lines[:-1] if line["verdict"] != "skipped"]

    def test_eight_ranks_on_every_backend_in_both_worlds(self):
        lines = self.lines_of(3, dp=8, steps=6, layers=2, experts=13, top_k=3, hidden=40,
                              intermediate=24, scoring="sigmoid", scale=2.5, shared=1)
        seen = {(line["run"]["backend"], line["run"]["communicator"], line["run"]["ranks"],
                 line["worst"] is not None) for line in lines}
        ways = [("local", "threads"), ("gloo", "threads"), ("gloo", "processes")]
        for backend in {line["run"]["backend"] for line in lines}:
            for way in ways:
                self.assertIn((backend, *way, False), seen)  # exact: nothing differs
                self.assertIn((backend, *way, True), seen)   # real: the nearest element
        for line in lines:
            self.assertEqual(line["verdict"], "passed")
            self.assertGreater(line["rows"], 0)
            if line["worst"] is not None:
                self.assertTrue(0 < line["worst"]["tolerance_share"] < 1)
        self.assertIn("moves nothing between DP ranks", self.left_out["no_ep"])
        self.assertIn("as many experts on every rank", self.left_out["deepep_low_latency"])

    def test_a_backend_is_left_out_where_another_would_run_and_runs_as_it_when_named(self):
        model = dict(dp=1, steps=2, layers=1, experts=6, top_k=2, hidden=32, intermediate=8,
                     scoring="softmax", scale=1.0, shared=0)
        ran = {line["run"]["backend"] for line in self.lines_of(5, **model)}
        self.assertEqual(ran & {"no_ep", "deepep_high_throughput"}, {"no_ep"})
        self.assertIn("no_ep in its place", self.left_out["deepep_high_throughput"])
        path = str(self.folder / "unseen.safetensors")
        code, out, err = self.run_it("run", "--trace", path, "--backend", "deepep_high_throughput")
        self.assertEqual(code, 0, out + err)
        self.assertIn("deepep_high_throughput (as no_ep)", out)
        self.assertIn("warning: no rows move between ranks of experts here", out)
        self.assertIn("no_ep in its place", out)

    def test_values_chooses_the_world(self):
        lines = self.lines_of(4, "--values", "real", "--communicator", "local", dp=3, steps=3,
                              layers=1, experts=5, top_k=1, hidden=24, intermediate=8,
                              scoring="softmax", scale=1.0, shared=0)
        self.assertTrue(all(line["worst"] is not None for line in lines))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
