#!/usr/bin/python3
"""golden/routing_trace.py: reads moe-routing-trace/1 (formats.md, 1), safetensors, for world.py.

Trusts no length and no id before checking it. Writes nothing, computes nothing.
"""

import functools
import json
import math
from typing import NamedTuple

import numpy


class ScenarioError(Exception):
    """Bad input: says where, the value and what is possible."""


class Trace(NamedTuple):
    metadata: dict
    topk_ids: numpy.ndarray    # [tokens, layers, top_k]
    topk_weights: numpy.ndarray
    num_tokens: numpy.ndarray  # [steps, ranks]


def _tensor(data, base, header, name, dtype):
    try:
        entry = header[name]
        begin, end = (base + int(offset) for offset in entry["data_offsets"])
        shape, found = [int(length) for length in entry["shape"]], entry["dtype"]
    except (KeyError, TypeError, ValueError) as error:
        raise ScenarioError(f"no tensor '{name}' that can be read: {error!r}") from error
    kind = {"I16": "<i2", "I32": "<i4", "F32": "<f4"}[dtype]
    size = numpy.dtype(kind).itemsize * math.prod(shape)
    if found != dtype or not base <= begin <= end <= len(data) or end - begin != size:
        raise ScenarioError(f"tensor '{name}' is {found} {shape} at bytes {begin} to {end} of "
                            f"{len(data)}; needed: {dtype}")
    return numpy.frombuffer(data[begin:end], kind).reshape(shape)


def _read_trace(path):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise ScenarioError(f"a header of {length} bytes in a file of {len(data)}")
    header = json.loads(data[8:8 + length])
    metadata = header.get("__metadata__", {})
    if metadata.get("format") != "moe-routing-trace/1":
        raise ScenarioError(f"format {metadata.get('format')!r}, not 'moe-routing-trace/1'")
    tensor = functools.partial(_tensor, data, 8 + length, header)
    weights = tensor("topk_weights", "F32")
    trace = Trace(metadata, tensor("topk_ids", "I16"), weights, tensor("num_tokens", "I32"))
    shape = tuple(int(metadata[key]) for key in ("num_layers", "top_k"))
    if trace.topk_ids.shape != (int(trace.num_tokens.sum()), *shape) \
            or weights.shape != trace.topk_ids.shape or not numpy.isfinite(weights).all() \
            or trace.num_tokens.shape != (int(metadata["steps"]), int(metadata["dp_size"])) \
            or trace.num_tokens.min() < 0:
        raise ScenarioError("shapes, num_tokens and metadata do not fit each other, or a weight is "
                            "not finite")
    ordered = numpy.sort(trace.topk_ids, axis=2)
    if ordered.min() < -1 or ordered.max() >= int(metadata["num_experts"]) \
            or ((ordered[..., 1:] == ordered[..., :-1]) & (ordered[..., 1:] >= 0)).any():
        raise ScenarioError("an expert outside [-1, num_experts) or twice in one token")
    return trace


def read_trace(path):
    try:
        return _read_trace(path)
    except (ScenarioError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ScenarioError(f"{path}: {error if str(error) else repr(error)}") from error


def told_by(metadata):
    """The model keys that a trace sets."""
    number = {"experts": "num_experts", "top_k": "top_k", "layers": "num_layers",
              "hidden": "hidden_size", "intermediate": "moe_intermediate_size",
              "groups": "num_expert_group", "topk_group": "topk_group",
              "shared_experts": "num_shared_experts"}
    told = {key: int(metadata[name]) for key, name in number.items() if name in metadata}
    if "renormalize" in metadata:
        told["renormalize"] = metadata["renormalize"] == "true"
    if "scoring" in metadata:
        told["scoring"] = metadata["scoring"]
    return told
