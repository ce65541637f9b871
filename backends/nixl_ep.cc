// nixl_ep: NIXL EP, whose contract is that of DeepEP's low-latency mode.
// vLLM: prepare_finalize/nixl_ep.py; distribution-layer.md, 9.5.

#include "backends/slot_dispatch.h"

namespace moe::backends {

extern const Backend nixl_ep;
const Backend nixl_ep = {
    .capabilities = {.activation_format = ActivationFormat::batched_experts,
                     .dispatch_reach = DispatchReach::owner_ranks,
                     .weights_applied_by = WeightsAppliedBy::source_rank,
                     .dispatch_move = DispatchMove::slot_messages,
                     .combine_move = CombineMove::slot_messages,
                     .output_is_reduced = true,
                     .needs_routing_tables = true,
                     .topk_ids_dtype = DType::i64,
                     .fixed_capacity = FixedCapacity{.default_tokens = 256, .most = 511},
                     .masks_ranks = true,
                     .arrival_is_free = true,
                     .max_in_flight = 2,
                     .limits = {.hidden_sizes = {2048, 2560, 3072, 4096, 5120, 6144, 7168, 8192},
                                .row_dtypes = {DType::bf16},
                                .max_top_k = 11,
                                .needs_even_experts = true,
                                .capacity_multiple = 4},
                     .recipe = {{.operands = Operands::all_slots, .weighting = Weighting::whole}}},
    .make =
        [](const PrepareFinalizeConfig& config) {
          return make_slot_dispatch(config, nixl_ep.capabilities);
        },
};

}  // namespace moe::backends
