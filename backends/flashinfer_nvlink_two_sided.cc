// flashinfer_nvlink_two_sided: one copy of a row for each rank that owns a choice, through FIFOs
// with credits. vLLM: flashinfer_nvlink_two_sided.py, flashinfer_all2allv before;
// distribution-layer.md, 9.7. Room for what a step brings: capacity is the longest rank's rows.

#include "backends/rank_dispatch.h"

namespace moe::backends {

extern const Backend flashinfer_nvlink_two_sided;
const Backend flashinfer_nvlink_two_sided = {
    .capabilities = {.dispatch_reach = DispatchReach::owner_ranks,
                     .dispatch_move = DispatchMove::rank_messages,
                     .combine_move = CombineMove::rank_messages,
                     .output_is_reduced = true,
                     .topk_ids_dtype = DType::i32,
                     .recipe = {{.operands = Operands::local_slots,
                                 .weighting = Weighting::separate},
                                {.operands = Operands::ranks}}},
    .make =
        [](const PrepareFinalizeConfig& config) {
          return make_rank_dispatch(config, flashinfer_nvlink_two_sided.capabilities,
                                    ReceiveRoom::exact);
        },
};

}  // namespace moe::backends
