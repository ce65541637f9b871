// Quantised rows as kernels read them, value by value: what dequantize and the quantised experts
// have in common. What codes and scales mean is number_formats.h and recipe_arithmetic.h.

#pragma once

#include "kernels/cuda/launch.cuh"
#include "kernels/recipe_arithmetic.h"

namespace moe::cuda {

struct CodeReader {
  const std::uint8_t* data = nullptr;
  Count row_bytes = 0;
  bool is_packed = false;
  const void* scales = nullptr;
  const std::uint8_t* zero_points = nullptr;  // null: none, as the global scale
  const float* global_scales = nullptr;
  QuantizedLayout layout;

  __device__ Count scale_index(Count row, Count column) const {
    const ScalePlace place = scale_place(layout, row, column);
    return scale_offset(layout.scales, place.row, place.column);
  }

  // The value at a place before its scale.
  __device__ float number(Count row, Count column) const {
    const std::uint8_t* codes = data + row * row_bytes;
    const std::uint8_t code = is_packed ? nibble_of(codes[column / 2], column) : codes[column];
    const std::uint8_t zero_point =
        zero_points == nullptr ? std::uint8_t{0} : zero_points[scale_index(row, column)];
    return code_value(layout.format, code, zero_point);
  }

  // Its scale as a number, without a global scale.
  __device__ float scale(Count row, Count column) const {
    const Count at = scale_index(row, column);
    switch (layout.scales.dtype) {
      case DType::e8m0:
        return e8m0_value(static_cast<const std::uint8_t*>(scales)[at]);
      case DType::f8e4m3:
        return e4m3fn_value(static_cast<const std::uint8_t*>(scales)[at]);
      case DType::bf16:
        return to_float(static_cast<const BFloat16*>(scales)[at]);
      case DType::f16:
        return to_float(static_cast<const Float16*>(scales)[at]);
      default:
        return static_cast<const float*>(scales)[at];
    }
  }

  // 1 where there is none.
  __device__ float global_scale(Count row) const {
    return global_scales == nullptr ? 1 : global_scales[row / (layout.rows / layout.parts)];
  }
};

inline CodeReader reader_of(const QuantizedRows& rows) {
  return {static_cast<const std::uint8_t*>(rows.data.data),
          row_bytes(rows.data),
          number_format_row(rows.layout.format).values_per_byte == 2,
          rows.scales.data,
          static_cast<const std::uint8_t*>(rows.zero_points.data),
          static_cast<const float*>(rows.global_scale.data),
          rows.layout};
}

}  // namespace moe::cuda
