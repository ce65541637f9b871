#!/usr/bin/python3
"""golden/engine.py: the steps of engines, counted by hand from the rules of vLLM's loop.

What the C++ engines come to is held against the same rules by scenarios/engine, whose goldens
engine.py has made.
"""

import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "golden"))
import engine  # noqa: E402
import world  # noqa: E402


def settings(requests, **other):
    section = world.Section("here", {"requests": requests, **other})
    return engine.read_engine(section, 2)


class Steps(unittest.TestCase):
    def steps(self, requests, dp=2, budget=2048, **other):
        return engine.steps_of(settings(requests, **other), dp, budget)

    def test_dummies_fill_up_to_the_vote(self):
        steps = self.steps([{"prompt": 6, "output": 2}, {"rank": 1, "arrives": 2}], budget=4)
        self.assertEqual(steps[:3], [[4, 1], [2, 1], [1, 1]])
        self.assertEqual(len(steps), 32)
        self.assertEqual(steps[3:], [[1, 1]] * 29)

    def test_work_after_the_vote_goes_to_the_next(self):
        self.assertEqual(len(self.steps([{"output": 32}])), 32)
        self.assertEqual(len(self.steps([{"output": 33}])), 64)

    def test_a_late_request_starts_a_wave(self):
        steps = self.steps([{"prompt": 3}, {"rank": 1, "arrives": 40, "prompt": 5}])
        self.assertEqual(len(steps), 64)
        self.assertEqual((steps[0], steps[32]), ([3, 1], [1, 5]))

    def test_one_that_comes_within_a_wave_does_not(self):
        steps = self.steps([{"prompt": 3}, {"rank": 1, "arrives": 31, "prompt": 5}])
        self.assertEqual((len(steps), steps[31]), (32, [1, 5]))

    def test_one_rank_stops_with_its_work(self):
        self.assertEqual(self.steps([{"prompt": 3, "output": 2}], dp=1), [[3], [1]])

    def test_graphs_pad_all_ranks_alike_or_none(self):
        steps = self.steps([{"prompt": 3, "output": 2}, {"rank": 1, "prompt": 9}],
                           graph_mode="full", capture_sizes=[2, 8])
        self.assertEqual(steps[:2], [[8, 9], [2, 2]])

    def test_micro_batches_pad_where_all_want_them(self):
        both = [{"prompt": 600}, {"rank": 1, "prompt": 520}]
        self.assertEqual(self.steps(both, dbo=True)[0], [600, 600])
        self.assertEqual(self.steps(both)[0], [600, 520])
        self.assertEqual(self.steps([{"prompt": 600}, {"rank": 1, "prompt": 500}], dbo=True)[0],
                         [600, 500])
        too_few = [{"prompt": 1200}, {"rank": 1, "prompt": 600}]  # the second half would be empty
        self.assertEqual(self.steps(too_few, dbo=True)[0], [1200, 600])

    def test_lines_settle_the_budget_and_whether_there_are_graphs(self):
        asked = settings([{"prompt": 600}], graph_mode="full")
        low, high = {"backend": "deepep_low_latency"}, {"backend": "deepep_high_throughput"}
        for runs, ranks, said, budget, mode in (
                (None, (2, True), None, 2048, "full"), ([low], (2, True), None, 256, "full"),
                ([{}, low], (2, True), None, 256, "full"), ([low], (2, True), 300, 300, "full"),
                ([{**low, "profile": "post-36286"}], (2, True), None, 2048, "full"),
                ([low], (1, True), None, 2048, "full"), ([low], (2, False), None, 2048, "full"),
                ([high], (2, True), None, 2048, "none"), ([high], (1, True), None, 2048, "full"),
                ([{}, high], (2, True), None, 2048, "full")):
            with self.subTest(runs=runs, ranks=ranks):
                found, tokens = engine.settled(asked, runs, ranks, said)
                self.assertEqual((tokens, found["graph_mode"]), (budget, mode))

    def test_what_cannot_be_is_refused(self):
        for requests, other in (([{"rank": 2}], {}), ([{"prompt": 0}], {}), ([{}], {"dbo": 1}),
                                ([{}], {"graph_mode": "eager"}), ([{}], {"capture_sizes": [4, 2]}),
                                ([{"arives": 1}], {})):
            with self.assertRaises(world.ScenarioError):
                settings(requests, **other)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
