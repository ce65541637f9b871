// The standard format's experts: plan, permute, compute, weight_and_reduce.
// A rank without rows and an expert without rows are loops of zero turns.

#include "backends/standard_experts.h"

#include <utility>

namespace moe {
namespace {

// No map: plan_rows takes the ids as they are.
constexpr Tensor ids_are_local = {};

class StandardExperts final : public Experts {
 public:
  StandardExperts(const ExpertsConfig& config, ExpertWeights weights,
                  std::unique_ptr<ExpertIdMap> id_map)
      : kernels_(config.kernels),
        num_local_experts_(config.num_local_experts),
        router_weight_(config.router_weight),
        compute_(config, std::move(weights)),
        id_map_(std::move(id_map)) {}

  Tensor apply(Dispatched& dispatched) override {
    const RoutingBuffers local = id_map_->local_ids(dispatched.routing);
    MOE_CHECK(local.space == IdSpace::local, "rows are grouped by local expert");
    const RowPlanBuffers plan =
        kernels_.plan_rows(local.topk_ids.tensor(), ids_are_local, num_local_experts_);
    const Buffer rows = kernels_.permute(dispatched.hidden_states, plan.view());
    const Buffer computed = compute_(rows, plan.first_row.tensor());
    const Tensor& dispatched_rows = dispatched.hidden_states;
    const Tensor output = dispatched.handle.keep_workspace(Buffer(
        kernels_.memory(), {dispatched_rows.rows, dispatched_rows.columns, dispatched_rows.dtype}));
    const Tensor& result = computed.tensor().columns > 0 ? computed.tensor() : rows.tensor();
    const Buffer ones = router_weight_ == RouterWeight::on_input
                            ? weights_of_one(dispatched.routing.topk_weights, kernels_.memory())
                            : Buffer();
    kernels_.weight_and_reduce(
        result, plan.row_of.tensor(),
        router_weight_ == RouterWeight::on_input ? ones.tensor() : dispatched.routing.topk_weights,
        output);
    return output;
  }

 private:
  Kernels& kernels_;
  int num_local_experts_;
  RouterWeight router_weight_ = RouterWeight::on_output;
  GroupedExperts compute_;
  std::unique_ptr<ExpertIdMap> id_map_;
};

}  // namespace

GroupedExperts::GroupedExperts(const ExpertsConfig& config, ExpertWeights weights)
    : kernels_(config.kernels) {
  if (auto* gemm = std::get_if<GemmWeights>(&weights)) {
    gemm_ = kernels_.gemm_experts(std::move(*gemm), config.num_local_experts);
  } else {
    signs_ = std::move(std::get<ProbeWeights>(weights).signs);
  }
}

Buffer GroupedExperts::operator()(const Buffer& rows, const Tensor& first_row) {
  if (gemm_ != nullptr) return gemm_->apply(rows.tensor(), first_row);
  kernels_.probe_experts(rows.tensor(), first_row, signs_.tensor());
  return {};
}

std::unique_ptr<Experts> make_standard_experts(const ExpertsConfig& config, ExpertWeights weights,
                                               std::unique_ptr<ExpertIdMap> id_map) {
  if (id_map == nullptr) id_map = make_expert_id_map(config.kernels, config.expert_map);
  return std::make_unique<StandardExperts>(config, std::move(weights), std::move(id_map));
}

}  // namespace moe
