// pplx: one message for each choice into fixed room, over nvshmem; ranks of a TP group split the
// sending. vLLM: pplx_prepare_finalize.py, removed by #33724 in February 2026; requests fall back
// to allgather_reducescatter. distribution-layer.md, 9.8.

#include "backends/slot_dispatch.h"

namespace moe::legacy {

extern const Backend pplx;
const Backend pplx = {
    .capabilities = {.activation_format = ActivationFormat::batched_experts,
                     .dispatch_reach = DispatchReach::owner_ranks,
                     .weights_applied_by = WeightsAppliedBy::source_rank,
                     .dispatch_move = DispatchMove::slot_messages,
                     .combine_move = CombineMove::slot_messages,
                     .output_is_reduced = true,
                     .topk_ids_dtype = DType::i32,
                     .fixed_capacity = FixedCapacity{.default_tokens = 256},
                     .tp_replicas = TpReplicas::split,
                     .arrival_is_free = true,
                     .limits = {.linear_placement_only = true},
                     .recipe = {{.operands = Operands::all_slots, .weighting = Weighting::whole}}},
    .make =
        [](const PrepareFinalizeConfig& config) {
          return make_slot_dispatch(config, pplx.capabilities);
        },
};

}  // namespace moe::legacy
