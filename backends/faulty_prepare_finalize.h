// PrepareFinalize decorators that lie, for seeded faults (fault-catalogue.md, 4).
// Made by the program when a run asks for a fault; healthy backends know nothing of them.

#pragma once

#include "backends/moe_layer.h"

namespace moe {

// MF-37: a rank without tokens of its own returns early and takes part in no collective of the
// layer (vllm#43547, uccl#940: the first fix for zero tokens skipped the collective and its peers
// hung).
std::unique_ptr<PrepareFinalize> with_early_return(std::unique_ptr<PrepareFinalize> inner,
                                                   Memory& memory, int num_local_experts);

// One bit of the layer's output flips: for trying the judge; no bug of vLLM's.
struct FlippedBit {
  Count call = 0;  // the layer's calls count from 0: the step
  Count token = 0;
  Count column = 0;
  int bit = 0;
};
std::unique_ptr<PrepareFinalize> with_flipped_bit(std::unique_ptr<PrepareFinalize> inner,
                                                  Memory& memory, FlippedBit fault);

}  // namespace moe
