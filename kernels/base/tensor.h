// Tensor, a view of rows in somebody's memory, and what can be asked of a view.
// It never owns, never strides, and knows nothing of tokens or ranks.

#pragma once

#include <span>
#include <string>

#include "kernels/base/check.h"
#include "kernels/base/device.h"
#include "kernels/base/dtype.h"

namespace moe {

// [rows, columns] elements of dtype, row after row without gaps. data may be null where rows or
// columns are 0. LIFETIME: that of the Buffer it looks at.
struct Tensor {
  void* data = nullptr;
  Count rows = 0;
  Count columns = 0;
  DType dtype = DType::u8;
  Device device = {};
};

constexpr Count row_bytes(const Tensor& tensor) { return tensor.columns * size_of(tensor.dtype); }
constexpr Count bytes_of(const Tensor& tensor) { return tensor.rows * row_bytes(tensor); }

inline std::byte* row_at(const Tensor& tensor, Count row) {
  return static_cast<std::byte*>(tensor.data) + row * row_bytes(tensor);
}

// Rows [begin, begin + count) of a tensor. REQUIRES that they exist.
Tensor rows_of(const Tensor& tensor, Count begin, Count count);

// "[4, 64] bf16 on cpu", for messages.
std::string shape_text(const Tensor& tensor);

// The type whose size and meaning a C++ element type has; ids and counts are signed.
template <typename T>
constexpr DType dtype_for();

struct BFloat16;
struct Float16;
template <>
constexpr DType dtype_for<double>() {
  return DType::f64;
}
template <>
constexpr DType dtype_for<float>() {
  return DType::f32;
}
template <>
constexpr DType dtype_for<BFloat16>() {
  return DType::bf16;
}
template <>
constexpr DType dtype_for<Float16>() {
  return DType::f16;
}
template <>
constexpr DType dtype_for<std::int8_t>() {
  return DType::i8;
}
template <>
constexpr DType dtype_for<std::int16_t>() {
  return DType::i16;
}
template <>
constexpr DType dtype_for<std::int32_t>() {
  return DType::i32;
}
template <>
constexpr DType dtype_for<std::int64_t>() {
  return DType::i64;
}
template <>
constexpr DType dtype_for<std::uint8_t>() {
  return DType::u8;
}

// All elements of a tensor in host memory. REQUIRES its dtype to be T's and its device to be cpu.
template <typename T>
std::span<T> elements_of(const Tensor& tensor) {
  MOE_CHECK(tensor.dtype == dtype_for<T>() && tensor.device.kind == DeviceKind::cpu,
            "elements of " + shape_text(tensor) + " read as another type");
  return {static_cast<T*>(tensor.data), static_cast<std::size_t>(tensor.rows * tensor.columns)};
}

}  // namespace moe
