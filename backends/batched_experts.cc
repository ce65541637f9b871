// Valid rows are packed, computed and put back. Rows beyond an expert's count are never read, and
// what they hold afterwards is what an untouched buffer holds.

#include "backends/batched_experts.h"

#include <utility>

namespace moe {
namespace {

class BatchedExperts final : public Experts {
 public:
  BatchedExperts(const ExpertsConfig& config, ExpertWeights weights)
      : kernels_(config.kernels), compute_(config, std::move(weights)) {}

  Tensor apply(Dispatched& dispatched) override {
    const Tensor& rows = dispatched.hidden_states;
    const Tensor& counts = dispatched.expert_num_tokens;
    const Buffer first_row = first_rows(counts);
    const Buffer packed = kernels_.from_batched_experts({rows, counts}, first_row.tensor());
    const Buffer computed = compute_(packed, first_row.tensor());
    const Tensor& result = computed.tensor().columns > 0 ? computed.tensor() : packed.tensor();
    const Count capacity = counts.rows == 0 ? 0 : rows.rows / counts.rows;
    BatchedRowsBuffers batched = kernels_.to_batched_experts(result, first_row.tensor(), capacity);
    return dispatched.handle.keep_workspace(std::move(batched.hidden_states));
  }

 private:
  Buffer first_rows(const Tensor& counts) {
    std::vector<std::int32_t> each(static_cast<std::size_t>(counts.rows));
    kernels_.memory().copy_to_host(counts, {each.data(), counts.rows, 1, DType::i32, {}});
    std::vector<std::int32_t> first = {0};
    for (const std::int32_t count : each) first.push_back(first.back() + count);
    return copy_of({first.data(), std::ssize(first), 1, DType::i32, {}}, kernels_.memory());
  }

  Kernels& kernels_;
  GroupedExperts compute_;
};

}  // namespace

std::unique_ptr<Experts> make_batched_experts(const ExpertsConfig& config, ExpertWeights weights) {
  return std::make_unique<BatchedExperts>(config, std::move(weights));
}

}  // namespace moe
