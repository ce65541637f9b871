// Experts with products on an OpenCL device, all experts in one launch each for product, activation
// and product. Products are this folder's own loops: OpenCL brings no library.

#include <utility>

#include "kernels/xpu/xpu_operators.h"

namespace moe::xpu {
namespace {

class XpuGemmExperts final : public GemmExperts {
 public:
  XpuGemmExperts(XpuMemory& memory, GemmWeights weights, Count num_local_experts)
      : memory_(memory),
        weights_(std::move(weights)),
        num_local_experts_(static_cast<int>(num_local_experts)) {}

  Buffer apply(const Tensor& rows, const Tensor& first_row) override {
    const Count intermediate = weights_.w2.tensor().columns;
    const Count wide = intermediate * w13_rows_each(weights_.activation);
    Buffer out(memory_, {rows.rows, rows.columns, rows.dtype});
    const Buffer inner(memory_, {rows.rows, wide, rows.dtype});
    const Buffer activated(memory_, {rows.rows, intermediate, rows.dtype});
    multiply(rows, weights_.w13, weights_.w13_bias, first_row, inner.tensor());
    activate(memory_, weights_.activation, inner.tensor(), activated.tensor());
    multiply(activated.tensor(), weights_.w2, weights_.w2_bias, first_row, out.tensor());
    return out;
  }

 private:
  void multiply(const Tensor& rows, const Buffer& weights, const Buffer& bias,
                const Tensor& first_row, const Tensor& out) {
    memory_.run({"moe_multiply", out.rows * out.columns}, rows, static_cast<int>(rows.dtype),
                rows.columns, weights.tensor(), bias.tensor(), first_row, num_local_experts_, out,
                out.columns);
  }

  XpuMemory& memory_;
  GemmWeights weights_;
  int num_local_experts_;
};

}  // namespace

void activate(XpuMemory& memory, Activation activation, const Tensor& inner, const Tensor& out,
              ActivationRounding rounding) {
  const DType step = rounding == ActivationRounding::each ? inner.dtype : DType::f32;
  memory.run({"moe_activate", out.rows * out.columns}, inner, static_cast<int>(inner.dtype),
             inner.columns, static_cast<int>(activation), static_cast<int>(step), out,
             static_cast<int>(out.dtype), out.columns);
}

std::unique_ptr<GemmExperts> make_gemm_experts(XpuMemory& memory, GemmWeights weights,
                                               Count num_local_experts) {
  return std::make_unique<XpuGemmExperts>(memory, std::move(weights), num_local_experts);
}

}  // namespace moe::xpu
