#!/usr/bin/python3
"""golden/oracle.py: the exact worlds in numpy, one of the two oracles.
golden/oracle.cc is the other, and sim builds the same worlds for the layer: this docstring is the
contract of all three. A library; world.py reads scenarios for it, make_golden.py writes goldens.

Numbers
  splitmix64(z), modulo 2^64: z += 0x9E3779B97F4A7C15; z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
  z = (z ^ z >> 27) * 0x94D049BB133111EB; the result is z ^ z >> 31.
  mix(seed, a, b, …): z = splitmix64(seed), then for each index z = splitmix64(z ^ index).
  unit(z) = (z >> 11) * 2^-53, a double in [0, 1).

Counting
  seed: the scenario's top-level `seed`, 1 where there is none; `routing` has its own, also 1.
  token t: the number of the token over the whole scenario: step-major, then rank ascending, then
  the rank's own order. With a trace it counts from the trace's first token: a `steps` range does
  not renumber, neither does merging ranks (`world: {dp: 2}` for a trace of 4). Generated: from 0.
  layer: the trace's own number, also where `layers` selects some; generated: from 0.
  e = layer * num_experts + expert: experts count over layers.
  A golden counts steps and layers from 0 within the selection; its ranks are the DP ranks.

Inputs
  hidden_states: u = mix(seed, 1, layer, t, column); probe: u % 17 - 8; exact_gemm: u % 3; with a
    scale other than 1: probe u % 5 - 2, exact_gemm u % 2. Quantised probes: surviving.py.
  topk_weights: 1 + (mix(seed, 2, layer, t, slot) & 1), float32; of masked slots, too: ignore them.

Experts
  sign s(e, h) = +1 where mix(seed, e, h) is even, else -1.
  probe: column h of the expert's output is x[h] * s(e, h).
    Where experts are sharded (`ep: false`), shard s of S gives columns [s * H // S,
    (s + 1) * H // S) and +0 elsewhere: every column has one owner, outputs do not change.
  exact_gemm: not gated, relu squared. Row i of W13 [I, H] is 1 at column mix(seed, 3, e, i) % H,
  row h of W2 [H, I] is s(e, h) at column mix(seed, 4, e, h) % I; all else is 0.

  A layer has shared_experts as one expert, called with every token at weight 1. Probe: signs from
  mix(seed, 12, layer, h). exact_gemm: intermediate J = shared_experts * I, columns from
  mix(seed, 10, layer, i) % H and mix(seed, 11, layer, h) % J, the same signs.

Output
  out[h] = scale * (sum over the slots that are not masked of weight * (the expert's output at h))
  + (the shared expert's output at h), in model.dtype (bf16, f32, f16), which must hold it exactly.
  A zero is +0. router_weight_on_input (top_k 1): the expert is given weight * x, and its output
  counts once. How a tensor-parallel group shards an expert changes no output. f16 with
  shared experts: the shared output is divided by scale, the routed one is not multiplied.
  Digest: xxh64, seed 0, of the [tokens, hidden] bytes, row-major, little-endian.

Real worlds (values: real) have no digest; real.py computes samples of them
  near(z) = (a + b + c + d - 131070) / 37837 for the four 16-bit parts of z, a double near a
  standard normal one. Every such number is rounded to float32, then to model.dtype.
  hidden_states: near(mix(seed, 1, layer, t, column)).
  topk_weights: a trace's own, which contain everything; without a trace float32 parts: p(slot) =
  1 + mix(seed, 2, layer, t, slot) % 255 over their sum over all slots, over 256 where top_k is 1.
  W13[row, h] = near(mix(seed, 3, e, row, h)) / sqrt(H) with 2 I rows where the activation has a
  gate ([gate; up], interleaved for swigluoai), else I; W2[h, i] = near(mix(seed, 4, e, h, i)) /
  sqrt(I). The division is one: by 37837 * sqrt(columns). bias: near(mix(seed, 13, e, row)) / 2 for
  W13, near(mix(seed, 14, e, h)) / 2 for W2. Shared: streams 10 and 11 with the layer in e's place,
  J in I's, no bias. router_weight_on_input: x * weight, both and the product in model.dtype.

Generated routing, for token t, layer l, routing seed r, draws d = 0, 1, 2, …; E experts, K slots
  uniform: the candidate mix(r, 5, l, t, d) % E is skipped when chosen already, until K are chosen.
  skewed {exponent}: c_e = sum of (i+1)^-exponent over i <= e, doubles, added from the left;
    u = unit(mix(r, 5, l, t, d)) * c_last, the candidate is the first e with c_e > u, skipped when
    chosen; what 64 K draws leave open is filled with the lowest experts not chosen.
  one_hot_expert {expert}: slot 0 is that expert, the others are drawn as uniform, skipping it.
  hot_rank {rank, share}: unit(mix(r, 5, l, t, 2d)) < share: the candidate is that EP rank's expert
    number pick % n of its n (linear placement: the first E % R of R = dp * tp ranks own one more),
    else pick % E; pick = mix(r, 5, l, t, 2d + 1). Skipped and filled as skewed.
  masked {share}: as uniform, then slot k becomes -1 where unit(mix(r, 6, l, t, k)) < share.
  ids [[…], …]: token t takes row t % (number of rows), in every layer.
  logits {spread, shift, ties, nan}: the layer's router chooses from
    q_e = floor((n S + 2^15) / 2^16), S = 16 spread, n = (z & 0xFFFF) + (z >> 16 & 0xFFFF) - 0xFFFF,
    z = mix(r, 7, l, t, e); the logit is q_e / 16 + shift. Where unit(mix(r, 8, l, t, 0)) < ties,
    q_e becomes 16 floor((q_e + 8) / 16); where unit(mix(r, 8, l, t, 1)) < nan, all are NaN.
    Only its ids count: the weights are those of Inputs.

Router (plain_router.py), for logits x_e (experts-and-oracles.md, 3), float64, float32 in the layer
  bias b_e = (mix(r, 9, l, e) % 33 - 16) / 64 with `correction_bias`, else 0.
  s_e: softmax or sigmoid of x; where x is NaN all are 0. K times the largest s_e + b_e not chosen
  yet, the lowest e of equals. G `groups` > 1: only among the `topk_group` best of G groups of E / G
  neighbours, worth the sum of their two best s_e + b_e with a bias, else their best; a NaN token
  chooses 0 to K - 1. Where G does not divide E or is not below it: softmax, no groups.
  Two that follow each other in this order but are less than 2^-16 of their size apart, and not
  equal, are refused: float32 might choose otherwise. So are groups of equal worth that are sums of
  other values, unless float32 holds all of them.
"""

