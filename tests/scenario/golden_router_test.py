#!/usr/bin/python3
"""Holds the Python oracle's router against hand-made choices, and its logits against slow loops.

The golden vector is the one of experts-and-oracles.md, 18; generated_logits_test.cc pins the same
logits on the other side.
"""

import math
import sys
import unittest
from pathlib import Path

import numpy

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "golden"))
import oracle  # noqa: E402  (the folder is not a package)
import plain_router  # noqa: E402
from plain_router import Logits, Router  # noqa: E402

DRAWS = oracle.Draws(7, 5, 3)
SOFTMAX = Router("softmax", 1, 1, False)
DEEPSEEK = Router("sigmoid", 4, 2, True)
GOLDEN = [1, -1, .5, .5, 2, -2, 0, 1.5]
BIAS = [0, 0, .30, 0, -.20, 0, .25, 0]


def chosen(router, logits, bias=None, top_k=3):
    return plain_router._chosen(router, numpy.array(logits, float),
                                numpy.array(bias or [0] * len(logits), float), top_k)


class LogitsTest(unittest.TestCase):
    def test_pinned(self):
        tokens = numpy.arange(6)
        plain = plain_router.router_logits(DRAWS, 1, tokens, Logits(4.0, -0.5, 0.0, 0.0))
        self.assertEqual(plain[:3].tolist(), [[0.4375, -3.0625, 1.6875, 1.0625, -1.5625],
                                              [0.4375, 2.0, 2.75, -0.6875, -3.0625],
                                              [1.1875, -0.9375, -1.9375, -0.4375, -2.75]])
        # Coins for ties: .36 .21 .37 .92 .23 .10; for NaN: .56 .53 .65 .63 .32 .21.
        mixed = plain_router.router_logits(DRAWS, 1, tokens, Logits(4.0, -0.5, 0.6, 0.3))
        self.assertEqual(mixed[0].tolist(), [0.5, -3.5, 1.5, 1.5, -1.5])
        self.assertEqual(mixed[3].tolist(), plain[3].tolist())
        self.assertEqual(numpy.isnan(mixed).all(axis=1).tolist(), [False] * 5 + [True])
        self.assertEqual((64 * plain_router.correction_bias(DRAWS, 1)).tolist(), [4, -7, 9, 14, 14])

    def test_slow_loop(self):
        got = plain_router.router_logits(DRAWS, 2, numpy.arange(9), Logits(2.5, 1.0, 0.0, 0.0))
        for t in range(9):
            for e in range(5):
                z = int(oracle.mix(7, 7, 2, t, e))
                n = (z & 0xFFFF) + (z >> 16 & 0xFFFF) - 0xFFFF
                self.assertEqual(got[t, e], math.floor(n * 40 / 65536 + 0.5) / 16 + 1.0)


class RouterTest(unittest.TestCase):
    def test_golden_vector(self):
        self.assertEqual(chosen(DEEPSEEK, GOLDEN, BIAS), [2, 7, 6])
        self.assertEqual(chosen(DEEPSEEK._replace(groups=1, topk_group=1), GOLDEN, BIAS), [2, 7, 6])
        self.assertEqual(chosen(SOFTMAX, GOLDEN), [4, 7, 0])

    def test_a_group_without_bias_is_its_best(self):
        logits = [1, 1, 1.25, -4]
        without = Router("sigmoid", 2, 1, False)
        self.assertEqual(chosen(without, logits, top_k=1), [2])
        self.assertEqual(chosen(without._replace(biased=True), logits, top_k=1), [0])

    def test_ties_and_nan(self):
        self.assertEqual(chosen(SOFTMAX, [1, 3, 3, 3, 1], top_k=4), [1, 2, 3, 0])
        nan = [math.nan] * 8
        self.assertEqual(chosen(SOFTMAX, nan), [0, 1, 2])
        self.assertEqual(chosen(DEEPSEEK, nan, BIAS), [0, 1, 2])
        alone = DEEPSEEK._replace(groups=1, topk_group=1)
        self.assertEqual(chosen(alone, nan, BIAS), [2, 6, 0])

    def test_groups_that_do_not_divide_fall_back_to_softmax(self):
        # By sigmoid expert 2 would win with its bias (.5 + .3 > .73), by softmax it does not.
        logits, bias = [1, -4, 0, -4], [0, 0, .3, 0]
        self.assertEqual(chosen(Router("sigmoid", 1, 1, True), logits, bias, 1), [2])
        self.assertEqual(chosen(Router("sigmoid", 3, 1, True), logits, bias, 1), [0])
        self.assertEqual(chosen(Router("sigmoid", 4, 1, True), logits, bias, 1), [0])

    def test_near_ties_are_refused(self):
        with self.assertRaisesRegex(ValueError, "0 and 1 nearly tie"):
            chosen(Router("sigmoid", 1, 1, True), [0, 0], [1e-6, 0], 1)

    def test_equal_groups_are_refused_where_float_rounds_their_parts(self):
        # Both groups are worth twice a score + 3 / 64: of scores of 1/2 exactly, of 1/6 not.
        bias = [3 / 64, 0, 0, 2 / 64, 1 / 64, 0]
        self.assertEqual(chosen(Router("sigmoid", 2, 1, True), [0] * 6, bias, 2), [0, 1])
        with self.assertRaisesRegex(ValueError, "0 and 1 nearly tie"):
            chosen(Router("softmax", 2, 1, True), [0] * 6, bias, 2)


if __name__ == "__main__":
    unittest.main()
