#!/usr/bin/python3
"""golden/requantise.py: what codes stand for, and what quantising on the way may add to an error.

In numpy what golden/requantisation.cc is in C++ (experts-and-oracles.md, 14.2: q): half a step of
the format, the largest scale that a block may get, and what lies beyond the format's end. Called by
real.py.
"""

import typing

import numpy
import quantise

LIMITS = {"fp8_static_tensor": 448.0}
ARITHMETIC = 2.0 ** -20  # of a scale, a factor and a quotient in float32, together
TINY = 2.0 ** -122       # below it e8m0 recipes flush or floor
E4M3 = (2.0 ** -4, 2.0 ** -10)
UINT = ("int4_uint4b8", "int4_zero_point", "int8_uint8b128")


class Quantisation(typing.NamedTuple):
    """How experts quantise, by the recipes' names; empty: they do not."""
    weights: str = ""
    a1: str = ""
    a2: str = ""
    a1_given: float = 0.0
    a2_given: float = 0.0
    rounding: str = "each"  # of the activation before a2: each step, once, never


def _nvfp4_scale(most, given):
    return numpy.minimum(most / 6 * (1 + 2.0 ** -4) + 2.0 ** -10 / given, 448 / given)


def _group_scale(most, _):
    return numpy.maximum(most, 1e-10) / 448


def _power_scale(most, _):
    return 2 * numpy.maximum(most / 448, 1e-10)


LOSSES = {  # columns that share a scale (0: a row), relative, absolute in scales, largest scale
    "fp8_static_tensor": (0, *E4M3, lambda most, given: given + 0 * most),
    "fp8_dynamic_tensor": (0, *E4M3, lambda most, given: given + 0 * most),
    "fp8_dynamic_token": (0, *E4M3, lambda most, _: numpy.maximum(most / 448, 1 / (448 * 512))),
    "fp8_block128": (128, *E4M3, _group_scale),
    "fp8_block128_triton": (128, *E4M3, _group_scale),
    "fp8_block128_ue8m0": (128, *E4M3, _power_scale),
    "fp8_block128_ue8m0_packed": (128, *E4M3, _power_scale),
    "fp8_block128_deepep": (128, *E4M3, lambda most, _: numpy.maximum(most, 1e-4) / 448),
    "int8_dynamic_token": (0, 0, 0.5, lambda most, _: numpy.maximum(most, 1e-10) / 127),
    "int8_dynamic_token_op": (0, 0, 0.5, lambda most, _: most / 127),
    "nvfp4": (16, 0.25, 0.25, _nvfp4_scale),
    "mxfp4_cutlass": (32, 0.5, 0.25, lambda most, _: numpy.maximum(most / 6, TINY)),
    "mxfp4_even": (32, 0.25, 0.25, lambda most, _: numpy.maximum(most / 3.5, TINY)),
    "mxfp4_ocp": (32, 0.25, 0.25, lambda most, _: numpy.maximum(most / 4, TINY)),
    "mxfp8": (32, *E4M3, lambda most, _: numpy.maximum(2 * most / 448, TINY)),
    "mxfp8_torch": (32, *E4M3, lambda most, _: numpy.maximum(most, TINY)),
}


def numbers(recipe, values, order):
    """float64 [rows, columns]: what the codes of values stand for."""
    rows, columns, _, function = quantise.RECIPES[recipe]
    columns = order.group_columns if columns == quantise.CHOSEN else columns
    with numpy.errstate(all="ignore"):
        blocks = quantise.Blocks(numpy.asarray(values, numpy.float32), rows, columns, order)
        scales, codes, zero_points = function(blocks)
        stand_for = _code_numbers(recipe, codes)
        if zero_points is not None:
            stand_for = stand_for - blocks.spread(zero_points)
        stand_for = stand_for * blocks.spread(_scale_numbers(recipe, scales, order))
        return stand_for / blocks.spread(blocks.given) if recipe == "nvfp4" else stand_for


def _code_numbers(recipe, codes):
    whole = codes.astype(numpy.int64)
    if recipe in UINT:
        return (whole - {"int4_uint4b8": 8, "int8_uint8b128": 128}.get(recipe, 0)).astype(float)
    if recipe.startswith("int8"):
        return codes.view(numpy.int8).astype(numpy.float64)
    if recipe.startswith(("nvfp4", "mxfp4")):
        table = numpy.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
        return numpy.where(whole >= 8, -table[whole % 8], table[whole % 8])
    magnitude = quantise.e4m3fn_value(codes & 0x7F).astype(numpy.float64)
    return numpy.where(whole >= 128, -magnitude, magnitude)


def _scale_numbers(recipe, scales, order):
    if recipe in UINT:
        if order.scale_dtype == "bf16":
            scales = (scales.astype(numpy.uint32) << 16).view(numpy.float32)
        return scales.view({"f16": numpy.float16}.get(order.scale_dtype, numpy.float32)) \
            .astype(numpy.float64)
    if recipe == "nvfp4":
        return quantise.e4m3fn_value(scales).astype(numpy.float64)
    is_exponent = scales.dtype == numpy.uint8
    return (quantise.power(scales) if is_exponent else scales).astype(numpy.float64)


OF_TENSOR = "fp8_dynamic_tensor"


def tensor_scale(most):
    """Of a tensor with that largest magnitude, as its codes are made."""
    blocks = quantise.Blocks(numpy.full((1, 1), most, numpy.float32), 1, 1, quantise.Order())
    with numpy.errstate(all="ignore"):  # of nothing it is 0
        return quantise.fp8_dynamic_tensor(blocks)[0][0, 0]


def added(recipe, given, values, errors):
    """The errors of numbers [rows, columns] once quantised, which are off by up to `errors`.
    given: the recipe's own, or the largest scale that a whole tensor may get."""
    columns, relative, absolute, largest_scale = LOSSES[recipe]
    reach = abs(values) + errors
    starts = numpy.arange(0, values.shape[1], columns or values.shape[1])
    most = numpy.maximum.reduceat(reach, starts, axis=1)
    most = numpy.repeat(most, numpy.diff(numpy.append(starts, values.shape[1])), axis=1)
    scale = largest_scale(most, given)
    lost = numpy.maximum(relative * reach, absolute * scale) + ARITHMETIC * reach
    if recipe == "nvfp4":
        lost = lost + numpy.where(most * given / 6 < 2.0 ** -5, 6 * 2.0 ** -10 / given, 0)
        lost = lost + numpy.maximum(0, reach - 6 * 448 / given)
    elif recipe in LIMITS:
        lost = lost + numpy.maximum(0, reach - LIMITS[recipe] * scale)
    return errors + lost


def rounds_weights(quantisation):
    """Whether numbers of weights are rounded to the rows' type (vLLM: WNA16)."""
    return quantisation.weights in UINT and not quantisation.a1


def weight_numbers(quantisation, matrix, parts):
    """The numbers of a weight matrix; its global scale is 448 * 6 / amax in float32."""
    most = numpy.abs(matrix).max().astype(numpy.float32)
    given = (numpy.float32(448 * 6) / most,) * parts
    return numbers(quantisation.weights, matrix, quantise.Order(parts=parts, given=given))


def row_numbers(recipe, given, rows):
    """given: the recipe's own, or the scale of the tensor that the rows are part of."""
    recipe = "fp8_static_tensor" if recipe == OF_TENSOR else recipe
    return numbers(recipe, rows, quantise.Order(given=(given,)))
