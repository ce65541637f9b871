// Rows in host memory for tests: written as numbers, read back as numbers, in any row type.
// Included by the operators' tests only.

#pragma once

#include <vector>

#include "kernels/base/bits.h"
#include "kernels/base/buffer.h"

namespace moe {

// A host buffer of rows x columns of dtype with these values, row by row.
inline Buffer rows_with(Memory& memory, Shape shape, const std::vector<double>& values) {
  Buffer buffer(memory, shape);
  if (shape.dtype == DType::i32) {
    const auto to = elements_of<std::int32_t>(buffer.tensor());
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = static_cast<std::int32_t>(values[i]);
    return buffer;
  }
  if (shape.dtype == DType::i8) {
    const auto to = elements_of<std::int8_t>(buffer.tensor());
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = static_cast<std::int8_t>(values[i]);
    return buffer;
  }
  for_row_type(shape.dtype, [&](auto element) {
    const auto to = elements_of<decltype(element)>(buffer.tensor());
    for (std::size_t i = 0; i < to.size(); ++i) round_to(static_cast<float>(values[i]), to[i]);
  });
  return buffer;
}

inline std::vector<double> values_of(const Tensor& tensor) {
  std::vector<double> values;
  const auto* data = static_cast<const std::byte*>(tensor.data);
  for (Count i = 0; i < tensor.rows * tensor.columns; ++i) {
    values.push_back(element_as_double(data + i * size_of(tensor.dtype), tensor.dtype));
  }
  return values;
}

}  // namespace moe
