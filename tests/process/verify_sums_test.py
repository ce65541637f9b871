#!/usr/bin/python3
"""verify_sums_test.py MOEBIUS: combined rows that went wrong in a way that can be computed. What is
said of each makes the damaged row to the bit, and of a row that nothing makes just that is said.
"""

import sys
import unittest

import numpy
from captures import bf16, floats, fma, made, stored
from verify_test import real
from verifying import Verifying

LOW_LATENCY = "deepep_low_latency-uneven"
ROW = 0  # of rank 0: choices 0, 2 and 3 are rank 1's, choice 1 is rank 0's


def contributions(capture, source, row):
    """(values, weight) of each choice that is not masked, by where the labels say they are."""
    rank, found = capture[source], []
    for choice, expert in enumerate(rank["topk_ids"][row]):
        if expert < 0:
            continue
        owner, local = capture.owner(int(expert))
        there = capture[owner]
        begin, count = divmod(int(there["source_range"][local, source]), 1 << 32)
        slot, = [begin + i for i in range(count) if there["source_row"][local, begin + i] == row]
        found.append((there.floats("expert_output")[local, slot],
                      rank["topk_weights"][row, choice]))
    return found


def added(terms):
    total = numpy.zeros(len(terms[0][0]), "<f4")
    for values, weight in terms:
        total = fma(values, weight, total)
    return total


class Named(Verifying):
    def finding(self, capture, rank, row, total):
        """The one finding of a copy with that combined row."""
        copy = capture.with_own(rank, "combined")
        copy[rank]["combined"][row] = stored(total, copy[rank].tensors["combined"][0])
        judged, = self.verify([copy])
        finding, = judged["findings"]
        self.assertEqual((finding["tensor"], finding["rank"], finding["row"]),
                         ("combined", rank, row))
        return finding

    def named(self, change, fault, *parts):
        capture = real()[LOW_LATENCY]
        terms = contributions(capture, 0, ROW)
        self.assertEqual(len(terms), 4)
        finding = self.finding(capture, 0, ROW, added(change(terms)))
        self.assertEqual(finding["fault"], fault, finding["message"])
        for part in parts:
            self.assertIn(part, finding["message"])
        return finding

    def weighted(self, *weights):
        """A change: the weight at i is what weights[i](all of them) makes, or stays."""
        def change(terms):
            all_weights = [weight for _, weight in terms]
            return [(values, numpy.float32(make(all_weights)) if make else weight)
                    for (values, weight), make in zip(terms, weights)]
        return change

    def test_several_contributions_missing(self):
        self.named(lambda t: [t[1]], "partial sum missing",
                   "every contribution of rank 1 (choices 0, 2, 3) is missing")
        self.named(lambda t: [t[0], t[3]], "partial sum missing", "(choice 1, slot",
                   " and the contribution of rank 1's expert", "(choice 2, slot", "are missing")
        self.named(lambda t: [t[2]], "partial sum missing", "nothing but", "(choice 2, slot")

    def test_several_contributions_doubled(self):
        self.named(lambda t: [t[0], t[0], t[1], t[2], t[2], t[3], t[3]], "partial sum doubled",
                   "every contribution of rank 1 (choices 0, 2, 3) was added twice")
        self.named(lambda t: [*t, t[0], t[2]], "partial sum doubled", "(choice 0, slot",
                   "(choice 2, slot", "were added twice")
        self.named(lambda t: [*t, *t], "partial sum doubled", "every contribution was added twice")

    def test_several_weights(self):
        self.named(self.weighted(lambda w: w[0] * w[0], None, lambda w: w[2] * w[2], None),
                   "weight applied twice", "(choice 0, slot", "(choice 2, slot", "the weights of")
        self.named(self.weighted(lambda w: 1, None, lambda w: 1, lambda w: 1),
                   "weight never applied", "(choice 0", "(choice 2", "(choice 3", "the weights of")

    def test_weights_that_changed_places(self):
        self.named(self.weighted(lambda w: w[1], lambda w: w[0], None, None), "weight of another",
                   "the weights of choices 0 and 1 are exchanged")
        self.named(self.weighted(*[lambda w, i=i: w[3 - i] for i in range(4)]),
                   "weight of another", "the weights of choices 0 and 3 are exchanged",
                   "the weights of choices 1 and 2 are exchanged")
        self.named(self.weighted(lambda w: w[2], None, lambda w: w[3], lambda w: w[0]),
                   "weight of another", "choice 0 has the weight of choice 2",
                   "choice 2 has the weight of choice 3", "choice 3 has the weight of choice 0")

    def test_all_weights_times_one_factor(self):
        self.named(self.weighted(*[lambda w, i=i: w[i] * numpy.float32(2.5) for i in range(4)]),
                   "row scaled", "the row times 2.5")

    def test_what_nothing_makes_is_not_explained(self):
        finding = self.named(self.weighted(*[lambda w, i=i: 1 / w[i] for i in range(4)]),
                             "value changed", "none of the known faults explains it",
                             "the largest deviation is ")
        self.assertNotIn("row times", finding["message"])
        capture = real()[LOW_LATENCY]
        total = added(contributions(capture, 0, ROW))
        noise = bf16(total) ^ (numpy.arange(len(total)) % 3 == 0)
        finding = self.finding(capture, 0, ROW, floats(noise.astype("<u2"), "BF16"))
        self.assertEqual(finding["fault"], "value changed", finding["message"])
        self.assertIn("none of the known faults explains it", finding["message"])
        at = numpy.abs(floats(noise.astype("<u2"), "BF16") - floats(bf16(total), "BF16")).argmax()
        self.assertIn(f"column {at}", finding["message"])

    def test_ranks_missing_from_a_collective(self):
        capture = made(3, backend="allgather_reducescatter", format="standard",
                       tokens=[3, 1, 0, 7], experts=8, top_k=4, hidden=64, masked=0)
        due = capture.due(0)
        for row in range(3):
            at = due.index((0, row))
            terms = [rank.floats("expert_output")[at] for rank in capture.ranks]
            there = [r for r in range(4) if terms[r].any()]
            if len(there) < 4:
                continue
            finding = self.finding(capture, 0, row, terms[0] + terms[1])
            self.assertEqual(finding["fault"], "partial sum missing", finding["message"])
            self.assertIn("rank 2's contribution and rank 3's contribution are missing",
                          finding["message"])
            return
        self.fail("no row goes to four ranks")


