#!/usr/bin/python3
"""golden/quantise.py: the quantisers once more, in numpy, by the recipes' names.

The third of three: kernels/recipe_arithmetic.h and golden/quantise.cc are the others, and
tests/process/quantise_test.py holds them together byte by byte. Definitions are those of
experts-and-oracles.md, 8, and numerics.md, 5; every operation in float32 where a recipe rounds.
A library: it reads and prints nothing.
"""

import dataclasses

import numpy

F32 = numpy.float32
ALL = 0


@dataclasses.dataclass
class Order:
    """given: a scale for each part; group_columns and scale_dtype: of the uint recipes."""
    parts: int = 1
    given: tuple = ()
    scale_ub: float | None = None
    fnuz: bool = False
    group_columns: int = 128
    scale_dtype: str = "f16"


class Blocks:
    """A matrix cut into blocks that share a scale; the last of a row or part may be short."""

    def __init__(self, values, rows, columns, order):
        self.values, self.order = values, order
        part = values.shape[0] // order.parts
        self.row_starts = numpy.concatenate(
            [numpy.arange(begin, begin + part, rows or part) for begin in
             range(0, values.shape[0], part)])
        self.column_starts = numpy.arange(0, values.shape[1], columns or values.shape[1])
        self.limit = F32(224 if order.fnuz else 448)
        given = numpy.array(order.given or [0] * order.parts, F32)
        self.given = given[self.row_starts // part][:, None] + numpy.zeros_like(
            self.column_starts, F32)

    def most(self, numbers):
        """[row groups, column groups]: the largest of each block, and of 0; NaN counts as 0."""
        clean = numpy.where(numpy.isnan(numbers), F32(0), numbers)
        largest = numpy.maximum.reduceat(clean, self.row_starts, axis=0)
        largest = numpy.maximum.reduceat(largest, self.column_starts, axis=1)
        return numpy.maximum(largest, F32(0)) + F32(0)

    def amax(self, floor=0):
        return numpy.maximum(self.most(numpy.abs(self.values)), F32(floor))

    def spread(self, per_block):
        """A number for each block as one for each value."""
        rows, columns = self.values.shape
        rows = numpy.diff(numpy.append(self.row_starts, rows))
        columns = numpy.diff(numpy.append(self.column_starts, columns))
        return numpy.repeat(numpy.repeat(per_block, rows, axis=0), columns, axis=1)


def to_small_float(values, fraction_bits, smallest_exponent, largest, nan):
    """Codes of a sign, an exponent and a fraction: nearest, ties to even, saturating."""
    wide = numpy.abs(values).astype(numpy.float64)
    wide = numpy.minimum(numpy.where(numpy.isnan(wide), 0, wide), largest)
    exponent = numpy.where(wide == 0, smallest_exponent, numpy.frexp(wide)[1] - 1)
    exponent = numpy.maximum(exponent, smallest_exponent)
    steps = numpy.rint(numpy.ldexp(wide, fraction_bits - exponent)).astype(numpy.int64)
    codes = steps + ((exponent - smallest_exponent).astype(numpy.int64) << fraction_bits)
    sign = numpy.signbit(values).astype(numpy.int64)
    return numpy.where(numpy.isnan(values), nan, codes), sign


def e4m3fn(values):
    codes, sign = to_small_float(values, 3, -6, 448, 0x7F)
    return numpy.where(numpy.isnan(values), codes, codes | sign << 7).astype(numpy.uint8)


def e4m3fnuz(values):
    codes, sign = to_small_float(values, 3, -7, 240, 0x80)
    has_sign = (codes != 0) & ~numpy.isnan(values)
    return numpy.where(has_sign, codes | sign << 7, codes).astype(numpy.uint8)


def e2m1(values):
    codes, sign = to_small_float(values, 1, 0, 6, 7)
    return numpy.where(numpy.isnan(values), codes, codes | sign << 3).astype(numpy.uint8)


def e4m3fn_value(codes):
    codes = codes.astype(numpy.int64)
    exponent, eighths = codes >> 3 & 15, codes & 7
    values = numpy.ldexp(numpy.where(exponent == 0, eighths, eighths + 8).astype(F32),
                         (numpy.maximum(exponent, 1) - 10).astype(numpy.int32))
    return numpy.where(codes & 0x7F == 0x7F, F32(numpy.nan), values)


def e4m3(blocks, values):
    return e4m3fnuz(values) if blocks.order.fnuz else e4m3fn(values)


def clamped(values, limit, nan):
    return numpy.clip(numpy.where(numpy.isnan(values), F32(nan), values), -limit, limit)


def log2_down(values):
    """The largest whole e with 2^e <= value; -127 for 0, 128 for infinity."""
    exponent = numpy.frexp(values)[1] - 1
    exponent = numpy.where(values == 0, -127, exponent)
    return numpy.where(numpy.isinf(values), 128, exponent)


