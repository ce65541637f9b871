// LAYOUT of weights: what a rank's weights became when they were loaded, against the judge's own
// quantisers, on the rank's first and last expert. Codes are made of whole experts, and cut.

#pragma once

#include <memory>

#include "backends/placement/tensor_shard.h"
#include "backends/quantized_weights.h"
#include "sim/check_ledger.h"

namespace moe::sim {

struct WatchedWeights {
  int layer = 0;
  int rank = 0;                 // of the world
  Count intermediate_size = 0;  // of a whole expert
  TensorShard shard = {};       // which part of it the rank holds
};

std::unique_ptr<WeightQuantizer> watched(std::unique_ptr<WeightQuantizer> inner,
                                         WatchedWeights place, Memory& memory, CheckLedger& ledger);

}  // namespace moe::sim
