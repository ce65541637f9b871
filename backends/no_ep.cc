// no_ep: no row leaves its rank; experts see the caller's own rows. vLLM: no_dp_ep.py;
// distribution-layer.md, 9.2. For worlds with one DP rank.

#include "backends/backend.h"
#include "backends/gathered_rows.h"

namespace moe::backends {
namespace {

class NoExpertParallel final : public PrepareFinalize {
 public:
  explicit NoExpertParallel(const PrepareFinalizeConfig& config) : config_(config) {}

  Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                     RowCounts tokens) override {
    Dispatched dispatched;
    dispatched.hidden_states = hidden_states;
    dispatched.routing = routing;
    dispatched.handle.rows_per_rank.assign(tokens.begin(), tokens.end());
    if (config_.provenance == Provenance::travels) {
      dispatched.provenance = dispatched.handle.keep(
          provenance_tags(config_.memory, config_.group.rank(), hidden_states.rows));
    }
    return dispatched;
  }

  void finalize(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) override {
    dispatched.handle.use();
    config_.memory.copy(expert_output, output);
  }

 private:
  PrepareFinalizeConfig config_;
};

}  // namespace

extern const Backend no_ep;
const Backend no_ep = {
    .capabilities = {.dispatch_reach = DispatchReach::own_rank,
                     .moves_between_dp_ranks = false,
                     .recipe = {{.operands = Operands::local_slots,
                                 .weighting = Weighting::separate}}},
    .make = [](const PrepareFinalizeConfig& config) -> std::unique_ptr<PrepareFinalize> {
      return std::make_unique<NoExpertParallel>(config);
    },
};

}  // namespace moe::backends
