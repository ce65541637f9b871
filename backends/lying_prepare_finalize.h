// The decorator that all lying PrepareFinalizes share: it hands both halves to the healthy one but
// for what a fault puts in their place. The faults stand in faulty_*.cc; healthy code has none.

#pragma once

#include <functional>

#include "backends/moe_layer.h"

namespace moe {

// What comes in the place of a half; inner is the healthy one. Empty: the half stays healthy.
struct PrepareFinalizeLies {
  std::function<Dispatched(PrepareFinalize& inner, const Tensor& hidden_states,
                           const Routing& routing, RowCounts tokens)>
      prepare = {};
  std::function<void(PrepareFinalize& inner, const Tensor& expert_output, Dispatched dispatched,
                     const Tensor& output)>
      finalize = {};
};
std::unique_ptr<PrepareFinalize> lying(std::unique_ptr<PrepareFinalize> inner,
                                       PrepareFinalizeLies lies);

// Healthy halves, and then what the first or the second of them gave is spoiled.
std::unique_ptr<PrepareFinalize> with_spoiled_dispatch(
    std::unique_ptr<PrepareFinalize> inner, std::function<void(Dispatched& dispatched)> spoil);
std::unique_ptr<PrepareFinalize> with_spoiled_output(
    std::unique_ptr<PrepareFinalize> inner, std::function<void(const Tensor& output)> spoil);

}  // namespace moe
