// Two products with an activation between them; rows are quantised before each, or before neither.
// The checks of what comes in stand here, so that no device has its own.

#include "kernels/quantized_pipeline.h"

#include <utility>

#include "kernels/base/text.h"

namespace moe {
namespace {

QuantizedOperand plain(const Tensor& rows) {
  QuantizedOperand operand{.kind = OperandKind::plain};
  operand.rows.data = rows;
  operand.rows.layout.rows = rows.rows;
  operand.rows.layout.columns = rows.columns;
  return operand;
}

}  // namespace

QuantizedPipeline::QuantizedPipeline(Memory& memory, QuantizedGemmWeights weights)
    : memory_(memory), weights_(std::move(weights)) {}

Buffer QuantizedPipeline::apply(const Tensor& rows, const Tensor& first_row) {
  MOE_CHECK(rows.dtype == weights_.row_type && rows.columns == weights_.w13.layout.columns,
            text("rows ", shape_text(rows), " for w13 ", layout_text(weights_.w13.layout),
                 ", row type ", name_of(weights_.row_type)));
  if (weights_.a1.recipe == QuantRecipe::none) return through(plain(rows), first_row);
  const QuantizedRowsBuffers quantized = quantized_as(rows, weights_.a1);
  return through({quantized.view()}, first_row);
}

Buffer QuantizedPipeline::apply_quantized(const QuantizedRows& rows, const Tensor& first_row) {
  MOE_CHECK(weights_.a1.recipe != QuantRecipe::none,
            "experts of plain rows got " + layout_text(rows.layout));
  require_layout(rows, quantized_layout(weights_.a1.recipe, rows.layout.rows,
                                        weights_.w13.layout.columns, weights_.a1.layout));
  return through({rows}, first_row);
}

QuantizedRowsBuffers QuantizedPipeline::quantized_as(const Tensor& rows,
                                                     const ActivationQuantization& how) {
  QuantizedRowsBuffers quantized = empty_quantized_rows(
      memory_, quantized_layout(how.recipe, rows.rows, rows.columns, how.layout));
  do_quantize(rows, how, quantized.view());
  return quantized;
}

Buffer QuantizedPipeline::through(const QuantizedOperand& rows, const Tensor& first_row) {
  const Count count = rows.rows.layout.rows;
  const Count intermediate = weights_.w2.layout.columns;
  const Count wide = intermediate * w13_rows_each(weights_.activation);
  const bool stays_wide = weights_.rounding == ActivationRounding::never;
  const Buffer inner(memory_, {count, wide, weights_.row_type});
  const Buffer activated(memory_,
                         {count, intermediate, stays_wide ? DType::f32 : weights_.row_type});
  Buffer out(memory_, {count, weights_.w13.layout.columns, weights_.row_type});
  multiply_by(rows, weights_.w13, weights_.w13_bias, first_row, inner.tensor());
  do_activate(inner.tensor(), first_row, activated.tensor());
  if (weights_.a2.recipe == QuantRecipe::none) {
    multiply_by(plain(activated.tensor()), weights_.w2, weights_.w2_bias, first_row, out.tensor());
  } else {
    const QuantizedRowsBuffers again = quantized_as(activated.tensor(), weights_.a2);
    multiply_by({again.view()}, weights_.w2, weights_.w2_bias, first_row, out.tensor());
  }
  return out;
}

void QuantizedPipeline::multiply_by(const QuantizedOperand& rows,
                                    const QuantizedRowsBuffers& matrix, const Buffer& bias,
                                    const Tensor& first_row, const Tensor& out) {
  const bool is_rounded = is_rounded_before_product(weights_, matrix.layout);
  const QuantizedOperand factors{matrix.view(),
                                 is_rounded ? OperandKind::rounded : OperandKind::codes};
  do_multiply({rows, factors, bias.tensor()}, first_row, out);
}

}  // namespace moe