def log2_up(values):
    fraction, exponent = numpy.frexp(values)
    up = numpy.where(fraction == 0.5, exponent - 1, exponent)
    return numpy.where(numpy.isinf(values), 128, numpy.where(values == 0, -127, up))


def exponent_byte(exponent):
    return (numpy.clip(exponent, -127, 127) + 127).astype(numpy.uint8)


def power(byte):
    return numpy.ldexp(F32(1), byte.astype(numpy.int32) - 127)


def whole(values, low, high, bias):
    clean = numpy.where(numpy.isnan(values), 0, values)
    return (numpy.clip(clean, low, high).astype(numpy.int64) + bias).astype(numpy.uint8)


def half_away(values):
    cut = numpy.trunc(values)
    rest = values - cut
    return numpy.where(numpy.abs(rest) >= 0.5, cut + numpy.sign(values), cut)


def held(values, dtype):
    """(as numbers, as bits) of scales in their type."""
    if dtype == "f16":
        half = values.astype(numpy.float16)
        return half.astype(F32), half.view(numpy.uint16)
    if dtype == "bf16":
        bits = values.view(numpy.uint32).astype(numpy.int64)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        return (bits << 16).astype(numpy.uint32).view(F32), bits.astype(numpy.uint16)
    return values, values


# A recipe takes blocks and returns (scales, codes, zero points or None).

def fp8_tensor(blocks, scale):
    scaled = blocks.values * blocks.spread(F32(1) / scale)
    return scale, e4m3(blocks, clamped(scaled, blocks.limit, blocks.limit)), None


def fp8_static_tensor(blocks):
    return fp8_tensor(blocks, blocks.given)


def fp8_dynamic_tensor(blocks):
    return fp8_tensor(blocks, blocks.amax() / blocks.limit)


def fp8_dynamic_token(blocks):
    most = blocks.amax()
    if blocks.order.scale_ub is not None:
        most = numpy.minimum(most, F32(blocks.order.scale_ub))
    scale = numpy.maximum(most / blocks.limit, F32(1) / (blocks.limit * F32(512)))
    scaled = blocks.values / blocks.spread(scale)
    return scale, e4m3(blocks, clamped(scaled, blocks.limit, blocks.limit)), None


def fp8_group(blocks, scale):
    scaled = blocks.values / blocks.spread(scale)
    return scale, e4m3(blocks, clamped(scaled, blocks.limit, -blocks.limit)), None


def fp8_block128(blocks):
    return fp8_group(blocks, blocks.amax(1e-10) / blocks.limit)


def fp8_block128_triton(blocks):
    return fp8_group(blocks, blocks.amax(1e-10) * (F32(1) / blocks.limit))


def fp8_block128x128(blocks):
    return fp8_group(blocks, blocks.amax(1e-4) / blocks.limit)


def fp8_block128_ue8m0(blocks):
    scale = numpy.maximum(blocks.amax(1e-10) / blocks.limit, F32(1e-10))
    return fp8_group(blocks, power(exponent_byte(log2_up(scale))))


def fp8_block128_ue8m0_packed(blocks):
    scale, codes, _ = fp8_block128_ue8m0(blocks)
    return exponent_byte(log2_down(scale)), codes, None


def fp8_block128_deepep(blocks):
    most = blocks.amax(1e-4)
    scaled = blocks.values * blocks.spread(blocks.limit / most)
    codes = e4m3(blocks, clamped(scaled, blocks.limit, numpy.nan))
    return most * (F32(1) / blocks.limit), codes, None


def int8_dynamic_token(blocks):
    most = blocks.amax(1e-10)
    scaled = blocks.values * blocks.spread(F32(127) / most)
    return most / F32(127), whole(half_away(scaled), -128, 127, 0), None


def int8_dynamic_token_op(blocks):
    most = blocks.amax()
    factor = numpy.where(most == 0, F32(0), F32(127) / most)
    scaled = blocks.values * blocks.spread(factor)
    return most / F32(127), whole(numpy.rint(scaled), -128, 127, 0), None


def int8_over(blocks, scale):
    scaled = blocks.values / blocks.spread(scale)
    return scale, whole(numpy.rint(scaled), -128, 127, 0), None


def int8_static_tensor(blocks):
    return int8_over(blocks, blocks.given)


def int8_channel(blocks):
    return int8_over(blocks, blocks.amax() / F32(127))


def nvfp4(blocks):
    byte = e4m3fn(blocks.given * (blocks.amax() * (F32(1) / F32(6))))
    scale = e4m3fn_value(byte)
    factor = numpy.where(scale == 0, F32(0), F32(1) / (scale * (F32(1) / blocks.given)))
    return byte, e2m1(blocks.values * blocks.spread(factor)), None


def mxfp4(blocks, byte):
    return byte, e2m1(blocks.values / blocks.spread(power(byte))), None


