// flashinfer_nvlink_one_sided: one copy of a row for each rank that owns a choice, written into
// that rank's window: room for the longest rank of the step for every rank, the unused rows with id
// -1. vLLM: flashinfer_nvlink_one_sided.py; distribution-layer.md, 9.7. How rows are packed within
// a source's room is UNVERIFIED there: here in the source's own order, without gaps.

#include "backends/rank_dispatch.h"

namespace moe::backends {

extern const Backend flashinfer_nvlink_one_sided;
const Backend flashinfer_nvlink_one_sided = {
    .capabilities = {.dispatch_reach = DispatchReach::owner_ranks,
                     .dispatch_move = DispatchMove::rank_messages,
                     .combine_move = CombineMove::rank_messages,
                     .output_is_reduced = true,
                     .topk_ids_dtype = DType::i32,
                     .fixed_capacity = FixedCapacity{.default_tokens = 8192},
                     .pads_received_rows = true,
                     .limits = {.row_dtypes = {DType::bf16}},
                     .recipe = {{.operands = Operands::local_slots,
                                 .weighting = Weighting::separate},
                                {.operands = Operands::ranks}}},
    .make =
        [](const PrepareFinalizeConfig& config) {
          return make_rank_dispatch(config, flashinfer_nvlink_one_sided.capabilities,
                                    ReceiveRoom::by_source);
        },
};

}  // namespace moe::backends
