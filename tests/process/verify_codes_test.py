#!/usr/bin/python3
"""verify_codes_test.py MOEBIUS: codes of quantised rows that are all made in another way under
right scales: rounded, cut off or scaled otherwise. What is said of each is what happened, once for
a rank.
"""

import sys
import unittest
import unittest.mock

import captures
import numpy
from damages import ROWS
from verifying import Verifying

LIMIT = numpy.float32(448)
LARGEST = 0x7E
TRUNCATED = "codes rounded towards zero, not to the nearest"
CUT = "codes cut off at 240"
LOW_LATENCY = dict(backend="deepep_low_latency", format="batched_experts", tokens=[5, 2, 3],
                   experts=6, top_k=2, hidden=2560, quantised=True, labels=True, more_room=3)


def values(codes):
    """Of magnitudes' codes."""
    exponent, mantissa = codes >> 3, (codes & 7).astype("f8")
    return numpy.where(exponent == 0, mantissa / 512, (8 + mantissa) * 2.0 ** (exponent - 10.0))


def rounded(choose):
    """Codes of the declared scaled values, of which choose(below, above, nearest, scaled) takes one
    from the magnitudes' codes."""
    def codes_of(groups, amax, _):
        scaled = groups * (LIMIT / amax)
        nearest = captures.e4m3(numpy.abs(scaled)).astype("i4")
        below = nearest - (values(nearest) > numpy.abs(scaled))
        above = numpy.minimum(nearest + (values(nearest) < numpy.abs(scaled)), LARGEST)
        chosen = choose(below, above, nearest, scaled)
        return (chosen + 0x80 * numpy.signbit(scaled)).astype("u1")
    return codes_of


def at_tie(to_above):
    def choose(below, above, nearest, scaled):
        is_tie = (values(below) + values(above)) / 2 == numpy.abs(scaled)
        return numpy.where(is_tie & (below != above), above if to_above else below, nearest)
    return rounded(choose)


def through(store, load):
    return lambda groups, amax, _: captures.e4m3(load(store(groups * (LIMIT / amax))))


def clipped(rows, limit):
    return captures.e4m3(numpy.clip(rows, -numpy.float32(limit), numpy.float32(limit)))


def power_of_two(scales):
    return 2 ** numpy.ceil(numpy.log2(scales))


# What a library may do in the place of e4m3(x · (448 / amax)), by what must be said of it.
OTHERS = {
    TRUNCATED: rounded(lambda low, high, near, x: low),
    "codes rounded away from zero": rounded(lambda low, high, near, x: high),
    "codes rounded up": rounded(lambda low, high, near, x: numpy.where(x < 0, low, high)),
    "codes rounded down": rounded(lambda low, high, near, x: numpy.where(x < 0, high, low)),
    "codes whose ties are rounded away from zero": at_tie(to_above=True),
    "codes whose ties are rounded towards zero": at_tie(to_above=False),
    CUT: lambda x, amax, scale: clipped(x * (LIMIT / amax), 240),
    "codes cut off at 224": lambda x, amax, scale: clipped(x * (LIMIT / amax), 224),
    "codes of x times 240 / amax":
        lambda x, amax, scale: captures.e4m3(x * (numpy.float32(240) / amax)),
    "codes of x times 224 / amax":
        lambda x, amax, scale: captures.e4m3(x * (numpy.float32(224) / amax)),
    "rounded to bf16 first": through(captures.bf16, lambda bits: captures.floats(bits, "BF16")),
    "rounded to f16 first": through(lambda x: x.astype("<f2"), lambda x: x.astype("<f4")),
    "codes of x itself, without a scale": lambda x, amax, scale: clipped(x, 448),
    "codes of x times scale": lambda x, amax, scale: clipped(x * scale, 448),
    "codes of x / scale": lambda x, amax, scale: clipped(x / scale, 448),
    "codes of x / (amax / 448)": lambda x, amax, scale: clipped(x / (amax / LIMIT), 448),
    "codes of x times (1 / scale)":
        lambda x, amax, scale: clipped(x * (numpy.float32(1) / scale), 448),
    "codes under scales rounded up to powers of two":
        lambda x, amax, scale: captures.e4m3(x / power_of_two(scale)),
}