import functools
import math
from typing import NamedTuple

import numpy
import surviving
import xxhash

VERSION = "oracle.py 1"
# First index of a mix: what it is for.
HIDDEN, WEIGHT, W13, W2, DRAW, MASK, LOGIT, COIN, BIAS = range(1, 10)
SHARED_W13, SHARED_W2, SHARED_SIGN, W13_BIAS, W2_BIAS = range(10, 15)


class Experts(NamedTuple):
    """The experts of all layers of a world."""
    kernel: str
    seed: int
    num_experts: int
    hidden_size: int
    intermediate_size: int
    shared: int = 0
    scale: float = 1.0
    weight_on_input: bool = False
    dtype: str = "bf16"       # this and the rest: real worlds
    activation: str = "silu"
    bias: bool = False
    quantization: str = "none"
    widths: tuple = ()        # (hidden, intermediate) of each layer; none: all as above
    quantisation: tuple | None = None  # requantise.Quantisation

    def of_layer(self, layer):
        """These experts with the layer's own widths. Generated layers count from 0."""
        if not self.widths:
            return self
        hidden, intermediate = self.widths[layer]
        return self._replace(hidden_size=hidden, intermediate_size=intermediate)


def splitmix64(z):
    z = z + numpy.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return z ^ (z >> numpy.uint64(31))


