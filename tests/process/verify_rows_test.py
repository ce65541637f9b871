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


class Labels(Changed):
    """Ids, weights, scales and ranges: one sentence where one explains a whole row."""

    def test_the_row_s_own_in_another_order(self):
        for name in (HIGH_THROUGHPUT, ALL_GATHER):
            for tensor, fault in (("dispatched_topk_ids", "id changed"),
                                  ("dispatched_topk_weights", "weight changed")):
                table = real()[name][1][tensor]
                row = next(i for i, one in enumerate(table) if len(set(one.tolist())) == 4)
                def change(table):
                    table[row] = numpy.roll(table[row], 1)
                finding, = self.findings(name, 1, tensor, change).values()
                self.assertEqual((finding["row"], finding["fault"]), (row, fault))
                self.assertEqual(finding["elements"], 4)
                self.assertIn("the row's own in another order: that of choice 3 in slot 0, that "
                              "of choice 0 in slot 1", finding["message"])

    def test_an_id_out_of_range_and_one_of_another_choice(self):
        ids = real()[ALL_GATHER][1]["dispatched_topk_ids"]
        self.assertTrue((ids[3] >= 0).all())
        for value, part in ((99, "out of range: ids are -1 to 31 here"),
                            (-7, "out of range: ids are -1 to 31 here"),
                            (int(ids[3, 2]), "the id of the token's choice 2"),
                            (-1, f"the choice of expert {ids[3, 0]} is masked")):
            def change(table):
                table[3, 0] = value
            finding, = self.findings(ALL_GATHER, 1, "dispatched_topk_ids", change).values()
            self.assertEqual((finding["row"], finding["slot"], finding["fault"]),
                             (3, 0, "id changed"))
            self.assertIn(part, finding["message"])

    def test_a_masked_choice_that_became_an_id(self):
        for name in (HIGH_THROUGHPUT, ALL_GATHER):
            capture = real()[name]
            ids = capture[0]["dispatched_topk_ids"]
            row, slot = next((int(r), int(s)) for r, s in zip(*numpy.nonzero(ids == -1)))
            def change(table):
                table[row, slot] = 0
            finding, = self.findings(name, 0, "dispatched_topk_ids", change).values()
            self.assertEqual((finding["row"], finding["slot"], finding["fault"]),
                             (row, slot, "id changed"))
            source, token = capture.due(0)[row]
            expert = capture[source]["topk_ids"][token, slot]
            self.assertIn("the token's choice is masked" if expert < 0 else
                          f"the token's choice is expert {expert}, which is not one of rank 0's",
                          finding["message"])

    def test_rows_of_labels_that_only_changed_places(self):
        for tensor in ("dispatched_topk_ids", "dispatched_topk_weights"):
            table = real()[ALL_GATHER][1][tensor]
            self.assertEqual(len({row.tobytes() for row in table[:3]}), 3)
            def change(table):
                table[:3] = numpy.roll(table[:3], 1, axis=0)
            for row, finding in self.findings(ALL_GATHER, 1, tensor, change).items():
                self.assertEqual(finding["fault"], "order broken")
                self.assertIn(f"those of row {(row - 1) % 3}: rows have changed places",
                              finding["message"])

            def copy(table):
                table[2] = table[5]
            finding, = self.findings(ALL_GATHER, 1, tensor, copy).values()
            self.assertEqual(finding["fault"], "row doubled")
            self.assertIn("those of row 5, which has them too", finding["message"])

    def test_a_weight_that_is_no_number(self):
        def change(table):
            table[3, 1] = numpy.nan
        finding, = self.findings(ALL_GATHER, 1, "dispatched_topk_weights", change).values()
        self.assertIn("bits differ", finding["message"])

    def test_weights_times_two(self):
        for name in (HIGH_THROUGHPUT, ALL_GATHER):
            weights = real()[name][1]["dispatched_topk_weights"]
            row = next(i for i, one in enumerate(weights) if (one != 0).sum() > 1)
            def all_of_them(table):
                table[row] *= 2
            finding, = self.findings(name, 1, "dispatched_topk_weights", all_of_them).values()
            self.assertEqual((finding["row"], finding["fault"]), (row, "weight changed"))
            self.assertIn("every weight of the row times 2", finding["message"])

            def one_by_three(table):
                table[row, int(numpy.flatnonzero(table[row])[0])] *= 3
            finding, = self.findings(name, 1, "dispatched_topk_weights", one_by_three).values()
            self.assertTrue(finding["message"].endswith(": times 3"), finding["message"])

    def scales(self, change):
        name = "deepep_low_latency-uneven-fp8"
        capture = real()[name].with_own(0, "dispatched_scales")
        expert = int(capture[0]["expert_num_tokens"].argmax())
        row = capture[0]["dispatched_scales"][expert, 1]
        row[:] = change(row)
        judged, = self.verify([capture])
        finding, = judged["findings"]
        self.assertEqual((finding["fault"], finding["expert"], finding["slot"]),
                         ("scale changed", expert, 1))
        return finding

    def test_scales_that_moved_or_all_changed(self):
        for by in (1, 3, -2):
            finding = self.scales(lambda row: numpy.roll(row, by))
            groups = "group" if by == 1 else "groups"
            self.assertIn(f"the row's scales moved by {by} {groups}", finding["message"])
            self.assertGreater(finding["elements"], 10)
        finding = self.scales(lambda row: row * numpy.float32(1.5))
        self.assertIn("every scale of the row times 1.5", finding["message"])
        self.assertEqual(finding["elements"], 16)

    def test_a_source_s_range(self):
        name = "deepep_low_latency-uneven"
        ranges = real()[name][0]["source_range"]
        expert, source = next((int(e), int(s)) for e, s in zip(*numpy.nonzero(
            ranges & 0xFFFFFFFF == 0)) if (ranges[e] & 0xFFFFFFFF).any())
        count = int((ranges[expert] & 0xFFFFFFFF).max())
        for begin, is_right in ((0, True), (count, True), (count + 1, False)):
            capture = real()[name].with_own(0, "source_range")
            capture[0]["source_range"][expert, source] = begin << 32
            judged, = self.verify([capture])
            if is_right:
                self.assertEqual(judged["findings"], [])
                continue
            finding, = judged["findings"]
            self.assertEqual((finding["tensor"], finding["expert"], finding["source_rank"]),
                             ("source_range", expert, source))
            self.assertIsNone(finding["slot"])
            self.assertIn(f"source rank {source}: begin {begin} count 0, expected begin 0 or "
                          f"{count} count 0", finding["message"])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
