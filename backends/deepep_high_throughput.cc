// deepep_high_throughput: DeepEP's normal mode, one copy of a row for each rank that owns a choice.
// vLLM: prepare_finalize/deepep_ht.py; distribution-layer.md, 9.3. Its counts are known to the host
// before rows move. Choices that live elsewhere come as an expert that is not on the rank.

#include "backends/rank_dispatch.h"

namespace moe::backends {

extern const Backend deepep_high_throughput;
const Backend deepep_high_throughput = {
    .capabilities = {.dispatch_reach = DispatchReach::owner_ranks,
                     .dispatch_move = DispatchMove::rank_messages,
                     .combine_move = CombineMove::rank_messages,
                     .output_is_reduced = true,
                     .topk_ids_dtype = DType::i64,
                     .foreign_choices = ForeignChoices::non_local_expert,
                     .limits = {.group_sizes = {2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 144, 160},
                                .row_bytes_multiple = 512,
                                .row_dtypes = {DType::bf16}},
                     .recipe = {{.operands = Operands::local_slots,
                                 .weighting = Weighting::separate},
                                {.operands = Operands::ranks}}},
    .make =
        [](const PrepareFinalizeConfig& config) {
          return make_rank_dispatch(config, deepep_high_throughput.capabilities,
                                    ReceiveRoom::exact);
        },
};

}  // namespace moe::backends
