#!/usr/bin/python3
"""golden/world.py: a scenario as a World, which oracle.py can compute.

Its own small reader of formats.md, 5: what it does not understand it refuses, since a guess would
become recorded truth. Keys that change no output row are let through (FREE_KEYS). Called by
make_golden.py and tests; recorded routing comes from routing_trace.py.
"""

import functools
from pathlib import Path
from typing import Callable, NamedTuple

import engine as engines
import numpy
import oracle
import plain_router
import schemes
import surviving
import yaml
from routing_trace import ScenarioError, read_trace, told_by

# Where and how a layer runs, and what is done to it, changes nothing about what is true.
FREE_KEYS = ("why", "tags", "runs", "expect", "capacity", "faults", "defects", "eplb",
             "micro_batches", "dp_chunking", "same_under")
FREE_MODEL_KEYS = ("renormalize", "placement", "redundant_experts")
ACTIVATIONS = ("silu", "gelu", "swigluoai", "relu2_no_mul", "silu_no_mul", "gelu_no_mul")


class World(NamedTuple):
    experts: oracle.Experts
    top_k: int
    dtype: str
    layers: list              # their own numbers
    tokens: numpy.ndarray     # [steps, ranks]
    first_token: int          # the number of the selection's first
    routing: Callable         # (layer, tokens) -> topk_ids [tokens, top_k]
    traced: bool
    weights: Callable | None = None  # (layer, tokens) -> topk_weights, of real worlds with a trace
    homes: tuple = ()  # real.Homes: where a tensor's scale is made of the rows that come there


class Section:
    """One map of a scenario; every key must be taken, done() refuses the rest."""

    def __init__(self, where, value):
        self.where = where
        if not isinstance(value, dict):
            raise ScenarioError(f"{where}: a map is needed, not {value!r}")
        self.left, self.known = dict(value), []

    def take(self, key, default, fits, what):
        self.known.append(key)
        if key not in self.left:
            return default
        value = self.left.pop(key)
        if not fits(value):
            raise ScenarioError(f"{self.where}: {key}: {value!r}; possible: {what}")
        return value

    def done(self):
        if self.left:
            raise ScenarioError(f"{self.where}: unknown {sorted(map(str, self.left))}; known: "
                                f"{', '.join(sorted(self.known))}")


def is_count(value):
    return type(value) is int and value > 0


def is_index(value):
    return type(value) is int and value >= 0


def is_positive(value):
    return type(value) in (int, float) and value > 0


def is_share(value):
    return type(value) in (int, float) and 0 <= value <= 1


def is_range(value):
    return (isinstance(value, list) and len(value) == 2 and all(map(is_index, value))
            and value[0] < value[1])


def is_seed(value):
    return is_index(value) and value < 2 ** 64


def anything(_):
    return True


