#!/usr/bin/python3
"""golden/schemes.py: what model.quantization means in real worlds, for real.py.

Recipes by their names, and the scales that a checkpoint would bring with them. What survives codes
in exact worlds is surviving.py. Called by world.py.
"""

import numpy
import oracle
import real
import requantise
import surviving
from routing_trace import ScenarioError

# Of each scheme with real worlds the recipes of weights and of activations.
SCHEMES = {"none": ("", ""), "fp8_static": ("fp8_dynamic_tensor", "fp8_static_tensor"),
           "fp8_dynamic": ("fp8_dynamic_tensor", "fp8_dynamic_tensor"),
           "fp8_per_token": ("fp8_channel", "fp8_dynamic_token"),
           "fp8_block128": ("fp8_block128x128", "fp8_block128"),
           "fp8_block128_deepep": ("fp8_block128x128", "fp8_block128_deepep"),
           "int8_per_token": ("int8_channel", "int8_dynamic_token"), "nvfp4": ("nvfp4", "nvfp4"),
           "mxfp4": ("mxfp4_ocp", "mxfp4_cutlass"), "mxfp8": ("mxfp8", "mxfp8"),
           "fp8_w8a16": ("fp8_channel", ""), "int8_w8a16": ("int8_uint8b128", ""),
           "int4_w4a16": ("int4_uint4b8", ""), "mxfp4_w4a16": ("mxfp4_ocp", ""),
           "nvfp4_w4a16": ("nvfp4", ""), "fp8_block128_fused": ("fp8_block128x128", "fp8_block128"),
           "nvfp4_fused": ("nvfp4", "nvfp4")}
# How often the activation is rounded before it becomes codes, where that is not each step's end.
ROUNDINGS = {"fp8_block128_fused": "never", "nvfp4_fused": "once"}


def take(section, is_real):
    """The value of model.quantization, which a section of world.py has."""
    scheme = section.take("quantization", "none", SCHEMES.__contains__, ", ".join(SCHEMES))
    if not is_real and scheme not in ("none", *surviving.SCHEMES):
        raise ScenarioError(f"{section.where}: quantization: {scheme} needs values: real; possible "
                            f"with integers: none, {', '.join(surviving.SCHEMES)}")
    return scheme


def quantisation_of(scheme):
    """With the given scales of a checkpoint: the largest number of real worlds at the format's end,
    and twice as large ones between the products."""
    weights, activations = SCHEMES[scheme]
    rounding = ROUNDINGS.get(scheme, "each")
    largest = numpy.float32(131070 / real.DEVIATION)
    if activations == "nvfp4":
        first = numpy.float32(448 * 6) / largest
        return requantise.Quantisation(weights, activations, activations, first, first / 2,
                                       rounding)
    first = largest / numpy.float32(448) if activations == "fp8_static_tensor" else 1
    return requantise.Quantisation(weights, activations, activations, first, first * 2, rounding)


def homes_of(ranks, num_experts, dp, runs):
    """Goldens are of rows that come to the owners of their choices, experts placed linearly; of all
    rows where nobody owns an expert alone, or where the runner of a run line gathers them."""
    size = dp * ranks.others
    if not ranks.ep or size == 1:
        return real.Homes((0,) * num_experts, True)
    counts = [oracle.experts_of_rank(num_experts, size, rank)[1] for rank in range(size)]
    is_gathered = any(line.get("dispatch_site") == "runner" for line in runs or ())
    return real.Homes(tuple(r for r, count in enumerate(counts) for _ in range(count)), is_gathered)
