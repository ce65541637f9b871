#!/usr/bin/python3
"""verify_scales_test.py MOEBIUS: scales of quantised rows that are all wrong in one way: laid out,
ordered, rounded or made otherwise. What is said of each is what happened, once for a rank.
"""

import sys
import unittest
import unittest.mock

import captures
import numpy
from verify_test import real
from verifying import Verifying

SCALES = "dispatched_scales"
LOW_LATENCY = "deepep_low_latency-uneven-fp8"
GROUP = 128


def amax(rows, size):
    """[rows, groups of so many columns]; the last group may be short."""
    starts = numpy.arange(0, rows.shape[1], size)
    most = numpy.maximum.reduceat(numpy.abs(rows), starts, axis=1)
    return numpy.maximum(most, numpy.float32(1e-4))


def scaled(most):
    return most * numpy.float32(1 / numpy.float32(448))


# What a library may store in the place of amax · (1 / 448) of 128 columns.
OTHERS = {
    "rounded up to powers of two (UE8M0)": lambda rows, due: 2 ** numpy.ceil(numpy.log2(due)),
    "cut down to powers of two": lambda rows, due: 2 ** numpy.floor(numpy.log2(due)),
    "448 / amax in the place of amax / 448":
        lambda rows, due: numpy.float32(448) / amax(rows, GROUP),
    "1 / scale": lambda rows, due: numpy.float32(1) / due,
    "amax / 448, not amax times 1 / 448": lambda rows, due: amax(rows, GROUP) / numpy.float32(448),
    "groups of 64 columns, the first 20 of 40": lambda rows, due: scaled(amax(rows, 64))[:, :20],
    "groups of 32 columns, the first 20 of 80": lambda rows, due: scaled(amax(rows, 32))[:, :20],
    "groups of 256 columns, each 2 times":
        lambda rows, due: scaled(numpy.repeat(amax(rows, 256), 2, axis=1)),
    "the scale of the whole row (one scale a token)":
        lambda rows, due: scaled(numpy.repeat(amax(rows, rows.shape[1]), 20, axis=1)),
    "in reverse order": lambda rows, due: due[:, ::-1],
    "every group has the scale of the row's first group":
        lambda rows, due: numpy.repeat(due[:, :1], due.shape[1], axis=1),
    "every scale times 2": lambda rows, due: 2 * due,
    "every scale times 0.25": lambda rows, due: due / 4,
    "amax times 1 / 240": lambda rows, due:
        amax(rows, GROUP) * numpy.float32(1 / numpy.float32(240)),
    "amax / 240": lambda rows, due: amax(rows, GROUP) / numpy.float32(240),
    "amax / 224": lambda rows, due: amax(rows, GROUP) / numpy.float32(224),
}
OF_DECLARED = ("in reverse order", "every ")  # in other places, or times a number


