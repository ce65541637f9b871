#!/usr/bin/python3
"""quantise_test.py QUANTISE_CODES: golden/quantise.py gives the bytes of the kernels and of the
judge, for every bf16 number alone and beside a maximum, and for hostile blocks. A difference is
named with the recipe, the byte and the row of values it comes from.
"""

import subprocess
import sys
import unittest
from pathlib import Path

import numpy

ROOT = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "golden"))
import quantise  # noqa: E402

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "build/cpu/tests/process/moe_quantise_codes"
GIVEN = {"fp8_static_tensor", "int8_static_tensor", "nvfp4"}
ALONE = {"fp8_static_tensor", "fp8_dynamic_tensor", "int8_static_tensor", "fp8_block128x128"}
CHOSEN = {"int4_uint4b8", "int4_zero_point", "int8_uint8b128"}
NUMBERS = (numpy.arange(1 << 16, dtype=numpy.uint32) << 16).view(numpy.float32)


def beside(most):
    return numpy.stack([NUMBERS, numpy.full_like(NUMBERS, most)], axis=1)


def hostile():
    """Rows of 300 columns, so that the last group of every recipe is short."""
    f32, column = numpy.float32, numpy.arange(300)
    rows = [numpy.zeros(300), -numpy.zeros(300)]
    for odd in (numpy.nan, numpy.inf, -numpy.inf):
        rows += [numpy.full(300, odd), numpy.where(column % 16 == 3, odd, column % 7 - 3)]
    for tiny in (2.0 ** -149, 1.5 * 2.0 ** -127, 2.0 ** -126, 1e-10):
        rows.append(tiny * (column % 5 - 2))
    for limit in (448, 224, 127, 6, 7, 1.75, 2.0 ** 127):
        for most in (numpy.nextafter(f32(limit), f32(0)), limit,
                     numpy.nextafter(f32(limit), f32(numpy.inf))):
            rows.append(numpy.where(column % 16 == 15, -most, limit * (column - 150) / 128))
    for scale in range(-40, 41, 5):
        rows.append(numpy.ldexp(numpy.sin(column * 1.7), scale))
    return numpy.stack(rows).astype(f32)


class Quantise(unittest.TestCase):
    def codes(self, recipe, values, order):
        """(the kernels' bytes, the judge's bytes)."""
        given = numpy.float32(order.given[0] if order.given else 0).view(numpy.uint32)
        words = [recipe, *map(str, values.shape), str(order.parts), "fnuz" if order.fnuz else "fn",
                 str(order.group_columns), order.scale_dtype, f"{given:08x}"]
        done = subprocess.run([PROGRAM, *words], input=values.tobytes(), capture_output=True,
                              check=False, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        half = len(done.stdout) // 2
        return done.stdout[:half], done.stdout[half:]

    def compare(self, recipe, values, given=None, **choices):
        parts = len(values) if recipe in ALONE else 1
        order = quantise.Order(parts=parts, given=(given,) * parts if recipe in GIVEN else (),
                               **choices)
        data, scales, zero_points = quantise.quantise(recipe, values, order)
        ours = scales + data + zero_points
        for whose, theirs in zip(("kernels", "judge"), self.codes(recipe, values, order)):
            if ours == theirs:
                continue
            self.assertEqual(len(ours), len(theirs), f"{recipe}: bytes of the {whose}")
            at = next(i for i, pair in enumerate(zip(ours, theirs)) if pair[0] != pair[1])
            part, begin, size = (("scales", 0, len(scales)) if at < len(scales) else
                                 ("codes", len(scales), len(data)))
            row = (at - begin) * len(values) // size
            self.fail(f"{recipe} {choices}: {part} of row {row}, {values[row][:40]}: byte {at} is "
                      f"{ours[at]} here, {theirs[at]} of the {whose}")

    def compare_all(self, values, given, **choices):
        for recipe in quantise.RECIPES:
            with self.subTest(recipe, given=given):
                self.compare(recipe, values, given, **choices)

    def test_every_number_alone(self):
        for given in (0.37, 840.0):
            self.compare_all(NUMBERS[:, None], given)

    def test_every_number_beside_a_maximum(self):
        for most in (448, 3.3125, 6):
            self.compare_all(beside(most), 2688 / most)

    def test_hostile_blocks(self):
        for given in (1.0, 0.0, 2.0 ** -140, 3e38, numpy.nan, 5.6):
            self.compare_all(hostile(), given)

    def test_rocm_and_groups(self):
        for recipe in quantise.RECIPES:
            if recipe.startswith("fp8"):
                self.compare(recipe, beside(3.3125), 0.37, fnuz=True)
                self.compare(recipe, hostile(), 0.37, fnuz=True)
        for recipe in sorted(CHOSEN):
            for dtype in ("f16", "bf16", "f32"):
                for group in (0, 5, 32):
                    self.compare(recipe, hostile(), group_columns=group, scale_dtype=dtype)

    def test_numbers_of_the_specification(self):
        values = numpy.array([[.1, -.2, .3, -.4, .5, -.6, .7, -.8, .9, -1, 1.1, -1.2, 1.3, -1.4,
                               1.5, -1.6]], numpy.float32)
        bits = values.view(numpy.uint32).astype(numpy.int64)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
        values = bits.astype(numpy.uint32).view(numpy.float32)
        data, scales, _ = quantise.quantise("nvfp4", values, quantise.Order(given=(840,)))
        self.assertEqual(scales.hex(), "76")
        self.assertEqual(data.hex(), "a1b2c4d5e5e6f6f7")
        for recipe, amax, exponent in (
                ("mxfp4_cutlass", 3.9, -1), ("mxfp4_ocp", 448, 6), ("mxfp4_even", 3.9, 0),
                ("mxfp4_even", 7, 1), ("mxfp8", 500, 1), ("mxfp8_torch", 448, 8)):
            _, scales, _ = quantise.quantise(recipe, [[amax, 0.25]])
            self.assertEqual(scales[0] - 127, exponent, f"{recipe} of {amax}")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
