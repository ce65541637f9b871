#!/usr/bin/python3
"""verify_rows_test.py MOEBIUS: dispatched rows and what comes with them, damaged in ways that look
like others: what is said of each is what happened.
"""

import sys
import unittest

import numpy
from damages import ROWS
from verify_test import real
from verifying import Verifying

HIGH_THROUGHPUT = "deepep_high_throughput-uneven"
ALL_GATHER = "nccl-allgather_reducescatter-uneven"


class Changed(Verifying):
    def findings(self, name, rank, tensor, change):
        """The findings of a copy, all of that tensor and rank, by their row."""
        capture = real()[name].with_own(rank, tensor)
        change(capture[rank][tensor])
        judged, = self.verify([capture])
        self.assertEqual({(one["tensor"], one["rank"]) for one in judged["findings"]},
                         {(tensor, rank)})
        found = {one["row"]: one for one in judged["findings"]}
        self.assertEqual(len(found), len(judged["findings"]))
        return found


class Rows(Changed):
    def ordered(self, order, name=HIGH_THROUGHPUT):
        """Findings of rank 1's rows in another order: {row: the one that stands there}."""
        def change(table):
            before = table.copy()
            for row, held in order.items():
                table[row] = before[held]
        return self.findings(name, 1, ROWS, change)

    def test_swapped_and_a_bit(self):
        def change(table):
            table[[0, 4]] = table[[4, 0]]
            table[0, 7] ^= 1 << 5
        for name in (HIGH_THROUGHPUT, ALL_GATHER):
            findings = self.findings(name, 1, ROWS, change)
            self.assertEqual(sorted(findings), [0, 4])
            for row, side in ((0, "here"), (4, "there")):
                self.assertEqual(findings[row]["fault"], "row swapped")
                self.assertIn(f"in row {4 - row} of rank 1", findings[row]["message"])
                self.assertIn(f"and {side} 1 element differs (column 7, bit 5)",
                              findings[row]["message"])

    def test_swapped_and_a_bit_in_batched_rows(self):
        for name in ("deepep_low_latency-uneven", "deepep_low_latency-uneven-fp8"):
            rank = real()[name][0]
            expert = int(rank["expert_num_tokens"].argmax())
            capture = real()[name].with_own(0, ROWS)
            table = capture[0][ROWS][expert]
            table[[0, 3]] = table[[3, 0]]
            table[3, 99] ^= 1 << 2
            judged, = self.verify([capture])
            found = {one["slot"]: one for one in judged["findings"]
                     if one["tensor"] == ROWS}
            self.assertEqual(sorted(found), [0, 3])
            for slot, side in ((0, "there"), (3, "here")):
                self.assertEqual(found[slot]["fault"], "row swapped", found[slot]["message"])
                self.assertIn(f"and {side} 1 element differs (column 99, bit 2)",
                              found[slot]["message"])

    def test_rows_that_only_changed_places(self):
        order = {1: 5, 5: 9, 9: 1}
        for row, finding in self.ordered(order).items():
            self.assertEqual(finding["fault"], "order broken")
            place = {held: at for at, held in order.items()}[row]
            self.assertIn(f"stands in row {place} of rank 1", finding["message"])
            for word in ("doubled", "lost"):
                self.assertNotIn(word, finding["message"])

    def test_doubled_is_what_stands_twice_and_lost_what_stands_nowhere(self):
        findings = self.ordered({1: 5, 5: 9})
        self.assertEqual(findings[1]["fault"], "row lost")
        self.assertNotIn("doubled", findings[1]["message"])
        self.assertIn("is lost", findings[1]["message"])
        self.assertEqual(findings[5]["fault"], "row doubled")
        self.assertIn("stands in row 1 of rank 1", findings[5]["message"])
        self.assertNotIn("lost", findings[5]["message"])

    def test_a_run_of_rows_that_moved_on(self):
        finding, = self.ordered({3: 2, 4: 3, 5: 4}).values()
        self.assertEqual((finding["fault"], finding["row"]), ("row doubled", 3))
        self.assertIn("each the one before", finding["message"])
        self.assertIn("is lost", finding["message"])
        self.assertIn("stands twice", finding["message"])
        findings = self.ordered({3: 2, 4: 3, 5: 4, 2: 9, 9: 5})
        for finding in findings.values():
            self.assertEqual(finding["fault"], "order broken", finding["message"])
            for word in ("doubled", "lost", "twice"):
                self.assertNotIn(word, finding["message"])

    def test_one_bit_of_every_element_is_no_factor(self):
        def change(table):
            table[6] ^= 1
        for name in (HIGH_THROUGHPUT, ALL_GATHER):
            finding, = self.findings(name, 1, ROWS, change).values()
            self.assertEqual(finding["fault"], "value changed")
            self.assertIn("2048 elements, columns 0 to 2047, bit 0 of each", finding["message"])

    def test_a_factor_explains_every_element_or_is_not_said(self):
        def doubled(table):
            table[6] = numpy.where(table[6] & 0x7FFF, table[6] + 0x80, table[6])
        finding, = self.findings(HIGH_THROUGHPUT, 1, ROWS, doubled).values()
        self.assertEqual(finding["fault"], "row scaled")
        self.assertIn("the row times 2", finding["message"])

        def all_but_one(table):
            doubled(table)
            table[6, 1000] ^= 1
        finding, = self.findings(HIGH_THROUGHPUT, 1, ROWS, all_but_one).values()
        self.assertEqual(finding["fault"], "value changed", finding["message"])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
