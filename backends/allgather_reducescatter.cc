// allgather_reducescatter: every row goes to every rank, partial sums come back by reduce-scatter.
// vLLM: prepare_finalize/naive_dp_ep.py and AgRsAll2AllManager (since #23964);
// distribution-layer.md, 3.1 and 9.1. The default backend.

#include "backends/backend.h"
#include "backends/gathered_rows.h"

namespace moe::backends {
namespace {

class AllGatherReduceScatter final : public PrepareFinalize {
 public:
  explicit AllGatherReduceScatter(const PrepareFinalizeConfig& config) : config_(config) {}

  Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                     RowCounts tokens) override {
    return all_gathered(config_, hidden_states, routing, tokens);
  }

  void finalize(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) override {
    dispatched.handle.use();
    config_.group.reduce_scatter_v(expert_output, dispatched.handle.rows_per_rank, output);
  }

 private:
  PrepareFinalizeConfig config_;
};

}  // namespace

extern const Backend allgather_reducescatter;
const Backend allgather_reducescatter = {
    .capabilities = {.dispatch_reach = DispatchReach::every_rank,
                     .recipe = {{.operands = Operands::local_slots,
                                 .weighting = Weighting::separate},
                                {.operands = Operands::ranks}}},
    .make = [](const PrepareFinalizeConfig& config) -> std::unique_ptr<PrepareFinalize> {
      return std::make_unique<AllGatherReduceScatter>(config);
    },
};

}  // namespace moe::backends