class AllScales(Verifying):
    def judged(self, capture):
        judged, = self.verify([capture])
        return [one for one in judged["findings"] if one["tensor"] == SCALES]

    def made(self, scales_of):
        """A made-up capture whose library stores scales_of(rows, due)."""
        def quantised(rows, declared=captures.quantised):
            codes, due = declared(rows)
            return codes, numpy.ascontiguousarray(scales_of(rows, due).astype("<f4"))
        with unittest.mock.patch("captures.quantised", quantised):
            return captures.made(
                11, backend="deepep_low_latency", format="batched_experts", tokens=[5, 2, 3],
                experts=6, top_k=2, hidden=2560, quantised=True, labels=True, more_room=3)

    def test_right_ones_are_silent(self):
        self.assertEqual(self.judged(self.made(lambda rows, due: due)), [])

    def test_another_way_to_make_them(self):
        for words, scales_of in OTHERS.items():
            with self.subTest(words):
                findings = self.judged(self.made(scales_of))
                self.assertEqual([one["rank"] for one in findings], [0, 1, 2])
                is_scale = words.startswith(OF_DECLARED)
                for finding in findings:
                    self.assertIn("all scales of the rank: ", finding["message"])
                    self.assertIn(words, finding["message"])
                    self.assertEqual(finding["fault"],
                                     "scale changed" if is_scale else "quantiser differs")

    def test_one_row_is_named_alone(self):
        for words in ("rounded up to powers of two (UE8M0)", "in reverse order", "1 / scale",
                      "every group has the scale of the row's first group"):
            capture = self.made(lambda rows, due: due).with_own(1, SCALES)
            expert, slot = capture.valid(1)[0]
            row = capture[1][SCALES][expert, slot]
            row[:] = OTHERS[words](None, row[None])[0]
            finding, = self.judged(capture)
            self.assertEqual((finding["rank"], finding["expert"], finding["slot"]),
                             (1, expert, slot))
            self.assertIn(words, finding["message"])
            self.assertNotIn("all scales", finding["message"])

    def relaid(self, capture, number, relay):
        """A copy whose rank has each expert's scales (or all of a list's) in another order."""
        capture = capture.with_own(number, SCALES)
        table = capture[number][SCALES]
        for block in table if table.ndim == 3 else [table]:
            block[:] = relay(block.copy())
        return capture

    def test_orders_in_memory(self):
        by_column = ("lie column by column (column-major)",
                     lambda block: block.T.reshape(-1).reshape(block.shape))
        by_row = ("lie row by row (row-major)",
                  lambda block: block.reshape(block.shape[::-1]).T)
        standard = captures.made(
            3, backend="deepep_high_throughput", format="standard", tokens=[9, 5, 7, 4], experts=8,
            top_k=2, hidden=512, quantised=True, space="local")
        for words, relay in (by_column, by_row):
            for capture in (real()[LOW_LATENCY], self.made(lambda rows, due: due), standard):
                finding, = self.judged(self.relaid(capture, 1, relay))
                self.assertEqual((finding["rank"], finding["fault"]), (1, "scale changed"))
                self.assertIn(words, finding["message"])

    def test_orders_in_memory_of_valid_rows(self):
        by_column = ("valid rows lie column by column (column-major)",
                     lambda block: block.T.reshape(-1).reshape(block.shape))
        by_row = ("valid rows lie row by row (row-major)",
                  lambda block: block.reshape(block.shape[::-1]).T)
        for words, relay in (by_column, by_row):
            for capture in (real()[LOW_LATENCY], self.made(lambda rows, due: due)):
                capture = capture.with_own(1, SCALES)
                for block, count in zip(capture[1][SCALES], capture[1]["expert_num_tokens"]):
                    block[:count] = relay(block[:count].copy())
                    block[count:] = numpy.nan
                finding, = self.judged(capture)
                self.assertEqual((finding["rank"], finding["fault"]), (1, "scale changed"))
                self.assertIn("all scales of the rank: ", finding["message"])
                self.assertIn(words, finding["message"])

    def test_a_constant_of_all_but_one_scale_is_not_said(self):
        for value in (numpy.nan, numpy.inf, 0, 1e-3):
            capture = self.made(lambda rows, due: 2 * due).with_own(1, SCALES)
            slots = capture.valid(1)
            expert, slot = slots[1]
            capture[1][SCALES][expert, slot, 3] = value
            findings = [one for one in self.judged(capture) if one["rank"] == 1]
            for finding in findings:
                self.assertNotIn("all scales", finding["message"])
            places = {(one["expert"], one["slot"]) for one in findings}
            self.assertEqual(places, set(slots))
            named = [one for one in findings if (one["expert"], one["slot"]) == (expert, slot)]
            self.assertEqual([one["column"] for one in named], list(range(20)))

    def test_what_does_not_explain_all_is_not_said(self):
        def relay(block):
            block = block.T.reshape(-1).reshape(block.shape)
            return block
        capture = self.relaid(real()[LOW_LATENCY], 1, relay)
        expert, slot = capture.valid(1)[-1]
        capture[1][SCALES][expert, slot, 0] *= 3
        for finding in self.judged(capture):
            self.assertNotIn("all scales", finding["message"])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
