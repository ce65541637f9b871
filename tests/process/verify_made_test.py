#!/usr/bin/python3
"""verify_made_test.py MOEBIUS: captures that no library made, of worlds that nobody captured yet.

Each is right by construction and must be found so; then one thing in it is changed.
"""

import sys
import unittest

import numpy
from captures import made
from verifying import Verifying

STANDARD, BATCHED = "standard", "batched_experts"
WORLDS = {
    "four ranks, one idle, all-gather": dict(
        backend="allgather_reducescatter", format=STANDARD, tokens=[5, 0, 3, 4], experts=10,
        top_k=3, hidden=96),
    "naive in f32": dict(backend="naive", format=STANDARD, tokens=[2, 3], experts=4, top_k=2,
                         hidden=40, dtype="F32"),
    "no rows move, two TP ranks": dict(
        backend="no_ep", format=STANDARD, tokens=[5, 5], tp=2, tp_equal=True, experts=5, top_k=3,
        hidden=64, due=lambda capture, rank: [(rank, t) for t in range(5)]),
    "one rank": dict(backend="no_ep", format=STANDARD, tokens=[6], experts=5, top_k=2, hidden=33),
    "high throughput, four ranks, local ids, counts": dict(
        backend="deepep_high_throughput", format=STANDARD, tokens=[7, 0, 1, 6], experts=10,
        top_k=4, hidden=64, space="local", counts=True),
    "high throughput, eight ranks, top-8": dict(
        backend="deepep_high_throughput", format=STANDARD, tokens=[3, 2, 0, 4, 1, 5, 2, 3],
        experts=64, top_k=8, hidden=128),
    "high throughput, top-1, fp8": dict(
        backend="deepep_high_throughput", format=STANDARD, tokens=[4, 5, 3, 1], experts=6, top_k=1,
        hidden=256, quantised=True, space="local"),
    "high throughput, f32 contributions": dict(
        backend="deepep_high_throughput", format=STANDARD, tokens=[4, 5, 3, 2], experts=6, top_k=3,
        hidden=64, output="F32"),
    "all-gather in f16": dict(
        backend="allgather_reducescatter", format=STANDARD, tokens=[4, 5, 3], experts=6, top_k=3,
        hidden=64, dtype="F16"),
    "mori leaves foreign choices as they were": dict(
        backend="mori", format=STANDARD, tokens=[4, 2, 3], experts=9, top_k=3, hidden=64,
        foreign="as_given"),
    "mori, round robin": dict(
        backend="mori_high_throughput", format=STANDARD, tokens=[4, 2, 3], experts=12, top_k=2,
        hidden=64, placement="round_robin"),
    "flashinfer, one-sided": dict(
        backend="flashinfer_nvlink_one_sided", format=STANDARD, tokens=[3, 4], experts=4, top_k=2,
        hidden=64),
    "low latency, four ranks, round robin": dict(
        backend="deepep_low_latency", format=BATCHED, tokens=[5, 0, 3, 4], experts=8, top_k=3,
        hidden=2048, placement="round_robin", labels=True, more_room=3),
    "low latency, fp8, three ranks": dict(
        backend="deepep_low_latency", format=BATCHED, tokens=[5, 2, 3], experts=6, top_k=2,
        hidden=2560, quantised=True, labels=True, more_room=3),
    "nixl without labels": dict(
        backend="nixl_ep", format=BATCHED, tokens=[4, 1, 2, 3], experts=12, top_k=8, hidden=2048),
    "pplx, f16": dict(
        backend="pplx", format=BATCHED, tokens=[4, 1, 2, 3], experts=12, top_k=8, hidden=64,
        dtype="F16"),
    "pplx, top-1, f32": dict(
        backend="pplx", format=BATCHED, tokens=[3, 0, 6], experts=7, top_k=1, hidden=32,
        dtype="F32"),
    "pplx in f32, where the last bit shows an fma": dict(
        backend="pplx", format=BATCHED, tokens=[6, 9], experts=6, top_k=4, hidden=128,
        dtype="F32", labels=True),
    "pplx, two TP peers send once": dict(
        backend="pplx", format=BATCHED, tokens=[3, 3, 4, 4], tp=2, tp_equal=True, experts=8,
        top_k=2, hidden=64),
    "flashinfer, padded parts": dict(
        backend="flashinfer_nvlink_one_sided", format=STANDARD, tokens=[3, 4, 1], experts=6,
        top_k=2, hidden=64, padded=True),
    "mori, padded": dict(
        backend="mori_low_latency", format=STANDARD, tokens=[3, 4, 1], experts=6, top_k=2,
        hidden=64, padded=True),
    "high throughput as vLLM writes its ids": dict(
        backend="deepep_high_throughput", format=STANDARD, tokens=[5, 4], experts=6, top_k=3,
        hidden=64, foreign="remapped"),
    "high throughput, TP peers with equal rows": dict(
        backend="deepep_high_throughput", format=STANDARD, tokens=[3, 3, 2, 2], tp=2,
        peers_equal=True, experts=8, top_k=2, hidden=64, space="local"),
    "low latency, TP peers with equal rows": dict(
        backend="deepep_low_latency", format=BATCHED, tokens=[5, 5, 4, 4], tp=2,
        peers_equal=True, experts=8, top_k=3, hidden=2048, labels=True),
    "nixl without labels, TP peers with equal rows": dict(
        backend="nixl_ep", format=BATCHED, tokens=[5, 5, 4, 4], tp=2, peers_equal=True,
        experts=4, top_k=3, hidden=2048),
    "flashinfer, padded parts, TP peers with equal rows": dict(
        backend="flashinfer_nvlink_one_sided", format=STANDARD, tokens=[5, 5, 4, 4], tp=2,
        peers_equal=True, experts=4, top_k=2, hidden=64, padded=True),
    "flashinfer, four ranks": dict(
        backend="flashinfer_nvlink_two_sided", format=STANDARD, tokens=[4, 5, 0, 3], experts=8,
        top_k=3, hidden=64),
    "flashinfer, TP peers with equal rows": dict(
        backend="flashinfer_nvlink_one_sided", format=STANDARD, tokens=[5, 5, 4, 4], tp=2,
        peers_equal=True, experts=4, top_k=2, hidden=64),
    "flashinfer, the last source first, one row is every source's": dict(
        backend="flashinfer_nvlink_one_sided", format=STANDARD, tokens=[3, 4], experts=4, top_k=3,
        hidden=64, masked=0, first_equal=True,
        due=lambda capture, rank: [(s, t) for s in (1, 0)
                                   for t in range(len(capture[s]["topk_ids"]))]),
    "flashinfer, padded, but not to equal parts": dict(
        backend="flashinfer_nvlink_one_sided", format=STANDARD, tokens=[3, 4, 2], experts=6,
        top_k=3, hidden=64, padded=True, more_rows=1),
    "flashinfer, padded, no parts, the last source first, one row is every source's": dict(
        backend="flashinfer_nvlink_one_sided", format=STANDARD, tokens=[3, 4], experts=4, top_k=3,
        hidden=64, masked=0, first_equal=True, padded=True, more_rows=1, last_first=True),
    "low latency, all rows of a rank equal": dict(
        backend="deepep_low_latency", format=BATCHED, tokens=[6, 5], experts=4, top_k=3,
        hidden=2048, labels=True, rows_equal=True),
    "low latency whose experts weighted": dict(
        backend="deepep_low_latency", format=BATCHED, tokens=[6, 5], experts=4, top_k=3,
        hidden=2048, labels=True, weighted=True),
    "pplx, nine equal rows with outputs of their own at every expert": dict(
        backend="pplx", format=BATCHED, tokens=[3, 9], experts=2, top_k=2, hidden=64, masked=0,
        rows_equal=True, own_outputs=True),
    "pplx, TP peers, equal rows with outputs of their own": dict(
        backend="pplx", format=BATCHED, tokens=[5, 5, 4, 4], tp=2, tp_equal=True, experts=4,
        top_k=2, hidden=64, rows_equal=True, own_outputs=True),
    "nixl without labels, equal rows with outputs of their own": dict(
        backend="nixl_ep", format=BATCHED, tokens=[6, 4], experts=4, top_k=3, hidden=2048,
        rows_equal=True, own_outputs=True),
    "nobody has a token": dict(backend="deepep_high_throughput", format=STANDARD, tokens=[0, 0],
                               experts=4, top_k=3, hidden=64),
    "nobody has a token, batched": dict(backend="deepep_low_latency", format=BATCHED,
                                        tokens=[0, 0], experts=4, top_k=3, hidden=2048, labels=True,
                                        more_room=1),
    "every choice is masked": dict(backend="allgather_reducescatter", format=STANDARD,
                                   tokens=[2, 3], experts=4, top_k=3, hidden=64, masked=1.0),
    "all-gather among four SP ranks": dict(
        backend="allgather_reducescatter", format=STANDARD, tokens=[3, 2, 4, 4], tp=2, experts=8,
        top_k=2, hidden=64),
    "all-gather in two TP columns": dict(
        backend="allgather_reducescatter", format=STANDARD, tokens=[3, 3, 4, 4], tp=2,
        tp_equal=True, experts=8, top_k=2, hidden=64,
        due=lambda capture, rank: [(s, t) for s in (rank % 2, rank % 2 + 2)
                                   for t in range(len(capture[s]["topk_ids"]))]),
}


