#!/usr/bin/python3
"""golden/plain_router.py: made-up router logits, and which experts they choose.

The rules are oracle.py's, in its docstring; sim/generated_logits.cc is the same in C++. Shares no
code with the layer's routers. Called by world.py.
"""

import math
from typing import NamedTuple

import numpy
from oracle import BIAS, COIN, LOGIT, mix, remainder, unit


class Router(NamedTuple):
    """The model's keys that decide which experts logits choose."""
    scoring: str
    groups: int
    topk_group: int
    biased: bool


class Logits(NamedTuple):
    """routing: {logits: …}."""
    spread: float
    shift: float
    ties: float
    nan: float


def router_logits(draws, layer, tokens, made):
    """[tokens, num_experts] float64."""
    z = mix(draws.seed, LOGIT, layer, tokens[:, None], numpy.arange(draws.num_experts))
    low, high = (numpy.uint64(0xFFFF) & (z >> numpy.uint64(shift)) for shift in (0, 16))
    n = (low + high).astype(numpy.int64) - 0xFFFF
    q = (n * int(16 * made.spread) + 2 ** 15) // 2 ** 16
    coins = unit(mix(draws.seed, COIN, layer, tokens[:, None], numpy.arange(2)))
    tied = coins[:, 0] < made.ties
    q[tied] = (q[tied] + 8) // 16 * 16
    logits = q / 16 + made.shift
    logits[coins[:, 1] < made.nan] = math.nan
    return logits


def correction_bias(draws, layer):
    """[num_experts] float64."""
    drawn = remainder(mix(draws.seed, BIAS, layer, numpy.arange(draws.num_experts)), 33)
    return (drawn - 16) / 64


def _rounds(values):
    return any(float(numpy.float32(value)) != value for value in values)


def _first_best(values, sizes, candidates, count, summed=None):
    """summed: the values of which each is the sum; none: of itself."""
    order = sorted(candidates, key=lambda i: (-values[i], i))
    for one, other in list(zip(order, order[1:]))[:count]:
        equal = values[one] == values[other]
        if equal and summed and summed[one] != summed[other]:
            equal = not _rounds([values[one], *summed[one], *summed[other]])
        near = max(sizes[one], sizes[other]) / 2 ** 16
        if not equal and values[one] - values[other] < near:
            raise ValueError(f"routing: logits: {one} and {other} nearly tie; choose another seed")
    return order[:count]


def _kept_experts(router, values, sizes):
    each = len(values) // router.groups
    worths, reaches, summed = [], [], []
    for begin in range(0, len(values), each):
        best = sorted(range(begin, begin + each), key=lambda e: (-values[e], e))
        best = best[:2 if router.biased else 1]
        summed.append([values[e] for e in best])
        worths.append(sum(summed[-1]))
        reaches.append(sum(sizes[e] for e in best))
    kept = _first_best(worths, reaches, range(router.groups), router.topk_group, summed)
    return [group * each + i for group in kept for i in range(each)]


def _chosen(router, logits, bias, top_k):
    valid = len(logits) > router.groups and len(logits) % router.groups == 0
    grouped = router.groups > 1 and valid
    if math.isnan(logits[0]):
        if grouped:
            return list(range(top_k))
        scores = numpy.zeros(len(logits))
    elif router.scoring == "sigmoid" and valid:
        scores = numpy.array([1 / (1 + math.exp(-x)) for x in logits])
    else:
        scores = numpy.array([math.exp(x - logits.max()) for x in logits])
        scores /= scores.sum()
    values = (scores + bias).tolist()
    sizes = numpy.maximum(scores, abs(bias)).tolist()
    candidates = _kept_experts(router, values, sizes) if grouped else range(len(values))
    return _first_best(values, sizes, candidates, top_k)


def routed(draws, layer, tokens, router, made):
    """[tokens, top_k] int64."""
    bias = correction_bias(draws, layer) if router.biased else numpy.zeros(draws.num_experts)
    rows = [_chosen(router, row, bias, draws.top_k)
            for row in router_logits(draws, layer, tokens, made)]
    return numpy.asarray(rows, numpy.int64).reshape(len(tokens), draws.top_k)
