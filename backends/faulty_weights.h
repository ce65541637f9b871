// Layers that weigh wrong, for seeded faults (fault-catalogue.md, F2): a router weight or the
// routed scaling factor applied twice or never, negative logits cut off, and a tail of an earlier
// step (F12). Decorators; made by the program when a run asks for a fault.

#pragma once

#include "backends/moe_layer.h"
#include "kernels/base/memory.h"

namespace moe {

// MF-06: the experts weight their output although their input was weighted (vllm#43694): every
// router weight goes in squared. REQUIRES the standard format.
std::unique_ptr<Experts> with_weights_twice(std::unique_ptr<Experts> inner, Memory& memory);

// MF-07: combine multiplies by that factor, whatever the runner does after it (sglang#8511). A
// factor of 1 / scale stands for a scaling that was skipped.
std::unique_ptr<PrepareFinalize> with_output_scaled(std::unique_ptr<PrepareFinalize> inner,
                                                    Memory& memory, float factor);

// MF-09: a fused routing that starts its maximum at 0: in rows whose first num_experts logits are
// all negative they count as 0 (flashinfer#2822, vllm#37591).
std::unique_ptr<Router> with_negative_logits_clamped(std::unique_ptr<Router> inner, Memory& memory,
                                                     Count num_experts);

// MF-36: the handle's buffer is longer than the step: where the step before had more rows, its last
// row of this one's length shows through.
std::unique_ptr<PrepareFinalize> with_stale_tail(std::unique_ptr<PrepareFinalize> inner,
                                                 Memory& memory);

}  // namespace moe
