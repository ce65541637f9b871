// Experts for the batched_experts format: each local expert's valid rows, computed where they stand
// (vLLM: BatchedTritonExperts). Neither weights nor sums: that is the source's.

#pragma once

#include "backends/standard_experts.h"

namespace moe {

// config.expert_map is not read: a row's expert is the room that it stands in.
std::unique_ptr<Experts> make_batched_experts(const ExpertsConfig& config, ExpertWeights weights);

// Rows in the standard format, which this rank puts into the batched one by itself: a copy of a row
// in the room of each of its local experts, as many places in a room as rows came, and home again,
// weighted and summed in k order (vLLM: BatchedPrepareAndFinalize with one dispatcher, which XPU
// builds after its all-gather; distribution-layer.md, 2.6 and 9.10). REQUIRES rows as they are.
std::unique_ptr<Experts> make_local_batched_experts(const ExpertsConfig& config,
                                                    ExpertWeights weights,
                                                    std::unique_ptr<ExpertIdMap> id_map);

}  // namespace moe
