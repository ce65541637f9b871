// A rank's expert weights slot by slot: as rows of bytes that can travel, as copies, and by their
// checksums. Knows no expert's number: what a slot should hold is replica_maps.h.

#pragma once

#include <cstdint>
#include <vector>

#include "backends/standard_experts.h"

namespace moe {

// Every tensor of the weights as [num_slots, bytes of one expert] u8; absent biases are left out.
// LIFETIME: the weights'.
std::vector<Tensor> expert_rows(const ExpertWeights& weights, int num_slots);

// Weights of the same shapes, with nothing in them yet.
ExpertWeights weights_like(const ExpertWeights& weights, Memory& memory);

ExpertWeights copy_of_weights(const ExpertWeights& weights, Memory& memory);

// One checksum a slot, over all of its tensors (xxh64).
std::vector<std::uint64_t> slot_digests(const ExpertWeights& weights, int num_slots,
                                        Memory& memory);

}  // namespace moe