def mxfp4_cutlass(blocks):
    sixth = blocks.amax() * (F32(1) / F32(6))
    byte = numpy.where(numpy.isinf(sixth), 255, exponent_byte(log2_down(sixth)))
    byte = byte.astype(numpy.uint8)
    inverse = numpy.where((byte == 0) | (byte == 255), F32(0), F32(1) / power(byte))
    return byte, e2m1(blocks.values * blocks.spread(inverse.astype(F32))), None


def mxfp4_even(blocks):
    most = blocks.amax()
    is_upper = (numpy.frexp(most)[0] >= 0.875) & ~numpy.isinf(most)
    return mxfp4(blocks, exponent_byte(log2_down(most) + is_upper - 2))


def mxfp4_ocp(blocks):
    return mxfp4(blocks, exponent_byte(log2_down(blocks.amax()) - 2))


def mxfp8_with(blocks, byte):
    return byte, e4m3fn(blocks.values / blocks.spread(power(byte))), None


def mxfp8(blocks):
    return mxfp8_with(blocks, exponent_byte(log2_up(blocks.amax() / F32(448))))


def mxfp8_torch(blocks):
    return mxfp8_with(blocks, exponent_byte(log2_down(blocks.amax())))


def biased(blocks, bias):
    step = numpy.maximum(blocks.most(blocks.values) / F32(bias - 1),
                         blocks.most(-blocks.values) / F32(bias))
    scale, bits = held(step, blocks.order.scale_dtype)
    scaled = blocks.values / blocks.spread(scale)
    return bits, whole(numpy.rint(scaled), -bias, bias - 1, bias), None


def int4_uint4b8(blocks):
    return biased(blocks, 8)


def int8_uint8b128(blocks):
    return biased(blocks, 128)


def int4_zero_point(blocks):
    below, above = blocks.most(-blocks.values), blocks.most(blocks.values)
    span = numpy.maximum(above + below, F32(1e-5))
    scale, bits = held(span / F32(15), blocks.order.scale_dtype)
    zero = whole(numpy.rint(below / scale), 0, 15, 0)
    spread = blocks.spread(zero).astype(numpy.int64)
    scaled = blocks.values / blocks.spread(scale)
    return bits, whole(numpy.rint(scaled), -spread, 15 - spread, spread), zero


CHOSEN = -1
RECIPES = {  # rows and columns that share a scale, codes in a byte
    "fp8_static_tensor": (ALL, ALL, 1, fp8_static_tensor),
    "fp8_dynamic_tensor": (ALL, ALL, 1, fp8_dynamic_tensor),
    "fp8_dynamic_token": (1, ALL, 1, fp8_dynamic_token),
    "fp8_block128": (1, 128, 1, fp8_block128),
    "fp8_block128_triton": (1, 128, 1, fp8_block128_triton),
    "fp8_block128_ue8m0": (1, 128, 1, fp8_block128_ue8m0),
    "fp8_block128_ue8m0_packed": (1, 128, 1, fp8_block128_ue8m0_packed),
    "fp8_block128_deepep": (1, 128, 1, fp8_block128_deepep),
    "int8_dynamic_token": (1, ALL, 1, int8_dynamic_token),
    "int8_dynamic_token_op": (1, ALL, 1, int8_dynamic_token_op),
    "int8_static_tensor": (ALL, ALL, 1, int8_static_tensor),
    "nvfp4": (1, 16, 2, nvfp4),
    "mxfp4_cutlass": (1, 32, 2, mxfp4_cutlass),
    "mxfp4_even": (1, 32, 2, mxfp4_even),
    "mxfp4_ocp": (1, 32, 2, mxfp4_ocp),
    "mxfp8": (1, 32, 1, mxfp8),
    "mxfp8_torch": (1, 32, 1, mxfp8_torch),
    "fp8_channel": (1, ALL, 1, fp8_dynamic_token),
    "fp8_block128x128": (128, 128, 1, fp8_block128x128),
    "int8_channel": (1, ALL, 1, int8_channel),
    "int4_uint4b8": (1, CHOSEN, 2, int4_uint4b8),
    "int4_zero_point": (1, CHOSEN, 2, int4_zero_point),
    "int8_uint8b128": (1, CHOSEN, 1, int8_uint8b128),
}


def packed(codes):
    """Two codes a byte, the even column's low."""
    if codes.shape[1] % 2:
        codes = numpy.pad(codes, ((0, 0), (0, 1)))
    return codes[:, ::2] | codes[:, 1::2] << 4


def quantise(recipe, values, order=None):
    """(data, scales, zero points) of values [rows, columns], each as bytes, row-major."""
    rows, columns, codes_per_byte, function = RECIPES[recipe]
    order = order or Order()
    columns = order.group_columns if columns == CHOSEN else columns
    with numpy.errstate(all="ignore"):
        blocks = Blocks(numpy.asarray(values, F32), rows, columns, order)
        scales, codes, zero_points = function(blocks)
    codes = packed(codes) if codes_per_byte == 2 else codes
    return (codes.tobytes(), numpy.ascontiguousarray(scales).tobytes(),
            b"" if zero_points is None else zero_points.tobytes())
