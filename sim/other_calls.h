// A layer called otherwise than vLLM would: chunk by chunk (legacy) where it never was, or as the
// micro-batches that its ranks have agreed on. The judge holds those outputs too: how rows are cut
// changes none. Called by rank_program.cc after the cell's own call (dp_chunks.h: or calls).

#pragma once

#include <functional>
#include <string>
#include <vector>

#include "backends/moe_runner.h"
#include "sim/engine_steps.h"

namespace moe::sim {

// Rows of one rank in its memory → their outputs, in host memory.
using OtherCall = std::function<Buffer(MoeRunner& layer, const Tensor& host_rows,
                                       const Tensor& host_logits, Memory& host)>;

// Those of a step, none where nobody asks. LIFETIME: the references outlive them.
std::vector<OtherCall> other_calls(const RankJob& job, const EngineSteps& engine, Memory& memory,
                                   int step);

}  // namespace moe::sim