def codes_and_scales(codes_of):
    """A quantiser whose codes are codes_of(groups, amax, scales) and whose scales are right."""
    def quantised(rows, declared=captures.quantised):
        groups = rows.reshape(len(rows), rows.shape[1] // 128, 128)
        amax = numpy.maximum(numpy.abs(groups).max(axis=2), numpy.float32(1e-4))[..., None]
        scales = declared(rows)[1]
        return codes_of(groups, amax, scales[..., None]).reshape(rows.shape), scales
    return quantised


def made(codes_of=None, seed=11, **world):
    """A made-up capture whose library's codes are codes_of(groups, amax, scales)."""
    world = LOW_LATENCY | world
    if codes_of is None:
        return captures.made(seed, **world)
    with unittest.mock.patch("captures.quantised", codes_and_scales(codes_of)):
        return captures.made(seed, **world)


class Codes(Verifying):
    def judged(self, capture):
        judged, = self.verify([capture])
        return [one for one in judged["findings"] if one["tensor"] != "combined"]

    def mixed(self, capture, other, number, slots):
        """A copy whose rank has the other's codes in those slots."""
        copy = capture.with_own(number, ROWS)
        for slot in slots:
            copy[number][ROWS][slot] = other[number][ROWS][slot]
        return copy

    def test_right_ones_are_silent(self):
        self.assertEqual(self.judged(made()), [])
        self.assertEqual(self.judged(made(amax=numpy.float32(3.5))), [])


class WholeRanks(Codes):
    def is_told_once(self, words, right, other):
        """One finding for each rank with a wrong code, which says where and how much."""
        findings = {one["rank"]: one for one in self.judged(other)}
        for number in range(3):
            slots = right.valid(number)
            wrong = {slot: numpy.flatnonzero(right[number][ROWS][slot] != other[number][ROWS][slot])
                     for slot in slots}
            differing = [slot for slot in slots if wrong[slot].size]
            self.assertGreater(len(differing), 1, words)
            finding = findings.pop(number)
            self.assertEqual(finding["fault"], "quantiser differs")
            self.assertEqual(finding["elements"], sum(one.size for one in wrong.values()))
            (expert, slot), column = differing[0], wrong[differing[0]][0]
            self.assertEqual((finding["tensor"], finding["expert"], finding["slot"],
                              finding["column"]), (ROWS, expert, slot, column))
            message = finding["message"]
            self.assertIn(f"(0x{other[number][ROWS][expert, slot, column]:02x}), expected", message)
            self.assertIn("all rows of the rank: ", message)
            self.assertIn(words, message)
            self.assertIn(f"({len(differing)} of {len(slots)} differ, "
                          f"in {finding['elements']} codes)", message)
        self.assertEqual(findings, {}, words)

    def test_another_way_to_make_them(self):
        for words, codes_of in OTHERS.items():
            world = {"amax": numpy.float32(3.5)} if "ties" in words else {}
            with self.subTest(words):
                self.is_told_once(words, made(**world), made(codes_of, **world))

    def test_without_labels(self):
        world = dict(backend="nixl_ep", labels=False)
        for words in ("codes of x itself, without a scale", "codes rounded away from zero"):
            self.is_told_once(words, made(**world), made(OTHERS[words], **world))

    def test_rows_of_standard_format(self):
        findings = self.judged(made(
            OTHERS[CUT], backend="deepep_high_throughput", format="standard",
            tokens=[9, 5, 7, 4], experts=8, hidden=512, space="local", labels=False, more_room=0))
        self.assertEqual([one["rank"] for one in findings], [0, 1, 2, 3])
        for finding in findings:
            self.assertIn(CUT, finding["message"])

    def test_ways_that_make_the_same_are_both_said(self):
        def truncated_of_no_sign(groups, amax, _):
            return OTHERS["codes rounded down"](numpy.abs(groups), amax, _)
        capture = made(truncated_of_no_sign)
        for rank in capture.ranks:
            rank["hidden_states"] &= 0x7FFF
        for finding in self.judged(capture):
            self.assertIn("rounded towards zero", finding["message"])
            self.assertIn("; or codes rounded down", finding["message"])


class PartsOfRanks(Codes):
    def test_one_row_is_named_alone(self):
        for words in (TRUNCATED, CUT):
            right, other = made(), made(OTHERS[words])
            slot = right.valid(1)[1]
            finding, = self.judged(self.mixed(right, other, 1, [slot]))
            self.assertEqual((finding["rank"], finding["expert"], finding["slot"]), (1, *slot))
            self.assertEqual(finding["fault"], "quantiser differs")
            self.assertIn(words, finding["message"])
            self.assertNotIn("of the rank", finding["message"].split("expected", 1)[1])

    def test_what_a_way_does_not_explain_is_named_one_by_one(self):
        for words in (TRUNCATED, CUT):
            capture = made(OTHERS[words])
            slots = capture.valid(1)
            expert, slot = slots[2]
            capture[1][ROWS][expert, slot, 700] ^= 0x81
            told, alone = [one for one in self.judged(capture) if one["rank"] == 1]
            self.assertIn(f"{len(slots) - 1} of the rank's {len(slots)} rows: {words}",
                          told["message"])
            self.assertEqual((alone["expert"], alone["slot"]), (expert, slot))
            self.assertEqual(alone["fault"], "value changed", alone["message"])

    def test_two_ways_are_two_findings(self):
        capture = made(OTHERS[TRUNCATED])
        number = max(range(3), key=lambda rank: len(capture.valid(rank)))
        slots = capture.valid(number)
        findings = self.judged(self.mixed(capture, made(OTHERS[CUT]), number, slots[:2]))
        texts = [one["message"] for one in findings if one["rank"] == number]
        self.assertEqual(len(texts), 2)
        self.assertIn(f"{len(slots) - 2} of the rank's {len(slots)} rows: {TRUNCATED}", texts[0])
        self.assertIn(f"2 of the rank's {len(slots)} rows: {CUT}", texts[1])

    def test_few_codes_that_right_rows_contradict_are_no_way(self):
        words = "codes of x / scale"
        right, other = made(), made(OTHERS[words])
        wrong = {slot: int((right[2][ROWS][slot] != other[2][ROWS][slot]).sum())
                 for slot in right.valid(2)}
        few = sorted((slot for slot in wrong if wrong[slot]), key=wrong.get)[:2]
        self.assertLess(sum(wrong[slot] for slot in few), 8)
        self.assertGreater(sum(count > 0 for count in wrong.values()), 2)
        findings = self.judged(self.mixed(right, other, 2, few))
        self.assertEqual(len(findings), 2)
        for finding in findings:
            self.assertNotRegex(finding["message"], "rank's [0-9]+ rows|all rows of the rank")

    def test_single_elements_keep_their_name(self):
        capture = made().with_own(0, ROWS)
        slots = capture.valid(0)
        for expert, slot in slots:
            capture[0][ROWS][expert, slot, 77] ^= 1
        findings = self.judged(capture)
        self.assertEqual(len(findings), len(slots))
        for finding in findings:
            self.assertEqual(finding["fault"], "value changed")
            self.assertRegex(finding["message"], "one element, 1 bit$")

    def test_a_single_element_keeps_its_name_although_a_way_makes_it(self):
        divided = OTHERS["codes of x / scale"]
        for seed in range(11, 30):
            right, other = made(seed=seed), made(divided, seed=seed)
            slot = next((slot for slot in right.valid(1) if
                         (right[1][ROWS][slot] != other[1][ROWS][slot]).sum() == 1), None)
            if slot is not None:
                break
        finding, = self.judged(self.mixed(right, other, 1, [slot]))
        self.assertEqual(finding["fault"], "value changed")
        self.assertRegex(finding["message"], "one element, [0-9] bits?$")

    def test_rows_never_written_are_not_cast_without_a_scale(self):
        capture = made()
        for rank in capture.ranks:  # so small that they are 0 in e4m3, and none is negative
            rank["hidden_states"] = 0x3800 + (rank["hidden_states"] & 0x7F)
            rank[ROWS][:] = 0
        findings = [one for one in self.judged(capture) if one["tensor"] == ROWS]
        self.assertEqual(len(findings), sum(len(capture.valid(rank)) for rank in range(3)))
        self.assertEqual({one["fault"] for one in findings}, {"row never written"})


class MostlyDue(Codes):
    """A row that is like the one due more than like any other is never called another one."""

    def test_a_row_torn_in_the_middle(self):
        draw = numpy.random.default_rng(5)
        for world in ({}, {"quantised": False}):
            capture = made(**world).with_own(1, ROWS)
            expert, slot = capture.valid(1)[0]
            row = capture[1][ROWS][expert, slot]
            row[1500:] = draw.permutation(row[1500:])
            finding, = self.judged(capture)
            self.assertEqual(finding["fault"], "value changed", finding["message"])
            agreeing = 2560 - finding["elements"]
            self.assertIn(f"agrees with the row that is due in {agreeing} of 2560 columns",
                          finding["message"])

    def test_rows_that_no_way_makes(self):
        def mostly_truncated(groups, amax, scale):
            codes = OTHERS[TRUNCATED](groups, amax, scale)
            codes[..., ::4] = captures.e4m3(groups * (LIMIT / amax))[..., ::4]
            return codes
        findings = self.judged(made(mostly_truncated))
        self.assertEqual(len(findings), sum(len(made().valid(rank)) for rank in range(3)))
        for finding in findings:
            self.assertEqual(finding["fault"], "value changed", finding["message"])
            self.assertIn(f"in {2560 - finding['elements']} of 2560 columns", finding["message"])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
