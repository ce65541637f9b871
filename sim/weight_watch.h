// LAYOUT of weights: what a rank's weights became when they were loaded, against the judge's own
// quantisers, on the rank's first and last expert.

#pragma once

#include <memory>

#include "backends/quantized_weights.h"
#include "sim/check_ledger.h"

namespace moe::sim {

struct WatchedWeights {
  int layer = 0;
  int rank = 0;  // of the world
};

std::unique_ptr<WeightQuantizer> watched(std::unique_ptr<WeightQuantizer> inner,
                                         WatchedWeights place, Memory& memory, CheckLedger& ledger);

}  // namespace moe::sim
