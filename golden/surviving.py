#!/usr/bin/python3
"""golden/surviving.py: inputs of exact worlds whose rows become codes on their way.

Part of oracle.py's contract: for u = mix(seed, 1, layer, t, column) a probe's input is, with any
scale, u % 15 - 7, or in four bits the value at that magnitude's place in 0, 1/2, 1, 3/2, 2, 3, 4,
6, with its sign. The last column of each group that shares a scale (of 128 where more do) and the
last of all are the largest, 7 or 6, negative where u is odd. Where all rows share a scale, tokens
with an odd t have half of that. So codes lose nothing (numerics.md, 1). Called by oracle.py and
world.py.
"""

import numpy

WHOLE = tuple(range(8))
FOUR_BITS = (0, 0.5, 1, 1.5, 2, 3, 4, 6)
# Of each value of model.quantization that has exact worlds: magnitudes, columns of a group.
SCHEMES = {"fp8_static": (WHOLE, 128), "fp8_dynamic": (WHOLE, 128), "fp8_per_token": (WHOLE, 128),
           "fp8_block128": (WHOLE, 128), "fp8_block128_deepep": (WHOLE, 128),
           "mxfp8": (WHOLE, 32), "nvfp4": (FOUR_BITS, 16), "mxfp4": (FOUR_BITS, 32),
           "fp8_block128_fused": (WHOLE, 128), "nvfp4_fused": (FOUR_BITS, 16)}


def is_four_bits(scheme):
    return SCHEMES.get(scheme, (WHOLE,))[0] is FOUR_BITS


def values(u, scheme, tokens):
    """[tokens, hidden] of numbers that the scheme's codes hold, from u of that shape."""
    magnitudes, group = SCHEMES[scheme]
    drawn = (u % numpy.uint64(15)).astype(numpy.int64) - 7
    found = numpy.sign(drawn) * numpy.asarray(magnitudes)[abs(drawn)]
    columns = numpy.arange(u.shape[1])
    is_largest = (columns % group == group - 1) | (columns == u.shape[1] - 1)
    sign = 1 - 2 * (u % numpy.uint64(2)).astype(numpy.int64)
    found = numpy.where(is_largest, magnitudes[-1] * sign, found)
    return found / (1 + tokens[:, None] % 2) if scheme == "fp8_dynamic" else found
