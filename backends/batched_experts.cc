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

}  // namespace

std::unique_ptr<Experts> make_batched_experts(const ExpertsConfig& config, ExpertWeights weights) {
  return std::make_unique<BatchedExperts>(config, std::move(weights));
}

}  // namespace moe
