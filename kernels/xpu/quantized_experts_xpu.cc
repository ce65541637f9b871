// Experts with quantised weights on an OpenCL device, in the host's order of additions, so that
// bytes are the host's. A product's work item adds one element's products, columns ascending.

#include <utility>

#include "kernels/base/text.h"
#include "kernels/xpu/layout_words.h"
#include "kernels/xpu/opencl_program.h"
#include "kernels/xpu/xpu_operators.h"

namespace moe::xpu {
namespace {

// Operand of experts.cl.
struct OperandWords {
  LayoutWords layout;
  std::int32_t kind = 0;
  std::int32_t dtype = 0;
};

// One side of a product: rows that nobody quantised, or codes with their scales.
struct Operand {
  QuantizedRows rows;
  OperandKind kind = OperandKind::codes;

  bool is_integer() const {
    return kind == OperandKind::codes && rows.layout.format == NumberFormat::int8;
  }
  OperandWords words(DType row_type) const {
    return {words_of(rows.layout, row_bytes(rows.data)), static_cast<int>(kind),
            static_cast<int>(row_type)};
  }
};

Operand plain(const Tensor& rows) {
  Operand operand{.kind = OperandKind::plain};
  operand.rows.data = rows;
  operand.rows.layout.rows = rows.rows;
  operand.rows.layout.columns = rows.columns;
  return operand;
}

class XpuQuantizedExperts final : public QuantizedGemmExperts {
 public:
  XpuQuantizedExperts(XpuMemory& memory, QuantizedGemmWeights weights, Count num_local_experts)
      : memory_(memory),
        weights_(std::move(weights)),
        num_local_experts_(static_cast<int>(num_local_experts)) {}

  Buffer apply(const Tensor& rows, const Tensor& first_row) override {
    MOE_CHECK(rows.dtype == weights_.row_type && rows.columns == weights_.w13.layout.columns,
              text("rows ", shape_text(rows), " for w13 ", layout_text(weights_.w13.layout),
                   ", row type ", name_of(weights_.row_type)));
    if (weights_.a1.recipe == QuantRecipe::none) return experts(plain(rows), first_row);
    const QuantizedRowsBuffers quantized = quantized_as(rows, weights_.a1);
    return experts({quantized.view()}, first_row);
  }

  Buffer apply_quantized(const QuantizedRows& rows, const Tensor& first_row) override {
    MOE_CHECK(weights_.a1.recipe != QuantRecipe::none,
              "experts of plain rows got " + layout_text(rows.layout));
    require_layout(rows, quantized_layout(weights_.a1.recipe, rows.layout.rows,
                                          weights_.w13.layout.columns, weights_.a1.layout));
    return experts({rows}, first_row);
  }

 private:
  QuantizedRowsBuffers quantized_as(const Tensor& rows, const ActivationQuantization& how) const {
    QuantizedRowsBuffers quantized = empty_quantized_rows(
        memory_, quantized_layout(how.recipe, rows.rows, rows.columns, how.layout));
    quantize(memory_, rows, recipe_call(how.recipe, quantized.layout, {}), how.scale.tensor(),
             quantized.view());
    return quantized;
  }

  Buffer experts(const Operand& rows, const Tensor& first_row) const {
    const Count count = rows.rows.layout.rows;
    const Count intermediate = weights_.w2.layout.columns;
    const Count wide = intermediate * w13_rows_each(weights_.activation);
    const Buffer inner(memory_, {count, wide, weights_.row_type});
    const bool stays_wide = weights_.rounding == ActivationRounding::never;
    const Buffer activated(memory_,
                           {count, intermediate, stays_wide ? DType::f32 : weights_.row_type});
    Buffer out(memory_, {count, weights_.w13.layout.columns, weights_.row_type});
    multiply(rows, weights_.w13, weights_.w13_bias, first_row, inner.tensor());
    activate(memory_, weights_.activation, inner.tensor(), activated.tensor(), weights_.rounding);
    if (weights_.a2.recipe == QuantRecipe::none) {
      multiply(plain(activated.tensor()), weights_.w2, weights_.w2_bias, first_row, out.tensor());
    } else {
      const QuantizedRowsBuffers again = quantized_as(activated.tensor(), weights_.a2);
      multiply({again.view()}, weights_.w2, weights_.w2_bias, first_row, out.tensor());
    }
    return out;
  }

  void multiply(const Operand& rows, const QuantizedRowsBuffers& weights, const Buffer& bias,
                const Tensor& first_row, const Tensor& out) const {
    const bool is_rounded = is_rounded_before_product(weights_, weights.layout);
    const Operand factors{weights.view(), is_rounded ? OperandKind::rounded : OperandKind::codes};
    memory_.run({"moe_multiply_codes", out.rows * out.columns}, rows.rows.data, rows.rows.scales,
                rows.rows.global_scale, rows.words(weights_.row_type), factors.rows.data,
                factors.rows.scales, factors.rows.zero_points, factors.rows.global_scale,
                factors.words(weights_.row_type), bias.tensor(), first_row, num_local_experts_,
                int{rows.is_integer() && factors.is_integer()}, out, out.columns);
  }

  XpuMemory& memory_;
  QuantizedGemmWeights weights_;
  int num_local_experts_;
};

}  // namespace

std::unique_ptr<QuantizedGemmExperts> make_quantized_experts(XpuMemory& memory,
                                                             QuantizedGemmWeights weights,
                                                             Count num_local_experts) {
  return std::make_unique<XpuQuantizedExperts>(memory, std::move(weights), num_local_experts);
}

}  // namespace moe::xpu
