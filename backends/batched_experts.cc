// Valid rows are packed, computed and put back. Rows beyond an expert's count are never read, and
// what they hold afterwards is what an untouched buffer holds.

#include "backends/batched_experts.h"

#include <utility>

namespace moe {
namespace {

class BatchedExperts final : public Experts {
 public:
  BatchedExperts(const ExpertsConfig& config, ExpertWeights weights)
      : kernels_(config.kernels),
        quantization_(config.quantization),
        compute_(config, std::move(weights)) {}

  Tensor apply(Dispatched& dispatched) override {
    const Tensor& counts = dispatched.expert_num_tokens;
    const Buffer first_row = first_rows(counts);
    const Buffer computed = outputs(dispatched, first_row.tensor());
    const Count capacity = counts.rows == 0 ? 0 : dispatched.hidden_states.rows / counts.rows;
    BatchedRowsBuffers batched =
        kernels_.to_batched_experts(computed.tensor(), first_row.tensor(), capacity);
    return dispatched.handle.keep_workspace(std::move(batched.hidden_states));
  }

 private:
  // Of each valid row, experts ascending.
  Buffer outputs(const Dispatched& dispatched, const Tensor& first_row) {
    const Tensor& counts = dispatched.expert_num_tokens;
    const auto packed = [&](const Tensor& rows) {
      return kernels_.from_batched_experts({rows, counts}, first_row);
    };
    if (!dispatched.is_quantized()) return compute_(packed(dispatched.hidden_states), first_row);
    const RegroupedRows rows =
        regrouped(dispatched, quantization_, ActivationFormat::batched_experts, kernels_, packed);
    return compute_(rows.view, first_row);
  }

  Buffer first_rows(const Tensor& counts) {
    std::vector<std::int32_t> each(static_cast<std::size_t>(counts.rows));
    kernels_.memory().copy_to_host(counts, {each.data(), counts.rows, 1, DType::i32, {}});
    std::vector<std::int32_t> first = {0};
    for (const std::int32_t count : each) first.push_back(first.back() + count);
    return copy_of({first.data(), std::ssize(first), 1, DType::i32, {}}, kernels_.memory());
  }

  Kernels& kernels_;
  RowQuantization quantization_;
  GroupedExperts compute_;
};

class LocalBatchedExperts final : public Experts {
 public:
  LocalBatchedExperts(const ExpertsConfig& config, ExpertWeights weights,
                      std::unique_ptr<ExpertIdMap> id_map)
      : kernels_(config.kernels),
        num_local_experts_(config.num_local_experts),
        sums_(config),
        experts_(config, std::move(weights)),
        id_map_(std::move(id_map)) {}

  Tensor apply(Dispatched& dispatched) override {
    const RoutingBuffers local = id_map_->local_ids(dispatched.routing);
    const RowPlanBuffers plan = kernels_.plan_rows(local.topk_ids.tensor(), {}, num_local_experts_);
    const Buffer home = through_rooms(dispatched.hidden_states, plan.view());
    return summed_choices(sums_, dispatched, home.tensor(), plan.row_of.tensor());
  }

 private:
  // RETURNS the experts' outputs of the grouped rows.
  Buffer through_rooms(const Tensor& rows, const RowPlan& plan) {
    const Buffer grouped = kernels_.permute(rows, plan);
    const BatchedRowsBuffers rooms =
        kernels_.to_batched_experts(grouped.tensor(), plan.first_row, rows.rows);
    Dispatched batched;
    batched.hidden_states = rooms.hidden_states.tensor();
    batched.expert_num_tokens = rooms.expert_num_tokens.tensor();
    const Tensor computed = experts_.apply(batched);
    return kernels_.from_batched_experts({computed, batched.expert_num_tokens}, plan.first_row);
  }

  Kernels& kernels_;
  int num_local_experts_;
  ChoiceSums sums_;
  BatchedExperts experts_;
  std::unique_ptr<ExpertIdMap> id_map_;
};

}  // namespace

std::unique_ptr<Experts> make_local_batched_experts(const ExpertsConfig& config,
                                                    ExpertWeights weights,
                                                    std::unique_ptr<ExpertIdMap> id_map) {
  return std::make_unique<LocalBatchedExperts>(config, std::move(weights), std::move(id_map));
}

std::unique_ptr<Experts> make_batched_experts(const ExpertsConfig& config, ExpertWeights weights) {
  return std::make_unique<BatchedExperts>(config, std::move(weights));
}

}  // namespace moe