class MadeCaptures(Verifying):
    def test_right_ones_are_found_right(self):
        captures = {name: made(seed, **world) for name, world in WORLDS.items()
                    for seed in (len(name),)}
        for name, judged in zip(captures, self.verify(captures.values())):
            self.assertEqual(judged["findings"], [], name)
            self.assertEqual(judged["verdict"], "passed", name)
            tokens = sum(WORLDS[name]["tokens"])
            self.assertEqual(judged["rows_combined"] + judged["rows_bounded"], tokens, name)
            self.assertEqual(judged["rows_delivered"] > 0, tokens > 0, name)

    def test_a_bit_in_a_sum_of_equal_rows_is_found_where_it_is(self):
        for name in WORLDS:
            if "outputs of their own" not in name:
                continue
            capture = made(len(name), **WORLDS[name])
            damaged = []
            for row in range(len(capture[1]["combined"])):
                copy = capture.with_own(1, "combined")
                copy[1]["combined"][row, 7] ^= 1
                damaged.append(copy)
            for row, judged in enumerate(self.verify(damaged)):
                found = [(one["tensor"], one["rank"], one["row"], one["column"], one["elements"])
                         for one in judged["findings"]]
                self.assertEqual(found, [("combined", 1, row, 7, 1)], name)

    def test_rows_that_no_ep_gathered_are_not_due(self):
        world = dict(backend="no_ep", format=STANDARD, tokens=[3, 4], tp=2, experts=4, top_k=2,
                     hidden=64)
        judged, = self.verify([made(1, **world)])
        found = {(one["rank"], one["source_rank"]) for one in judged["findings"]
                 if one["tensor"] == "dispatched_hidden_states"}
        self.assertEqual(found, {(0, 1), (1, 0)})
        self.assertEqual({one["fault"] for one in judged["findings"]},
                         {"row not due here", "value changed"})

    def test_a_scaled_sum_is_named_although_it_holds_what_is_no_number(self):
        capture = made(4, **WORLDS["naive in f32"])
        total = capture[1]["combined"]
        row = int(numpy.flatnonzero(total.any(axis=1))[0])
        total[row] *= 3
        total[row, [0, 7, 20]] = [numpy.nan, -numpy.nan, numpy.inf]
        judged, = self.verify([capture])
        finding, = judged["findings"]
        self.assertEqual((finding["tensor"], finding["rank"], finding["row"]),
                         ("combined", 1, row))
        self.assertEqual(finding["fault"], "row scaled", finding["message"])
        self.assertIn("times 3", finding["message"])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
