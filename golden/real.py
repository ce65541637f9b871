#!/usr/bin/python3
"""golden/real.py: samples of real worlds and how far a correct layer may be from them.

Values in double from the inputs that oracle.py describes, and the bound of
experts-and-oracles.md, 14.2, in the form that golden/oracle.cc has, too: one term for every
rounding to model.dtype (u) and for every sum in float32 (gamma). Called by make_golden.py.
"""

import functools
import math
import typing

import numpy
import oracle
import requantise
from oracle import mix

DEVIATION = 37837.0
STORED_ROUNDINGS = 2  # of a sum on its way home; golden.h says the same
FUNCTION_ERROR = 8 * 2.0 ** -24  # of exp, erf and a division in float32, relative
UNIT = {"bf16": 2.0 ** -8, "f16": 2.0 ** -11, "f32": 2.0 ** -24}
SMALLEST = {"bf16": 2.0 ** -134, "f16": 2.0 ** -25, "f32": 2.0 ** -150}
SLOPE = {"silu": 1.1, "gelu": 1.13, "swigluoai": 1.1, "silu_no_mul": 1.1, "gelu_no_mul": 1.13}


def held(values, dtype):
    """Doubles as the dtype holds them: rounded to float32, then to the dtype."""
    out = numpy.asarray(values).astype(numpy.float32)
    if dtype == "bf16":
        bits = out.view(numpy.uint32).astype(numpy.int64)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
        out = bits.astype(numpy.uint32).view(numpy.float32)
    elif dtype == "f16":
        out = out.astype(numpy.float16)
    return out.astype(numpy.float64)


def centred(z):
    parts = [(z >> numpy.uint64(shift)) & numpy.uint64(0xFFFF) for shift in (0, 16, 32, 48)]
    return sum(parts).astype(numpy.int64).astype(numpy.float64) - 131070


def matrix(experts, stream, e, rows, columns):
    """[rows, columns]; rows are numbers of rows."""
    z = mix(experts.seed, stream, e, numpy.asarray(rows)[:, None], numpy.arange(columns))
    return held(centred(z) / (DEVIATION * math.sqrt(columns)), experts.dtype)


def bias(experts, stream, e, rows):
    z = mix(experts.seed, stream, e, numpy.asarray(rows))
    return held(centred(z) / (2 * DEVIATION), experts.dtype)


def hidden_states(experts, layer, tokens):
    z = mix(experts.seed, oracle.HIDDEN, layer, tokens[:, None],
            numpy.arange(experts.hidden_size))
    return held(centred(z) / DEVIATION, experts.dtype)


def topk_weights(experts, layer, tokens, top_k):
    """[tokens, top_k] float32 where no trace has any."""
    z = mix(experts.seed, oracle.WEIGHT, layer, tokens[:, None], numpy.arange(top_k))
    parts = (1 + oracle.remainder(z, 255)).astype(numpy.float32)
    total = parts.sum(axis=1, dtype=numpy.float32, keepdims=True)
    return parts / (total if top_k > 1 else numpy.float32(256))


def gamma(n):
    return n * 2.0 ** -24 / (1 - n * 2.0 ** -24)


class Near:
    """Numbers and how far computed ones may be from them."""

    def __init__(self, value, error):
        self.value, self.error = value, error

    def rounded(self, dtype):
        reached = abs(self.value) + self.error
        return Near(self.value, self.error + UNIT[dtype] * reached + SMALLEST[dtype])

    def in_float32(self):
        return Near(self.value, self.error + 2.0 ** -23 * (abs(self.value) + self.error))

    def times(self, other):
        value = self.value * other.value
        return Near(value, abs(self.value) * other.error + abs(other.value) * self.error
                    + self.error * other.error + 2.0 ** -23 * abs(value))


def curve(activation, x):
    value = {"silu": lambda v: v / (1 + numpy.exp(-v)),
             "gelu": lambda v: 0.5 * v * (1 + _erf(v / math.sqrt(2))),
             "swigluoai": lambda v: v / (1 + numpy.exp(-1.702 * v))}[
                 activation.removesuffix("_no_mul")](x.value)
    return Near(value, SLOPE[activation] * x.error + FUNCTION_ERROR * abs(value))


