// Element types and counts of the whole project, with their sizes and names.
// No storage and no conversion lives here: bits.h converts, tensor.h views, buffer.h owns.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace moe {

using Count = std::int64_t;                // rows, tokens, bytes
using RowCounts = std::span<const Count>;  // one entry per rank of a group

// e2m1x2 is one byte that holds two 4-bit values, the low nibble first.
enum class DType : std::uint8_t {
  f64,
  f32,
  bf16,
  f16,
  f8e4m3,
  e2m1x2,
  e8m0,
  i8,
  i16,
  i32,
  i64,
  u8
};

inline constexpr std::array<DType, 12> all_dtypes = {
    DType::f64,  DType::f32, DType::bf16, DType::f16, DType::f8e4m3, DType::e2m1x2,
    DType::e8m0, DType::i8,  DType::i16,  DType::i32, DType::i64,    DType::u8};

constexpr Count size_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::bf16:
    case DType::f16:
    case DType::i16:
      return 2;
    default:
      return 1;
  }
}

constexpr bool is_floating(DType dtype) { return dtype <= DType::e8m0; }

std::string_view name_of(DType dtype);

// RETURNS nothing for a word that names no type.
std::optional<DType> dtype_named(std::string_view word);

}  // namespace moe
