// no_ep: no row leaves its rank; experts see the caller's own rows, and ranks of one TP group hold
// the same rows, so that the runner's all-reduce over TP sums what each computed. vLLM:
// no_dp_ep.py; distribution-layer.md, 9.2. For worlds with one DP rank.

#include "backends/gathered_rows.h"

namespace moe::backends {

extern const Backend no_ep;
const Backend no_ep = {
    .capabilities = {.dispatch_reach = DispatchReach::own_rank,
                     .dispatch_move = DispatchMove::none,
                     .combine_move = CombineMove::none,
                     .moves_between_dp_ranks = false,
                     .takes_router_logits = true,
                     .quantization = {.after_receipt = with_dynamic_tensor(row_recipes)},
                     .recipe = {{.operands = Operands::local_slots,
                                 .weighting = Weighting::separate}}},
    .make = make_local_rows,
};

}  // namespace moe::backends