_erf = numpy.vectorize(math.erf, otypes=[numpy.float64])


def activated(experts, inner, how):
    """[tokens, intermediate] from the pre-activations [tokens, rows of W13]. how: the expert's
    Quantisation, or None."""
    name, dtype = experts.activation, experts.dtype
    rounding = how.rounding if how else "each"
    def rounded(near):
        return near.in_float32() if rounding == "never" else near.rounded(dtype)
    if name == "relu2_no_mul":
        positive = numpy.maximum(inner.value, 0)
        return rounded(Near(positive ** 2, (2 * positive + inner.error) * inner.error))
    if name.endswith("_no_mul"):
        return rounded(curve(name, inner))
    if name == "swigluoai":
        gate = Near(numpy.minimum(inner.value[:, ::2], 7), inner.error[:, ::2])
        up = Near(numpy.clip(inner.value[:, 1::2], -7, 7) + 1, inner.error[:, 1::2])
        return rounded(curve(name, gate).times(up))
    half = inner.value.shape[1] // 2
    gate = Near(inner.value[:, :half], inner.error[:, :half])
    up = Near(inner.value[:, half:], inner.error[:, half:])
    curved = curve(name, gate)
    return rounded((rounded(curved) if rounding == "each" else curved).times(up))


def quantised(experts, weights, parts):
    """The numbers that the codes of a weight matrix stand for."""
    numbers = requantise.weight_numbers(experts.quantisation, weights, parts)
    is_rounded = requantise.rounds_weights(experts.quantisation)
    return held(numbers, experts.dtype) if is_rounded else numbers


def of_weights(experts):
    """What decides weights: given scales of activations do not."""
    if not experts.quantisation:
        return experts
    return experts._replace(quantisation=experts.quantisation._replace(a1_given=0, a2_given=0))


@functools.lru_cache(maxsize=64)
def quantised_second_weights(experts, e):
    w2 = matrix(experts, oracle.W2, e, range(experts.hidden_size), experts.intermediate_size)
    return quantised(experts, w2, 1)


@functools.lru_cache(maxsize=64)
def first_weights(experts, e, shared):
    """(W13, its bias) of one expert."""
    intermediate = experts.intermediate_size * (experts.shared if shared else 1)
    rows = intermediate * (1 if experts.activation.endswith("_no_mul") else 2)
    stream = oracle.SHARED_W13 if shared else oracle.W13
    w13 = matrix(experts, stream, e, range(rows), experts.hidden_size)
    if experts.quantisation and not shared:
        has_halves = experts.activation in ("silu", "gelu")  # which share no block
        parts = 2 if has_halves and experts.quantisation.weights == "fp8_block128x128" else 1
        w13 = quantised(experts, w13, parts)
    has_bias = experts.bias and not shared
    return w13, bias(experts, oracle.W13_BIAS, e, range(rows)) if has_bias else numpy.zeros(rows)


def between_products(experts, e, inputs, shared=False):
    """Near [tokens, intermediate]: what stands between an expert's products, not quantised yet."""
    how = None if shared else experts.quantisation
    lost_in = (lambda n: gamma(4 * n + 8)) if how else (lambda n: gamma(n + 1))
    w13, b13 = first_weights(of_weights(experts), e, shared)
    if how and how.a1:
        inputs = requantise.row_numbers(how.a1, how.a1_given, inputs)
    norms = numpy.linalg.norm(inputs, axis=1)[:, None] * numpy.linalg.norm(w13, axis=1)
    inner = Near(inputs @ w13.T + b13, lost_in(w13.shape[1]) * (norms + abs(b13)))
    return activated(experts, inner.rounded(experts.dtype), how)