class UniqueKeys(yaml.SafeLoader):
    """YAML without the last-one-wins of repeated keys."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise ScenarioError(f"line {node.start_mark.line + 1}: '{key}' stands there twice")
        return super().construct_mapping(node, deep)


def read_yaml(path):
    try:
        return yaml.load(path.read_text(encoding="utf-8"), UniqueKeys)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ScenarioError) as error:
        raise ScenarioError(f"{path}: {error}") from error


def judged(scenario):
    """Whether a scenario has a golden: all that are not there to be refused."""
    if not isinstance(scenario, dict):
        return True  # read_world says what is wrong
    expect = scenario.get("expect")
    return not (isinstance(expect, dict) and "error" in expect)


class Model(NamedTuple):
    experts: oracle.Experts
    top_k: int
    layers: int
    dtype: str
    router: plain_router.Router


def read_router(section):
    def count(key):
        return section.take(key, 1, is_count, "a number above 0")
    return plain_router.Router(
        section.take("scoring", "softmax", ("softmax", "sigmoid").__contains__, "softmax, sigmoid"),
        count("groups"), count("topk_group"),
        section.take("correction_bias", False, lambda v: isinstance(v, bool), "true, false"))


def read_layers(section, hidden, intermediate):
    """(how many, their widths): a number, or a list of what each layer has of its own."""
    layers = section.take("layers", 1, lambda v: is_count(v) or isinstance(v, list) and v,
                          "a number above 0, or a list of maps")
    if is_count(layers):
        return layers, ()
    widths = []
    for number, own in enumerate(layers):
        one = Section(f"{section.where}: layers[{number}]", own)
        widths.append((one.take("hidden", hidden, is_count, "a number above 0"),
                       one.take("intermediate", intermediate, is_count, "a number above 0")))
        one.done()
    return len(layers), tuple(widths)


def read_model(section, seed, told, is_real=False):
    for key, value in told.items():
        if key in ("hidden", "intermediate"):
            section.left.setdefault(key, value)
        elif section.left.setdefault(key, value) != value:
            raise ScenarioError(f"{section.where}: {key}: {section.left[key]!r}; the trace says "
                                f"{value!r}")
    def count(key, default):
        return section.take(key, default, is_count, "a number above 0")
    num_experts, top_k, hidden = (count(key, None) for key in ("experts", "top_k", "hidden"))
    intermediate = count("intermediate", None)
    layers, widths = read_layers(section, hidden, intermediate)
    kernels = ("real",) if is_real else ("probe", "exact_gemm")
    kernel = section.take("kernel", kernels[0], kernels.__contains__, ", ".join(kernels))
    dtype = section.take("dtype", "bf16", ("bf16", "f32", "f16").__contains__, "bf16, f32, f16")
    flag = functools.partial(section.take, default=False,
                             fits=lambda value: isinstance(value, bool), what="true, false")
    forms = {"shared": section.take("shared_experts", 0, is_index, "a number from 0"),
             "scale": float(section.take("scale", 1.0, is_positive, "a number above 0")),
             "weight_on_input": flag("router_weight_on_input"), "bias": flag("bias"),
             "activation": section.take("activation", "silu", ACTIVATIONS.__contains__,
                                        ", ".join(ACTIVATIONS)), "widths": widths, "dtype": dtype}
    scheme = schemes.take(section, is_real)
    forms["quantization"] = scheme
    if is_real and scheme != "none":
        forms["quantisation"] = schemes.quantisation_of(scheme)
    if kernel == "exact_gemm" and surviving.is_four_bits(scheme):
        raise ScenarioError(f"{section.where}: exact_gemm does not survive four bits")
    if forms["weight_on_input"] and top_k != 1:
        raise ScenarioError(f"{section.where}: router_weight_on_input needs top_k 1")
    router = read_router(section)
    for key in FREE_MODEL_KEYS:
        section.take(key, None, anything, "")
    section.done()
    if None in (num_experts, top_k, hidden) or (kernel != "probe" and intermediate is None):
        raise ScenarioError(f"{section.where}: experts, top_k, hidden and, but for probes, "
                            "intermediate are needed")
    if top_k > num_experts:
        raise ScenarioError(f"{section.where}: top_k {top_k} of {num_experts} experts")
    experts = oracle.Experts(kernel, seed, num_experts, hidden, intermediate or 0, **forms)
    return Model(experts, top_k, layers, dtype, router)


class Ranks(NamedTuple):
    dp: int | None  # None: as many as the trace has
    others: int     # ranks of tp x pcp, which hold the experts with those of dp
    ep: bool
    masked: list    # dead ranks, whose experts answer nobody


def read_ranks(section):
    dp = section.take("dp", None, is_count, "a number above 0")
    tp = section.take("tp", 1, is_count, "a number above 0")
    ep = section.take("ep", True, lambda value: isinstance(value, bool), "true, false")
    section.take("sequence_parallel", False, lambda value: isinstance(value, bool), "true, false")
    pcp = section.take("pcp", 1, is_count, "a number above 0")
    section.take("pp", 1, is_count, "a number above 0")
    masked = section.take("masked_ranks", [],
                          lambda v: isinstance(v, list) and all(map(is_index, v)), "ranks")
    section.done()
    return Ranks(dp, tp * pcp, ep, masked)


def without_masked(ranks, model, choose):
    """The choices of choose(layer, tokens), -1 for experts of dead ranks (linear placement)."""
    if not ranks.masked:
        return choose
    dead = numpy.zeros(model.experts.num_experts + 1, bool)  # the last: -1 stays as it is
    for rank in ranks.masked:
        first, count = oracle.experts_of_rank(model.experts.num_experts, ranks.dp, rank)
        dead[first:first + count] = True
    def chosen(layer, tokens):
        ids = choose(layer, tokens)
        return numpy.where(dead[ids], -1, ids)
    return chosen


def _parameter(section, kind, value, fits, what):
    """The one value of `{kind: {name: value}}` for each name of fits."""
    inner = Section(f"{section.where}: {kind}", value)
    found = {name: inner.take(name, None, check, what) for name, check in fits.items()}
    inner.done()
    if None in found.values():
        raise ScenarioError(f"{inner.where}: {', '.join(fits)} needed")
    return found


def _hot_rank(section, value, draws, ranks):
    size = (ranks.dp or 1) * ranks.others
    found = _parameter(section, "hot_rank", value,
                       {"rank": lambda rank: is_index(rank) and rank < size, "share": is_share},
                       f"a rank below {size}, a share in [0, 1]")
    owned = oracle.experts_of_rank(draws.num_experts, size, found["rank"])
    if not ranks.ep or not owned[1]:
        raise ScenarioError(f"{section.where}: hot_rank: rank {found['rank']} owns no experts of "
                            f"its own (ep: {ranks.ep}, {draws.num_experts} experts, {size} ranks)")
    return lambda layer, tokens: oracle.hot_rank(draws, layer, tokens, owned, found["share"])


def _ids(section, rows, draws):
    def fits(row):
        return (isinstance(row, list) and len(row) == draws.top_k
                and all(type(e) is int and -1 <= e < draws.num_experts for e in row)
                and len({e for e in row if e >= 0}) == sum(e >= 0 for e in row))
    if not isinstance(rows, list) or not rows or not all(map(fits, rows)):
        raise ScenarioError(f"{section.where}: ids: rows of {draws.top_k} different experts below "
                            f"{draws.num_experts}, or -1, are needed")
    return lambda layer, tokens: oracle.repeated_ids(rows, tokens)


def _logits(section, value, draws, router):
    def sixteenths(least, most):
        return lambda v: type(v) in (int, float) and least <= v <= most and v * 16 == int(v * 16)
    inner = Section(f"{section.where}: logits", value or {})
    made = plain_router.Logits(
        inner.take("spread", 4.0, sixteenths(0.0625, 16), "whole sixteenths in [0.0625, 16]"),
        inner.take("shift", 0.0, sixteenths(-64, 64), "whole sixteenths in [-64, 64]"),
        inner.take("ties", 0.0, is_share, "a share in [0, 1]"),
        inner.take("nan", 0.0, is_share, "a share in [0, 1]"))
    inner.done()
    if router.scoring == "sigmoid" and abs(made.shift) + made.spread > 8:
        raise ScenarioError(f"{inner.where}: sigmoid tells scores apart up to 8")
    size = draws.num_experts // router.groups
    divides = size > 1 and draws.num_experts % router.groups == 0
    if router.topk_group > router.groups or divides and draws.top_k > router.topk_group * size:
        raise ScenarioError(f"{inner.where}: top_k {draws.top_k} of {router.topk_group} of "
                            f"{router.groups} groups")
    return lambda layer, tokens: plain_router.routed(draws, layer, tokens, router, made)


def generated_routing(section, model, ranks):
    seed = section.take("seed", 1, is_seed, "a number in [0, 2^64)")
    kinds = ("uniform", "skewed", "one_hot_expert", "hot_rank", "masked", "ids", "logits")
    given = {kind: section.take(kind, None, anything, "") for kind in kinds if kind in section.left}
    section.known.extend(kinds)
    section.done()
    if len(given) > 1:
        raise ScenarioError(f"{section.where}: one of {', '.join(given)}, not all")
    kind, value = next(iter(given.items()), ("uniform", None))
    draws = oracle.Draws(seed, model.experts.num_experts, model.top_k)
    if kind == "uniform":
        Section(f"{section.where}: uniform", value or {}).done()
        return lambda layer, tokens: oracle.uniform(draws, layer, tokens)
    if kind == "hot_rank":
        return _hot_rank(section, value, draws, ranks)
    if kind == "logits":
        return _logits(section, value, draws, model.router)
    if kind == "ids":
        return _ids(section, value, draws)
    name, fits, what = {
        "skewed": ("exponent", lambda x: type(x) in (int, float) and 0 <= x <= 100,
                   "an exponent in [0, 100]"),
        "one_hot_expert": ("expert", lambda e: is_index(e) and e < draws.num_experts,
                           f"an expert below {draws.num_experts}"),
        "masked": ("share", is_share, "a share in [0, 1]")}[kind]
    found = _parameter(section, kind, value, {name: fits}, what)[name]
    return lambda layer, tokens: getattr(oracle, kind)(draws, layer, tokens, found)


def engine_steps(top, ranks, said):
    """The steps of the key engine, None without it. said: the run lines, and the capacity."""
    value = top.take("engine", None, anything, "")
    if value is None:
        return None
    dp = ranks.dp or 1
    settings = engines.read_engine(Section(f"{top.where}: engine", value), dp)
    if "steps" in top.left or not settings["requests"]:
        raise ScenarioError(f"{top.where}: engine: requests, and no steps beside them")
    settings, budget = engines.settled(settings, said[0], (dp, ranks.ep), said[1])
    return engines.steps_of(settings, dp, budget)


def generated_world(top, model, ranks, routing, said):
    width = ranks.dp or 1
    planned = engine_steps(top, ranks, said)
    def fits(steps):
        return isinstance(steps, list) and steps and all(
            isinstance(step, list) and len(step) == width and all(map(is_index, step))
            for step in steps)
    steps = top.take("steps", None, fits, f"a list of steps, each the tokens of {width} DP ranks")
    steps = planned or steps
    if steps is None:
        raise ScenarioError(f"{top.where}: steps needed")
    tokens = numpy.asarray(steps, numpy.int64)
    return World(model.experts, model.top_k, model.dtype, list(range(model.layers)), tokens, 0,
                 without_masked(ranks, model, generated_routing(routing, model, ranks)), False)


def _span(value, end, where):
    first, last = value if isinstance(value, list) else (0, value)
    if last > end:
        raise ScenarioError(f"{where}: {value}; the trace has {end}")
    return first, last


def traced_world(top, model, ranks, routing, trace):
    either = "[begin, end], end not included"
    steps = routing.take("steps", None, is_range, either)
    layers = routing.take("layers", model.layers, lambda v: is_range(v) or is_count(v),
                          either + ", or how many")
    routing.done()
    if steps is not None and "steps" in top.left:
        raise ScenarioError(f"{top.where}: steps at the top and in routing: one of the two")
    steps = steps or top.take("steps", len(trace.num_tokens), is_range, either)
    begin, end = _span(steps, len(trace.num_tokens), f"{top.where}: steps")
    layers = list(range(*_span(layers, model.layers, f"{top.where}: layers")))
    size = trace.num_tokens.shape[1]
    dp = ranks.dp or size
    if size % dp:
        possible = [n for n in range(1, size + 1) if size % n == 0]
        raise ScenarioError(f"{top.where}: world: dp: {dp}; possible with this trace: {possible}")
    num_tokens = trace.num_tokens.astype(numpy.int64)
    merged = num_tokens[begin:end].reshape(end - begin, dp, size // dp).sum(axis=2)
    return World(model.experts, model.top_k, model.dtype, layers, merged,
                 int(num_tokens[:begin].sum()),
                 lambda layer, tokens: trace.topk_ids[tokens, layer].astype(numpy.int64), True)


def read_world(path, scenarios):
    """The World of a scenario file under the folder scenarios."""
    name = Path(path).relative_to(scenarios).with_suffix("").as_posix()
    top = Section(path, read_yaml(path))
    if top.take("name", None, anything, "") != name:
        raise ScenarioError(f"{path}: name: must be '{name}', its path under {scenarios.name}/")
    capacity = top.left.get("capacity") or {}
    said = top.left.get("runs"), capacity.get("max_num_batched_tokens")
    for key in FREE_KEYS:
        top.take(key, None, anything, "")
    is_real = top.take("values", "integers", ("integers", "real").__contains__,
                       "integers, real") == "real"
    seed = top.take("seed", 1, is_seed, "a number in [0, 2^64)")
    ranks = read_ranks(Section(f"{path}: world", top.take("world", {}, anything, "")))
    routing = top.take("routing", {}, anything, "")
    routing = Section(f"{path}: routing", {"uniform": {}} if routing == "uniform" else routing)
    model = Section(f"{path}: model", top.take("model", {}, anything, ""))
    file = routing.take("trace", None, lambda v: isinstance(v, str), "a file under scenarios/")
    if file is None:
        world = generated_world(top, read_model(model, seed, {}, is_real), ranks, routing,
                                said)
    else:
        trace = read_trace(scenarios / file)
        model = read_model(model, seed, told_by(trace.metadata), is_real)
        world = traced_world(top, model, ranks, routing, trace)
        if is_real:
            world = world._replace(weights=lambda layer, tokens: trace.topk_weights[tokens, layer])
    top.done()
    homes = schemes.homes_of(ranks, world.experts.num_experts, world.tokens.shape[1], said[0])
    return world._replace(homes=homes)