def mix(seed, *indices):
    """uint64 in the shape to which the indices broadcast."""
    with numpy.errstate(over="ignore"):  # numpy warns of scalars that wrap
        z = splitmix64(numpy.uint64(seed))
        for index in indices:
            z = splitmix64(z ^ numpy.asarray(index).astype(numpy.uint64))
    return z


def unit(z):
    return (z >> numpy.uint64(11)).astype(numpy.float64) * 2.0 ** -53


def remainder(z, divisor):
    return (z % numpy.uint64(divisor)).astype(numpy.int64)


def hidden_states(experts, layer, tokens):
    """[tokens, hidden] int64, or float64 in halves."""
    columns = numpy.arange(experts.hidden_size)
    u = mix(experts.seed, HIDDEN, layer, tokens[:, None], columns)
    if experts.kernel == "probe" and experts.quantization in surviving.SCHEMES:
        return surviving.values(u, experts.quantization, tokens)
    if experts.kernel == "exact_gemm":
        return remainder(u, 3 if experts.scale == 1 else 2)
    largest = 8 if experts.scale == 1 else 2
    return remainder(u, 2 * largest + 1) - largest


def topk_weights(seed, layer, tokens, top_k):
    """[tokens, top_k] int64, 1 or 2."""
    return 1 + remainder(mix(seed, WEIGHT, layer, tokens[:, None], numpy.arange(top_k)), 2)


@functools.lru_cache(maxsize=4096)
def expert_columns(experts, e, shared=False):
    """(sources, signs): output column h is signs[h] * activated input[sources[h]]. e is the layer
    for its shared expert."""
    h = numpy.arange(experts.hidden_size)
    sign = mix(experts.seed, SHARED_SIGN, e, h) if shared else mix(experts.seed, e, h)
    signs = 1 - 2 * remainder(sign, 2)
    if experts.kernel == "probe":
        return slice(None), signs
    w13, w2 = (SHARED_W13, SHARED_W2) if shared else (W13, W2)
    intermediate = experts.intermediate_size * (experts.shared if shared else 1)
    i = remainder(mix(experts.seed, w2, e, h), intermediate)
    return remainder(mix(experts.seed, w13, e, i), experts.hidden_size), signs


def expert_rows(experts, inputs, columns):
    """One expert's outputs [rows, hidden] for inputs of the same shape."""
    sources, signs = columns
    if experts.kernel == "exact_gemm":
        inputs = numpy.maximum(inputs, 0) ** 2
    return signs * inputs[:, sources]


def expected_rows(experts, layer, tokens, topk_ids):
    """[tokens, hidden] float64 of exact numbers: what the layer must return for tokens of these
    numbers t."""
    inputs = hidden_states(experts, layer, tokens)
    rows = numpy.zeros(inputs.shape, inputs.dtype)
    weights = topk_weights(experts.seed, layer, tokens, topk_ids.shape[1])
    for expert in numpy.unique(topk_ids[topk_ids >= 0]).tolist():
        weight = (weights * (topk_ids == expert)).sum(axis=1)
        chosen = numpy.nonzero(weight)[0]
        before = weight[chosen, None] if experts.weight_on_input else 1
        after = 1 if experts.weight_on_input else weight[chosen, None]
        columns = expert_columns(experts, layer * experts.num_experts + expert)
        rows[chosen] += after * expert_rows(experts, before * inputs[chosen], columns)
    out = experts.scale * rows
    if experts.shared:
        out += expert_rows(experts, inputs, expert_columns(experts, layer, True))
    return out + 0.0  # no zero is negative


def encoded(rows, dtype):
    """The rows in an output type, as an array of its little-endian bytes; refuses to round."""
    as_f32 = rows.astype("<f4")
    exact = numpy.array_equal(as_f32.astype(numpy.float64), rows)
    out = as_f32
    if dtype == "bf16":
        bits = as_f32.view("<u4")
        exact = exact and not (bits & 0xFFFF).any()
        out = (bits >> 16).astype("<u2")
    elif dtype == "f16":
        out = numpy.clip(as_f32, -65504, 65504).astype("<f2")
        exact = exact and numpy.array_equal(out.astype("<f4"), as_f32)
    elif dtype != "f32":
        raise ValueError(f"no output type '{dtype}'; known: bf16, f32, f16")
    if not exact:
        raise ValueError(f"{dtype} does not hold all outputs exactly; the largest is "
                         f"{abs(rows).max()}")
    return out