def expert_output(experts, e, inputs, columns, shared=False):
    """Near [tokens, columns]: an expert's outputs at those columns."""
    how = None if shared else experts.quantisation
    lost_in = (lambda n: gamma(4 * n + 8)) if how else (lambda n: gamma(n + 1))
    a = between_products(experts, e, inputs, shared)
    if how and how.a2:
        a = Near(a.value, requantise.added(how.a2, how.a2_given, a.value, a.error))
    intermediate = a.value.shape[1]
    lost = lost_in(intermediate)
    if how:
        w2 = quantised_second_weights(of_weights(experts), e)[columns]
    else:
        stream = oracle.SHARED_W2 if shared else oracle.W2
        w2 = matrix(experts, stream, e, columns, intermediate)
    b2 = numpy.zeros(len(columns))
    if experts.bias and not shared:
        b2 = bias(experts, oracle.W2_BIAS, e, columns)
    errors = a.error + lost * (abs(a.value) + a.error)
    return Near(a.value @ w2.T + b2, errors @ abs(w2).T + lost * abs(b2)).rounded(experts.dtype)


class Choices:
    """What some tokens chose: ids and weights [tokens, top_k]."""

    def __init__(self, topk_ids, weights):
        self.topk_ids, self.weights = topk_ids, weights.astype(numpy.float64)


def dispatched(experts, layer, tokens, choices):
    """[tokens, hidden] as rows come to the experts, not quantised yet."""
    rows = hidden_states(experts, layer, tokens)
    if not experts.weight_on_input:
        return rows
    return held(rows * held(choices.weights[:, :1], experts.dtype), experts.dtype)


class Homes(typing.NamedTuple):
    """Where experts live, and which rows come there: all, or those that chose one of them."""
    rank_of: tuple
    has_every_row: bool


def has_tensor_scale(experts):
    return experts.quantisation is not None and experts.quantisation.a1 == requantise.OF_TENSOR


def with_tensor_scales(experts, layer, tokens, choices, homes):
    """For each expert of a layer these experts with the scales of its rank's tensors as what is
    given: a1's own, and the largest that a2's may be. tokens: all of a step."""
    rows = dispatched(experts, layer, tokens, choices)
    made = {}
    for rank in set(homes.rank_of):
        local = [e for e, home in enumerate(homes.rank_of) if home == rank]
        chose = {e: (choices.topk_ids == e).any(axis=1) for e in local}
        here = numpy.any(list(chose.values()), axis=0) | homes.has_every_row
        scale = requantise.tensor_scale(abs(rows[here]).max(initial=0))
        one = experts._replace(quantisation=experts.quantisation._replace(a1_given=scale))
        most = 0.0
        for e in local:
            if chose[e].any():
                a = between_products(one, layer * experts.num_experts + e, rows[chose[e]])
                most = max(most, (abs(a.value) + a.error).max())
        scale = one.quantisation._replace(a2_given=most / 448 * (1 + 2.0 ** -20))
        made |= {e: experts._replace(quantisation=scale) for e in local}
    return made


def expected(experts, layer, tokens, choices, columns, of_expert=None):
    """(values, bounds) [tokens, columns] of a layer's output rows at some columns. of_expert: as
    with_tensor_scales says, where recipes have scales of whole tensors."""
    dtype = experts.dtype
    inputs = hidden_states(experts, layer, tokens)
    given = dispatched(experts, layer, tokens, choices)
    total = numpy.zeros((3, len(tokens), len(columns)))  # values, errors, magnitudes
    for row in range(len(tokens)):
        for expert, weight in zip(choices.topk_ids[row].tolist(), choices.weights[row].tolist()):
            if expert < 0:
                continue
            weight = 1.0 if experts.weight_on_input else weight
            own = of_expert[expert] if of_expert else experts
            out = expert_output(own, layer * experts.num_experts + expert, given[row:row + 1],
                                columns)
            total[:, row] += numpy.stack([weight * out.value[0], abs(weight) * out.error[0],
                                          abs(weight * out.value[0])])
    scale, shared_scale = experts.scale, 1.0
    if dtype == "f16" and experts.shared:
        scale, shared_scale = 1.0, 1 / experts.scale
    total *= scale
    if experts.shared:
        out = expert_output(experts, layer, inputs, columns, True)
        total += shared_scale * numpy.stack([out.value, out.error, abs(out.value)])
    values, errors, magnitudes = total
    reached = magnitudes + errors
    additions = gamma(choices.topk_ids.shape[1] + STORED_ROUNDINGS + 8)
    bounds = (errors + STORED_ROUNDINGS * (UNIT[dtype] * reached + SMALLEST[dtype])
              + additions * reached) * (1 + 16 * UNIT[dtype])
    return values, bounds
