// Experts for the batched_experts format: each local expert's valid rows, computed where they stand
// (vLLM: BatchedTritonExperts). Neither weights nor sums: that is the source's.

#pragma once

#include "backends/standard_experts.h"

namespace moe {

// config.expert_map is not read: a row's expert is the room that it stands in.
std::unique_ptr<Experts> make_batched_experts(const ExpertsConfig& config, ExpertWeights weights);

}  // namespace moe
