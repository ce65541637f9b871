// What DeepEP's low-latency mode declares and NIXL EP takes over (vLLM:
// prepare_finalize/deepep_ll.py, nixl_ep.py; distribution-layer.md, 9.4 and 9.5). At most 511
// tokens of a rank: queues of depth 1024 hold two entries for each and two more. Two results may be
// under way. Included by those two.

#pragma once

#include "backends/slot_dispatch.h"

namespace moe::backends {

inline Capabilities low_latency_capabilities() {
  Capabilities own = slot_dispatch_capabilities();
  own.needs_routing_tables = true;
  own.topk_ids_dtype = DType::i64;
  own.fixed_capacity = FixedCapacity{.default_tokens = 256, .most = 511};
  own.masks_ranks = true;
  own.arrival_is_free = true;
  own.max_in_flight = 2;
  own.limits = {.hidden_sizes = {2048, 2560, 3072, 4096, 5120, 6144, 7168, 8192},
                .row_dtypes = {DType::bf16},
                .max_top_k = 11,
                .needs_even_experts = true,
                .capacity_multiple = 4};
  own.quantization = {.after_receipt = with_dynamic_tensor(
                          {QuantRecipe::fp8_static_tensor, QuantRecipe::fp8_dynamic_token,
                           QuantRecipe::nvfp4, QuantRecipe::mxfp4_cutlass}),
                      .in_dispatch = {QuantRecipe::fp8_block128},
                      .own_quantizer = QuantRecipe::fp8_block128_deepep,
                      .weights_alone = weights_alone_in_rooms};
  return own;
}

}  // namespace moe::backends
