// Back from codes to numbers on the host, and scales from one layout to another.
// Quantising is quantize_cpu.cc.

#include <cstring>

#include "kernels/base/bits.h"
#include "kernels/cpu/cpu_operators.h"
#include "kernels/recipe_arithmetic.h"

namespace moe::cpu {
namespace {

float scale_number(const Tensor& scales, Count at) {
  const std::byte* element =
      static_cast<const std::byte*>(scales.data) + at * size_of(scales.dtype);
  const auto byte = std::to_integer<std::uint8_t>(*element);
  if (scales.dtype == DType::e8m0) return e8m0_value(byte);
  if (scales.dtype == DType::f8e4m3) return e4m3fn_value(byte);
  float value = 0;
  for_row_type(scales.dtype, [&](auto typed) {
    std::memcpy(&typed, element, sizeof typed);
    value = to_float(typed);
  });
  return value;
}

float value_at(const QuantizedRows& rows, Count row, Count column) {
  const QuantizedLayout& layout = rows.layout;
  const ScalePlace place = scale_place(layout, row, column);
  const Count at = scale_offset(layout.scales, place.row, place.column);
  const bool is_packed = number_format_row(layout.format).values_per_byte == 2;
  const auto* data = reinterpret_cast<const std::uint8_t*>(row_at(rows.data, row));
  const std::uint8_t code = is_packed ? nibble_of(data[column / 2], column) : data[column];
  const std::uint8_t zero_point = layout.has_zero_points
                                      ? static_cast<const std::uint8_t*>(rows.zero_points.data)[at]
                                      : std::uint8_t{0};
  const float scaled = code_value(layout.format, code, zero_point) * scale_number(rows.scales, at);
  if (!layout.has_global_scale) return scaled;
  const Count part = row / (layout.rows / layout.parts);
  return scaled / static_cast<const float*>(rows.global_scale.data)[part];
}

}  // namespace

float stored_scale_at(const QuantizedRows& rows, Count row, Count column) {
  const ScalePlace place = scale_place(rows.layout, row, column);
  return scale_number(rows.scales, scale_offset(rows.layout.scales, place.row, place.column));
}

void dequantize(const QuantizedRows& rows, const Tensor& out) {
  for_row_type(out.dtype, [&](auto element) {
    const auto to = elements_of<decltype(element)>(out);
    for (Count row = 0; row < out.rows; ++row) {
      for (Count column = 0; column < out.columns; ++column) {
        round_to(value_at(rows, row, column),
                 to[static_cast<std::size_t>(row * out.columns + column)]);
      }
    }
  });
}

void relayout_scales(const QuantizedRows& rows, const ScaleLayout& to, const Tensor& out) {
  const ScaleLayout& from = rows.layout.scales;
  const auto size = static_cast<std::size_t>(size_of(from.dtype));
  if (bytes_of(out) > 0) std::memset(out.data, 0, static_cast<std::size_t>(bytes_of(out)));
  const auto element = [&](const Tensor& tensor, Count at) {
    return static_cast<std::byte*>(tensor.data) + at * static_cast<Count>(size);
  };
  for (Count row = 0; row < from.rows; ++row) {
    for (Count column = 0; column < from.columns; ++column) {
      std::memcpy(element(out, scale_offset(to, row, column)),
                  element(rows.scales, scale_offset(from, row, column)), size);
    }
  }
}

}  // namespace moe::cpu
