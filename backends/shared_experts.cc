// One expert that all rows choose: no plan, no permutation, no weights.
// Probes work on a copy, since the hidden states are the caller's.

#include "backends/shared_experts.h"

#include <array>
#include <utility>

namespace moe {
namespace {

class OneMlp final : public SharedExperts {
 public:
  OneMlp(Kernels& kernels, ExpertWeights weights) : kernels_(kernels) {
    if (auto* gemm = std::get_if<GemmWeights>(&weights)) {
      gemm_ = kernels.gemm_experts(std::move(*gemm), 1);
    } else {
      signs_ = std::move(std::get<ProbeWeights>(weights).signs);
    }
  }

  Buffer apply(const Tensor& hidden_states) override {
    std::array<std::int32_t, 2> ends = {0, static_cast<std::int32_t>(hidden_states.rows)};
    const Buffer first_row = copy_of({ends.data(), 2, 1, DType::i32, {}}, kernels_.memory());
    if (gemm_ != nullptr) return gemm_->apply(hidden_states, first_row.tensor());
    Buffer rows(kernels_.memory(),
                {hidden_states.rows, hidden_states.columns, hidden_states.dtype});
    kernels_.memory().copy(hidden_states, rows.tensor());
    kernels_.probe_experts(rows.tensor(), first_row.tensor(), signs_.tensor());
    return rows;
  }

 private:
  Kernels& kernels_;
  Buffer signs_;
  std::unique_ptr<GemmExperts> gemm_;  // null: a probe
};

}  // namespace

std::unique_ptr<SharedExperts> make_shared_experts(Kernels& kernels, ExpertWeights weights) {
  return std::make_unique<OneMlp>(kernels, std::move(weights));
}

}  // namespace moe
