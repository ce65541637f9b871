// Experts with products on the host: expert by expert, product, activation, product.
// The products are a library's (gemm.h), the activation is row_loops.h's. Workspace is as large as
// the busiest expert's rows, rounded up so that its blocks are used again.

#include <algorithm>
#include <bit>
#include <utility>

#include "kernels/base/text.h"
#include "kernels/cpu/cpu_operators.h"
#include "kernels/cpu/gemm.h"

namespace moe::cpu {
namespace {

Count rows_max(std::span<const std::int32_t> first) {
  Count most = 0;
  for (std::size_t e = 0; e + 1 < first.size(); ++e) {
    most = std::max(most, Count{first[e + 1]} - first[e]);
  }
  return most;
}

Count power_of_two_from(Count count) {
  return static_cast<Count>(std::bit_ceil(static_cast<std::uint64_t>(count)));
}

class CpuGemmExperts final : public GemmExperts {
 public:
  CpuGemmExperts(Memory& memory, GemmWeights weights, Count num_local_experts)
      : memory_(memory),
        activation_(weights.activation),
        num_local_experts_(num_local_experts),
        intermediate_(weights.w2.tensor().columns) {
    if (num_local_experts == 0) return;
    w13_ = onednn_gemm.pack(
        {std::move(weights.w13), std::move(weights.w13_bias), num_local_experts}, memory);
    w2_ = onednn_gemm.pack({std::move(weights.w2), std::move(weights.w2_bias), num_local_experts},
                           memory);
  }

  Buffer apply(const Tensor& rows, const Tensor& first_row) override {
    const auto first = elements_of<std::int32_t>(first_row);
    const Count most = power_of_two_from(rows_max(first));
    Buffer out(memory_, {rows.rows, rows.columns, rows.dtype});
    const Buffer inner(memory_, {most, intermediate_ * w13_rows_each(activation_), rows.dtype});
    const Buffer activated(memory_, {most, intermediate_, rows.dtype});
    for (Count expert = 0; expert < num_local_experts_; ++expert) {
      const Count begin = first[static_cast<std::size_t>(expert)];
      const Count count = first[static_cast<std::size_t>(expert) + 1] - begin;
      if (count == 0) continue;
      const Tensor own_inner = rows_of(inner.tensor(), 0, count);
      const Tensor own_activated = rows_of(activated.tensor(), 0, count);
      w13_->multiply(expert, rows_of(rows, begin, count), own_inner);
      activate(activation_, own_inner, own_activated);
      w2_->multiply(expert, own_activated, rows_of(out.tensor(), begin, count));
    }
    return out;
  }

 private:
  Memory& memory_;
  Activation activation_;
  Count num_local_experts_;
  Count intermediate_;
  std::unique_ptr<PackedWeights> w13_;  // null without experts, as w2_
  std::unique_ptr<PackedWeights> w2_;
};

}  // namespace

std::unique_ptr<GemmExperts> make_gemm_experts(Memory& memory, GemmWeights weights,
                                               Count num_local_experts) {
  MOE_CHECK(onednn_gemm.pack != nullptr, text("experts with products need ", onednn_gemm.name,
                                              ", which is ", onednn_gemm.absence));
  return std::make_unique<CpuGemmExperts>(memory, std::move(weights), num_local_experts);
}

}  // namespace moe::cpu
