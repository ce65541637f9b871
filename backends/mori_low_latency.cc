// mori_low_latency: MoRI with its low-latency kernels (vLLM: since #41751); the same contract.
// One copy of a row for each rank that owns a choice, into worst-case room with a count on the
// device. vLLM: prepare_finalize/mori.py; distribution-layer.md, 9.6.

#include "backends/rank_dispatch.h"

namespace moe::backends {

extern const Backend mori_low_latency;
const Backend mori_low_latency = {
    .capabilities = {.dispatch_reach = DispatchReach::owner_ranks,
                     .dispatch_move = DispatchMove::rank_messages,
                     .combine_move = CombineMove::rank_messages,
                     .output_is_reduced = true,
                     .topk_ids_dtype = DType::i32,
                     .fixed_capacity = FixedCapacity{.default_tokens = 8192},
                     .pads_received_rows = true,
                     .limits = {.row_dtypes = {DType::bf16},
                                .needs_even_experts = true,
                                .takes_weight_on_input = false},
                     .recipe = {{.operands = Operands::local_slots,
                                 .weighting = Weighting::separate},
                                {.operands = Operands::ranks}}},
    .make =
        [](const PrepareFinalizeConfig& config) {
          return make_rank_dispatch(config, mori_low_latency.capabilities, ReceiveRoom::worst_case);
        },
};

}  // namespace moe::backends
