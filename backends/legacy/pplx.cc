// pplx: one message for each choice into fixed room, over nvshmem; ranks of a TP group split the
// sending. vLLM: pplx_prepare_finalize.py, removed by #33724 in February 2026; requests fall back
// to allgather_reducescatter. distribution-layer.md, 9.8.

#include "backends/slot_dispatch.h"

namespace moe::legacy {
namespace {

Capabilities declared() {
  Capabilities own = slot_dispatch_capabilities();
  own.topk_ids_dtype = DType::i32;
  own.fixed_capacity = FixedCapacity{.default_tokens = 256};
  own.tp_replicas = TpReplicas::split;
  own.arrival_is_free = true;
  own.limits = {.linear_placement_only = true};
  own.quantization = {.travelling = {QuantRecipe::fp8_static_tensor, QuantRecipe::fp8_dynamic_token,
                                     QuantRecipe::fp8_block128, QuantRecipe::int8_dynamic_token},
                      .weights_alone = weights_alone_in_rooms,
                      .static_scale_by_row = true,
                      .scale_bytes_multiple = 16};
  return own;
}

}  // namespace

extern const Backend pplx;
const Backend pplx = {.capabilities = declared(), .make = slot_dispatch_of<pplx>};

}  // namespace moe::legacy