class Places(Verifying):
    """Rows that stand elsewhere; doubled is what stands twice, lost what stands nowhere."""

    def findings(self, order):
        capture = real()[LOW_LATENCY].with_own(1, "combined")
        capture[1]["combined"][:] = capture[1]["combined"][order]
        judged, = self.verify([capture])
        self.assertEqual({(one["tensor"], one["rank"]) for one in judged["findings"]},
                         {("combined", 1)})
        return {one["row"]: one for one in judged["findings"]}

    def test_rows_that_only_changed_places(self):
        order = [8, 0, 1, 2, 3, 4, 5, 6, 7]
        findings = self.findings(order)
        self.assertEqual(sorted(findings), list(range(9)))
        for row, finding in findings.items():
            self.assertEqual(finding["fault"], "order broken", finding["message"])
            self.assertIn(f"this is the sum of row {order[row]} of rank 1", finding["message"])
            self.assertIn(f"in the place of row {(row + 1) % 9} of rank 1", finding["message"])
            for word in ("doubled", "lost"):
                self.assertNotIn(word, finding["message"])

    def test_torn_and_nearly_another(self):
        capture = real()[LOW_LATENCY].with_own(1, "combined")
        table = capture[1]["combined"]
        table[2, 512:1024] = table[3, 512:1024]
        table[6] = table[5]
        table[6, 77] ^= 1
        judged, = self.verify([capture])
        torn, near = judged["findings"]
        self.assertEqual((torn["row"], near["row"]), (2, 6))
        for finding, part in ((torn, "; there it is the sum of row 3 of rank 1;"),
                              (near, "; it is the sum of row 5 of rank 1 but for 1 of 2048 "
                                     "elements, from column 77 on;")):
            self.assertEqual(finding["fault"], "value changed")
            self.assertIn("none of the known faults explains it" + part, finding["message"])

    def test_two_swapped(self):
        for row, finding in self.findings([0, 5, 2, 3, 4, 1, 6, 7, 8]).items():
            self.assertEqual(finding["fault"], "row swapped")
            self.assertIn(f"row {6 - row} of rank 1", finding["message"])

    def test_one_twice_and_one_lost(self):
        finding, = self.findings([0, 1, 2, 3, 1, 5, 6, 7, 8]).values()
        self.assertEqual((finding["row"], finding["fault"]), (4, "row doubled"))
        self.assertIn("the sum of row 1 of rank 1, which stands in its own place too",
                      finding["message"])
        self.assertIn("stands nowhere, it is lost", finding["message"])

    def test_a_chain_whose_ends_are_a_doubled_and_a_lost_row(self):
        findings = self.findings([0, 1, 1, 2, 4, 5, 6, 7, 8])  # row 3 is lost, row 1 twice
        self.assertEqual(findings[2]["fault"], "row doubled")
        self.assertIn("this one's stands in the place of row 3 of rank 1", findings[2]["message"])
        self.assertNotIn("lost", findings[2]["message"])
        self.assertEqual(findings[3]["fault"], "row lost")
        self.assertNotIn("doubled", findings[3]["message"])
        self.assertIn("stands nowhere, it is lost", findings[3]["message"])


class Zeros(Verifying):
    def test_the_sign_of_a_zero_counts_where_a_sum_is_declared(self):
        for backend, is_free in (("deepep_low_latency", False), ("deepep_high_throughput", False),
                                 ("allgather_reducescatter", True)):
            kind = "batched_experts" if backend == "deepep_low_latency" else "standard"
            capture = made(5, backend=backend, format=kind, tokens=[3, 6], experts=8, top_k=2,
                           hidden=2048, masked=0)
            for rank in capture.ranks:
                rank["expert_output"] = ("BF16", numpy.full_like(rank["expert_output"], 0x8000))
                rank["combined"][:] = 0
            wrong = capture.with_own(1, "combined")
            wrong[1]["combined"][2, 9] = 0x8000
            right, judged = self.verify([capture, wrong])
            self.assertEqual(right["findings"], [])
            if is_free:
                self.assertEqual(judged["findings"], [])
                continue
            finding, = judged["findings"]
            self.assertEqual((finding["row"], finding["column"]), (2, 9))
            self.assertEqual(finding["value"], "-0 (0x8000)")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