def digest(array):
    return xxhash.xxh64(numpy.ascontiguousarray(array).tobytes(), seed=0).hexdigest()


class Draws(NamedTuple):
    """What all generators of a routing share."""
    seed: int
    num_experts: int
    top_k: int


def _has(chosen, candidates):
    return (chosen == candidates[:, None]).any(axis=1)


def _drawn(draws, tokens, chosen, candidate, draws_max=None):
    """Fills the -1 of chosen [tokens, top_k] from the left; candidate(tokens, d) proposes."""
    count = (chosen >= 0).sum(axis=1)
    d = 0
    open_rows = numpy.nonzero(count < draws.top_k)[0]
    while len(open_rows) and (draws_max is None or d < draws_max):
        proposed = candidate(tokens[open_rows], d)
        fresh = ~_has(chosen[open_rows], proposed)
        taken = open_rows[fresh]
        chosen[taken, count[taken]] = proposed[fresh]
        count[taken] += 1
        open_rows = open_rows[count[open_rows] < draws.top_k]
        d += 1
    for row in open_rows.tolist():
        free = [e for e in range(draws.num_experts) if e not in chosen[row]]
        chosen[row, count[row]:] = free[:draws.top_k - count[row]]
    return chosen


def _nothing_chosen(draws, tokens):
    return numpy.full((len(tokens), draws.top_k), -1, numpy.int64)


def _uniform_candidate(draws, layer):
    return lambda tokens, d: remainder(mix(draws.seed, DRAW, layer, tokens, d), draws.num_experts)


def uniform(draws, layer, tokens):
    """[tokens, top_k] int64, as all that follow."""
    chosen = _nothing_chosen(draws, tokens)
    return _drawn(draws, tokens, chosen, _uniform_candidate(draws, layer))


def skewed(draws, layer, tokens, exponent):
    total, cumulative = 0.0, []
    for i in range(draws.num_experts):
        total += math.pow(i + 1, -exponent)
        cumulative.append(total)

    def candidate(some, d):
        u = unit(mix(draws.seed, DRAW, layer, some, d)) * total
        return numpy.searchsorted(cumulative, u, side="right")
    return _drawn(draws, tokens, _nothing_chosen(draws, tokens), candidate, 64 * draws.top_k)


def one_hot_expert(draws, layer, tokens, expert):
    chosen = _nothing_chosen(draws, tokens)
    chosen[:, 0] = expert
    return _drawn(draws, tokens, chosen, _uniform_candidate(draws, layer))


def experts_of_rank(num_experts, ranks, rank):
    """(first, count) under linear placement."""
    each, more = divmod(num_experts, ranks)
    return rank * each + min(rank, more), each + (rank < more)


def hot_rank(draws, layer, tokens, owned, share):
    """owned is experts_of_rank of the hot one."""
    first, count = owned

    def candidate(some, d):
        hot = unit(mix(draws.seed, DRAW, layer, some, 2 * d)) < share
        pick = mix(draws.seed, DRAW, layer, some, 2 * d + 1)
        return numpy.where(hot, first + remainder(pick, count), remainder(pick, draws.num_experts))
    return _drawn(draws, tokens, _nothing_chosen(draws, tokens), candidate, 64 * draws.top_k)


def masked(draws, layer, tokens, share):
    chosen = uniform(draws, layer, tokens)
    coin = unit(mix(draws.seed, MASK, layer, tokens[:, None], numpy.arange(draws.top_k)))
    chosen[coin < share] = -1
    return chosen


def repeated_ids(rows, tokens):
    return numpy.asarray(rows, numpy.int64)[tokens % len(rows)]
