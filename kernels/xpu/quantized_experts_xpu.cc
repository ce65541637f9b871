// Experts with quantised weights on an OpenCL device, in the host's order of additions, so that
// bytes are the host's. A product's work item adds one element's products, columns ascending.

#include <utility>

#include "kernels/quantized_pipeline.h"
#include "kernels/xpu/layout_words.h"
#include "kernels/xpu/xpu_operators.h"

namespace moe::xpu {
namespace {

// Operand of experts.cl.
struct OperandWords {
  LayoutWords layout;
  std::int32_t kind = 0;
  std::int32_t dtype = 0;
};

OperandWords operand_words(const QuantizedOperand& operand, DType row_type) {
  const QuantizedRows& rows = operand.rows;
  return {words_of(rows.layout, row_bytes(rows.data)), static_cast<int>(operand.kind),
          static_cast<int>(row_type)};
}

class XpuQuantizedExperts final : public QuantizedPipeline {
 public:
  XpuQuantizedExperts(XpuMemory& memory, QuantizedGemmWeights weights, Count num_local_experts)
      : QuantizedPipeline(memory, std::move(weights)),
        memory_(memory),
        num_local_experts_(static_cast<int>(num_local_experts)) {}

 private:
  void do_quantize(const Tensor& rows, const ActivationQuantization& how,
                   const QuantizedRows& out) override {
    quantize(memory_, rows, recipe_call(how.recipe, out.layout, {}), how.scale.tensor(), out);
  }

  void do_activate(const Tensor& inner, const Tensor& /*first_row*/, const Tensor& out) override {
    activate(memory_, weights().activation, inner, out, weights().rounding);
  }

  void do_multiply(const QuantizedProduct& product, const Tensor& first_row,
                   const Tensor& out) override {
    const QuantizedRows& rows = product.rows.rows;
    const QuantizedRows& factors = product.weights.rows;
    const DType row_type = weights().row_type;
    memory_.run({"moe_multiply_codes", out.rows * out.columns}, rows.data, rows.scales,
                rows.global_scale, operand_words(product.rows, row_type), factors.data,
                factors.scales, factors.zero_points, factors.global_scale,
                operand_words(product.weights, row_type), product.bias, first_row,
                num_local_experts_, int{product.is_integer()}, out, out.columns);
  }

  XpuMemory& memory_;
  int num_local_experts_;
};

}  // namespace

std::unique_ptr<QuantizedGemmExperts> make_quantized_experts(XpuMemory& memory,
                                                             QuantizedGemmWeights weights,
                                                             Count num_local_experts) {
  return std::make_unique<XpuQuantizedExperts>(memory, std::move(weights), num_local_experts);
}

}  // namespace moe::xpu
