// QuantizedPipeline: experts whose weights are codes, as far as they are the same on every device:
// which layouts are required, what becomes codes before which product, what stands between. A
// device brings its quantiser, its activation and its product.

#pragma once

#include "kernels/kernels.h"

namespace moe {

// What one side of a product is. plain: nobody quantised it. codes: scales come after the sum.
// rounded: code · scale rounded to the rows' type before the product, as vLLM's WNA16 product reads
// weights.
enum class OperandKind : int { plain, codes, rounded };

// Columns whose int32 dot product is added to a float.
inline constexpr int integer_tile = 128;

// plain: of rows only data and the layout's extents count.
struct QuantizedOperand {
  QuantizedRows rows;
  OperandKind kind = OperandKind::codes;

  bool is_integer() const {
    return kind == OperandKind::codes && rows.layout.format == NumberFormat::int8;
  }
};

// rows · weights transposed, then the bias [num_local_experts, columns] of the row type, null:
// none.
struct QuantizedProduct {
  QuantizedOperand rows;
  QuantizedOperand weights;
  Tensor bias;

  // int8 on both sides: the sum is of int32 dot products over integer_tile columns.
  bool is_integer() const { return rows.is_integer() && weights.is_integer(); }
};

class QuantizedPipeline : public QuantizedGemmExperts {
 public:
  Buffer apply(const Tensor& rows, const Tensor& first_row) final;
  Buffer apply_quantized(const QuantizedRows& rows, const Tensor& first_row) final;

 protected:
  QuantizedPipeline(Memory& memory, QuantizedGemmWeights weights);

  const QuantizedGemmWeights& weights() const { return weights_; }

 private:
  // The codes of rows, as how says; out has their layout.
  virtual void do_quantize(const Tensor& rows, const ActivationQuantization& how,
                           const QuantizedRows& out) = 0;
  // inner [rows, intermediate * w13_rows_each] → out [rows, intermediate], rounded as
  // weights().rounding says; f32 where it is never. Rows behind first_row's end may be left out.
  virtual void do_activate(const Tensor& inner, const Tensor& first_row, const Tensor& out) = 0;
  // Every expert's rows through its part of the weights.
  virtual void do_multiply(const QuantizedProduct& product, const Tensor& first_row,
                           const Tensor& out) = 0;

  QuantizedRowsBuffers quantized_as(const Tensor& rows, const ActivationQuantization& how);
  Buffer through(const QuantizedOperand& rows, const Tensor& first_row);
  void multiply_by(const QuantizedOperand& rows, const QuantizedRowsBuffers& matrix,
                   const Buffer& bias, const Tensor& first_row, const Tensor& out);

  Memory& memory_;
  QuantizedGemmWeights weights_;
};

}  // namespace moe
