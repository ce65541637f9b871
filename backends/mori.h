// What both of MoRI's backends declare: its kernels for throughput and those for low latency have
// one contract (vLLM: prepare_finalize/mori.py; distribution-layer.md, 9.6). Included by those two.

#pragma once

#include "backends/rank_dispatch.h"

namespace moe::backends {

inline Capabilities mori_capabilities() {
  Capabilities own = rank_dispatch_capabilities();
  own.topk_ids_dtype = DType::i32;
  own.fixed_capacity = FixedCapacity{.default_tokens = 8192};
  own.receive_room = ReceiveRoom::worst_case;
  own.limits = {
      .row_dtypes = {DType::bf16}, .needs_even_experts = true, .takes_weight_on_input = false};
  own.quantization = {.travelling = {QuantRecipe::fp8_static_tensor, QuantRecipe::fp8_dynamic_token,
                                     QuantRecipe::fp8_block128},
                      .weights_alone = {QuantRecipe::mxfp4_ocp},  // AITER's experts
                      .static_scale_by_row = true};
  return own;
}

}  // namespace moe::backends
