// Experts with products on the host: expert by expert, product, activation, product.
// The products are a library's (gemm.h), the activation is activation_cpu.cc.

#include <utility>

#include "kernels/cpu/cpu_operators.h"
#include "kernels/cpu/gemm.h"

namespace moe::cpu {
namespace {

class CpuGemmExperts final : public GemmExperts {
 public:
  CpuGemmExperts(Memory& memory, GemmWeights weights, Count num_local_experts)
      : memory_(memory), weights_(std::move(weights)), num_local_experts_(num_local_experts) {}

  Buffer apply(const Tensor& rows, const Tensor& first_row) override {
    const auto first = elements_of<std::int32_t>(first_row);
    Buffer out(memory_, {rows.rows, rows.columns, rows.dtype});
    for (Count expert = 0; expert < num_local_experts_; ++expert) {
      const Count begin = first[static_cast<std::size_t>(expert)];
      const Count count = first[static_cast<std::size_t>(expert) + 1] - begin;
      if (count == 0) continue;
      apply_expert(expert, rows_of(rows, begin, count), rows_of(out.tensor(), begin, count));
    }
    return out;
  }

 private:
  void apply_expert(Count expert, const Tensor& rows, const Tensor& out) {
    const Count intermediate = weights_.w2.tensor().columns;
    const Count inner_columns = intermediate * w13_rows_each(weights_.activation);
    const Buffer inner(memory_, {rows.rows, inner_columns, rows.dtype});
    const Buffer activated(memory_, {rows.rows, intermediate, rows.dtype});
    onednn_gemm.multiply(
        {rows, rows_of(weights_.w13.tensor(), expert * inner_columns, inner_columns),
         bias_of(weights_.w13_bias, expert)},
        inner.tensor(), memory_);
    activate(weights_.activation, inner.tensor(), activated.tensor());
    onednn_gemm.multiply(
        {activated.tensor(), rows_of(weights_.w2.tensor(), expert * rows.columns, rows.columns),
         bias_of(weights_.w2_bias, expert)},
        out, memory_);
  }

  static Tensor bias_of(const Buffer& bias, Count expert) {
    return bias.tensor().data == nullptr ? Tensor{} : rows_of(bias.tensor(), expert, 1);
  }

  Memory& memory_;
  GemmWeights weights_;
  Count num_local_experts_;
};

}  // namespace

std::unique_ptr<GemmExperts> make_gemm_experts(Memory& memory, GemmWeights weights,
                                               Count num_local_experts) {
  return std::make_unique<CpuGemmExperts>(memory, std::move(weights), num_local_experts);
}

}  // namespace moe::cpu
