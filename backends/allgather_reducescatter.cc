// allgather_reducescatter: every row goes to every rank, partial sums come back by reduce-scatter.
// vLLM: prepare_finalize/naive_dp_ep.py and AgRsAll2AllManager (since #23964);
// distribution-layer.md, 3.1 and 9.1. The default backend.

#include "backends/gathered_rows.h"

namespace moe::backends {
namespace {

std::unique_ptr<All2AllManager> make_manager(const PrepareFinalizeConfig& config) {
  return make_all_gather_manager(config.group());
}

class AllGatherReduceScatter final : public PrepareFinalize {
 public:
  explicit AllGatherReduceScatter(const PrepareFinalizeConfig& config)
      : manager_(make_manager(config)),
        quantizer_(config.quantization, ActivationFormat::standard, config.kernels),
        provenance_(config.provenance) {}

  Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                     RowCounts tokens) override {
    return all_gathered(*manager_, hidden_states, routing, tokens, {quantizer_, provenance_});
  }

  void finalize(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) override {
    dispatched.handle.use();
    manager_->combine(expert_output, dispatched.handle.rows_per_rank, output);
  }

 private:
  std::unique_ptr<All2AllManager> manager_;
  RowQuantizer quantizer_;
  Provenance provenance_;
};

}  // namespace

extern const Backend allgather_reducescatter;
const Backend allgather_reducescatter = {
    .capabilities = {.dispatch_reach = DispatchReach::every_rank,
                     .dispatch_move = DispatchMove::all_gather,
                     .combine_move = CombineMove::reduce_scatter,
                     .takes_router_logits = true,
                     .quantization = {.travelling = row_recipes},
                     .recipe = {{.operands = Operands::local_slots,
                                 .weighting = Weighting::separate},
                                {.operands = Operands::ranks}}},
    .make = [](const PrepareFinalizeConfig& config) -> std::unique_ptr<PrepareFinalize> {
      return std::make_unique<AllGatherReduceScatter>(config);
    },
    .make_manager = make_manager,
};

}  // namespace moe::backends
