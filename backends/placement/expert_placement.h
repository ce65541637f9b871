// How experts are dealt to the ranks of an EP group (vLLM: determine_expert_map in
// fused_moe/layer.py; experts-and-oracles.md, 2.1). Called by whoever builds a layer.

#pragma once

#include <string_view>

#include "kernels/base/expert_map.h"

namespace moe {

enum class Placement { linear, round_robin };

// base = num_experts / num_ranks; the first num_experts % num_ranks ranks get one more (vLLM's
// docstring says the last, its code decides). linear: a contiguous range for each rank;
// round_robin: expert e lives on rank e % num_ranks.
ExpertMap determine_expert_map(int num_experts, int num_ranks, Placement placement);

}  // namespace moe
