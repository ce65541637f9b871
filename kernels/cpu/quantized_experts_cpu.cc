// Experts with quantised weights on the host: w8a8, w8a16, w4a16 and w4a4 in one pipeline. Codes
// are multiplied as the numbers they are; scales enter once for each run of columns that shares
// them on both sides. Loops to be read: whoever wants speed has the library's products.

#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/base/bits.h"
#include "kernels/base/text.h"
#include "kernels/cpu/cpu_operators.h"
#include "kernels/quantized_pipeline.h"
#include "kernels/recipe_arithmetic.h"

namespace moe::cpu {
namespace {

// One side of a product, row by row: numbers before their scales, and the scales.
class Operand {
 public:
  virtual ~Operand() = default;
  virtual void read(Count row, float* values) const = 0;
  virtual float scale(Count row, Count column) const = 0;
  virtual Count group_columns() const = 0;  // 0: one scale a row
  virtual float global_scale(Count row) const = 0;
};

// Rows that nobody quantised.
class PlainOperand final : public Operand {
 public:
  explicit PlainOperand(const Tensor& rows) : rows_(rows) {}

  void read(Count row, float* values) const override {
    for_row_type(rows_.dtype, [&](auto element) {
      const auto* from = reinterpret_cast<const decltype(element)*>(row_at(rows_, row));
      for (Count i = 0; i < rows_.columns; ++i) values[i] = to_float(from[i]);
    });
  }
  float scale(Count, Count) const override { return 1; }
  Count group_columns() const override { return 0; }
  float global_scale(Count) const override { return 1; }

 private:
  Tensor rows_;
};

class CodeOperand final : public Operand {
 public:
  explicit CodeOperand(const QuantizedRows& rows) : rows_(rows) {}

  void read(Count row, float* values) const override {
    const NumberFormat format = rows_.layout.format;
    const bool is_packed = number_format_row(format).values_per_byte == 2;
    const auto* codes = reinterpret_cast<const std::uint8_t*>(row_at(rows_.data, row));
    for (Count i = 0; i < rows_.layout.columns; ++i) {
      const std::uint8_t code = is_packed ? nibble_of(codes[i / 2], i) : codes[i];
      values[i] = code_value(format, code, zero_point(row, i));
    }
  }

  float scale(Count row, Count column) const override {
    return stored_scale_at(rows_, row, column);
  }
  Count group_columns() const override { return rows_.layout.scales.group_columns; }
  float global_scale(Count row) const override {
    if (!rows_.layout.has_global_scale) return 1;
    const Count part = row / (rows_.layout.rows / rows_.layout.parts);
    return static_cast<const float*>(rows_.global_scale.data)[part];
  }

 private:
  std::uint8_t zero_point(Count row, Count column) const {
    if (!rows_.layout.has_zero_points) return 0;
    const ScalePlace place = scale_place(rows_.layout, row, column);
    const Count at = scale_offset(rows_.layout.scales, place.row, place.column);
    return static_cast<const std::uint8_t*>(rows_.zero_points.data)[at];
  }

  QuantizedRows rows_;
};

class RoundedOperand final : public Operand {
 public:
  RoundedOperand(const QuantizedRows& rows, DType dtype) : codes_(rows), dtype_(dtype) {
    columns_ = rows.layout.columns;
  }

  void read(Count row, float* values) const override {
    codes_.read(row, values);
    for (Count i = 0; i < columns_; ++i) {
      for_row_type(dtype_, [&](auto element) {
        round_to(values[i] * codes_.scale(row, i), element);
        values[i] = to_float(element);
      });
    }
  }
  float scale(Count, Count) const override { return 1; }
  Count group_columns() const override { return 0; }
  float global_scale(Count) const override { return 1; }

