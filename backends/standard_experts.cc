// The standard format's experts: plan, permute, compute, weight_and_reduce.
// A rank without rows and an expert without rows are loops of zero turns.

#include "backends/standard_experts.h"

#include <utility>

namespace moe {
namespace {

class StandardExperts final : public Experts {
 public:
  StandardExperts(const ExpertsConfig& config, ExpertWeights weights)
      : kernels_(config.kernels),
        num_local_experts_(config.num_local_experts),
        weights_(std::move(weights)) {
    std::vector<std::int32_t> map(config.expert_map.begin(), config.expert_map.end());
    expert_map_ =
        copy_of({map.data(), static_cast<Count>(map.size()), 1, DType::i32, {}}, kernels_.memory());
  }

  Tensor apply(Dispatched& dispatched) override {
    const RowPlanBuffers plan =
        kernels_.plan_rows(dispatched.routing.topk_ids, expert_map_.tensor(), num_local_experts_);
    const Buffer rows = kernels_.permute(dispatched.hidden_states, plan.view());
    const Buffer computed = std::visit(
        [&](const auto& weights) { return compute(rows, plan.first_row.tensor(), weights); },
        weights_);
    const Tensor& dispatched_rows = dispatched.hidden_states;
    const Tensor output = dispatched.handle.keep(Buffer(
        kernels_.memory(), {dispatched_rows.rows, dispatched_rows.columns, dispatched_rows.dtype}));
    const Tensor& result = computed.tensor().columns > 0 ? computed.tensor() : rows.tensor();
    kernels_.weight_and_reduce(result, plan.row_of.tensor(), dispatched.routing.topk_weights,
                               output);
    return output;
  }

 private:
  // In place: an empty buffer says that the result is in rows.
  Buffer compute(const Buffer& rows, const Tensor& first_row, const ProbeWeights& weights) {
    kernels_.probe_experts(rows.tensor(), first_row, weights.signs.tensor());
    return {};
  }

  Buffer compute(const Buffer& rows, const Tensor& first_row, const Relu2Weights& weights) {
    return kernels_.relu2_experts(rows.tensor(), first_row,
                                  {weights.w13.tensor(), weights.w2.tensor()});
  }

  Kernels& kernels_;
  int num_local_experts_;
  ExpertWeights weights_;
  Buffer expert_map_;
};

}  // namespace

std::unique_ptr<Experts> make_standard_experts(const ExpertsConfig& config, ExpertWeights weights) {
  return std::make_unique<StandardExperts>(config, std::move(weights));
}

}  // namespace moe