 private:
  CodeOperand codes_;
  DType dtype_;
  Count columns_ = 0;
};

Count group_end(Count begin, Count group, Count columns) {
  return group == 0 ? columns : std::min(columns, (begin / group + 1) * group);
}

float dot(const float* a, const float* b, Count count) {
  float sum = 0;
  for (Count i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

float integer_dot(const float* a, const float* b, Count count) {
  float sum = 0;
  for (Count begin = 0; begin < count; begin += integer_tile) {
    std::int32_t tile = 0;
    for (Count i = begin; i < std::min(count, begin + integer_tile); ++i) {
      tile += static_cast<std::int32_t>(a[i]) * static_cast<std::int32_t>(b[i]);
    }
    sum += static_cast<float>(tile);
  }
  return sum;
}

// Where a product reads and writes: rows [begin, end) of its rows, weights from a first row on.
struct Product {
  Count begin = 0;
  Count end = 0;
  Count first_weight = 0;
  Count columns = 0;
  const std::byte* bias = nullptr;  // of out's type, null: none
  bool is_integer = false;
};

// out[m, n] = round((Σ over runs of (Σ a · w) · scale_a · scale_w) · alpha + bias[n]), every
// operation in fp32, ORDER columns ascending; alpha = (1 / global_a) · (1 / global_w).
template <typename T>
void multiply(const Operand& rows, const Operand& weights, const Product& product,
              const Tensor& out) {
  const Count columns = product.columns;
  std::vector<float> all_rows(static_cast<std::size_t>((product.end - product.begin) * columns));
  for (Count row = product.begin; row < product.end; ++row) {
    rows.read(row, all_rows.data() + (row - product.begin) * columns);
  }
  std::vector<float> weight(static_cast<std::size_t>(columns));
  for (Count n = 0; n < out.columns; ++n) {
    const Count weight_row = product.first_weight + n;
    weights.read(weight_row, weight.data());
    for (Count row = product.begin; row < product.end; ++row) {
      const float* values = all_rows.data() + (row - product.begin) * columns;
      float sum = 0;
      for (Count begin = 0, end = 0; begin < columns; begin = end) {
        end = std::min(group_end(begin, rows.group_columns(), columns),
                       group_end(begin, weights.group_columns(), columns));
        const float run = (product.is_integer ? integer_dot : dot)(
            values + begin, weight.data() + begin, end - begin);
        sum += run * rows.scale(row, begin) * weights.scale(weight_row, begin);
      }
      sum *= 1.0F / rows.global_scale(row) * (1.0F / weights.global_scale(weight_row));
      if (product.bias != nullptr) sum += to_float(reinterpret_cast<const T*>(product.bias)[n]);
      round_to(sum, reinterpret_cast<T*>(row_at(out, row))[n]);
    }
  }
}

// function(operand as a side of a product here).
template <typename Function>
void as_operand(const moe::QuantizedOperand& operand, DType row_type, Function function) {
  switch (operand.kind) {
    case OperandKind::plain:
      return function(PlainOperand(operand.rows.data));
    case OperandKind::codes:
      return function(CodeOperand(operand.rows));
    case OperandKind::rounded:
      return function(RoundedOperand(operand.rows, row_type));
  }
}

class CpuQuantizedExperts final : public QuantizedPipeline {
 public:
  CpuQuantizedExperts(Memory& memory, QuantizedGemmWeights weights, Count num_local_experts)
      : QuantizedPipeline(memory, std::move(weights)), num_local_experts_(num_local_experts) {}

 private:
  void do_quantize(const Tensor& rows, const ActivationQuantization& how,
                   const QuantizedRows& out) override {
    quantize(rows, how.recipe, {.scale = how.scale.tensor(), .layout = how.layout}, out);
  }

  void do_activate(const Tensor& inner, const Tensor& /*first_row*/, const Tensor& out) override {
    const bool is_fused = weights().rounding != ActivationRounding::each;
    (is_fused ? activate_fused : activate)(weights().activation, inner, out);
  }

  void do_multiply(const QuantizedProduct& product, const Tensor& first_row,
                   const Tensor& out) override {
    const DType row_type = weights().row_type;
    as_operand(product.rows, row_type, [&](const Operand& rows) {
      as_operand(product.weights, row_type, [&](const Operand& factors) {
        multiply_each(rows, factors, product, first_row, out);
      });
    });
  }

  void multiply_each(const Operand& rows, const Operand& factors, const QuantizedProduct& whole,
                     const Tensor& first_row, const Tensor& out) const {
    const auto first = elements_of<std::int32_t>(first_row);
    for (Count expert = 0; expert < num_local_experts_; ++expert) {
      const Product product{
          .begin = first[static_cast<std::size_t>(expert)],
          .end = first[static_cast<std::size_t>(expert) + 1],
          .first_weight = expert * out.columns,
          .columns = whole.weights.rows.layout.columns,
          .bias = whole.bias.data == nullptr ? nullptr : row_at(whole.bias, expert),
          .is_integer = whole.is_integer()};
      for_row_type(out.dtype,
                   [&](auto element) { multiply<decltype(element)>(rows, factors, product, out); });
    }
  }

  Count num_local_experts_;
};

}  // namespace

std::unique_ptr<QuantizedGemmExperts> make_quantized_experts(Memory& memory,
                                                             QuantizedGemmWeights weights,
                                                             Count num_local_experts) {
  return std::make_unique<CpuQuantizedExperts>(memory, std::move(weights), num_local_experts);
}

}  // namespace moe::cpu
