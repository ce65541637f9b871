// Bit patterns of the small floating types and their exact conversions; host and device share them.
// Round to nearest, ties to even. What a number means is here, how rows of them move is memory.h.

#pragma once

#include <bit>
#include <cstdint>

#include "kernels/base/dtype.h"

namespace moe {

// A bf16 value as its 16 bits; arithmetic is done in float.
struct BFloat16 {
  std::uint16_t bits = 0;

  bool operator==(const BFloat16&) const = default;
};

// An IEEE half as its 16 bits.
struct Float16 {
  std::uint16_t bits = 0;

  bool operator==(const Float16&) const = default;
};

constexpr float to_float(BFloat16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16U);
}

// A NaN stays a NaN and keeps the upper bits of its payload.
constexpr BFloat16 to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) {
    return {static_cast<std::uint16_t>((bits >> 16U) | 0x0040U)};
  }
  const std::uint32_t rounding = 0x7FFFU + ((bits >> 16U) & 1U);
  return {static_cast<std::uint16_t>((bits + rounding) >> 16U)};
}

constexpr float to_float(Float16 value) {
  const std::uint32_t sign = (value.bits & 0x8000U) << 16U;
  const std::uint32_t exponent = (value.bits >> 10U) & 0x1FU;
  const std::uint32_t mantissa = value.bits & 0x3FFU;
  if (exponent == 0x1FU) return std::bit_cast<float>(sign | 0x7F800000U | (mantissa << 13U));
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112U) << 23U) | (mantissa << 13U));
}

constexpr Float16 to_float16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16U) & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) {
    return {static_cast<std::uint16_t>(sign | 0x7E00U | ((magnitude >> 13U) & 0x1FFU))};
  }
  if (magnitude >= 0x477FF000U) return {static_cast<std::uint16_t>(sign | 0x7C00U)};
  if (magnitude < 0x38800000U) {  // below the smallest normal half: a multiple of 2^-24
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;  // rounds at 2^-24 by itself
    return {
        static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3F000000U))};
  }
  const std::uint32_t rounded = magnitude + 0xFFFU + ((magnitude >> 13U) & 1U);
  return {static_cast<std::uint16_t>(sign | ((rounded - 0x38000000U) >> 13U))};
}

constexpr float to_float(float value) { return value; }

constexpr void round_to(float value, float& to) { to = value; }
constexpr void round_to(float value, BFloat16& to) { to = to_bfloat16(value); }
constexpr void round_to(float value, Float16& to) { to = to_float16(value); }

// Calls function with a value of the C++ type that a row of that dtype has. REQUIRES bf16, f16 or
// f32.
template <typename Function>
void for_row_type(DType dtype, Function&& function) {
  switch (dtype) {
    case DType::bf16:
      return function(BFloat16{});
    case DType::f16:
      return function(Float16{});
    default:
      return function(float{});
  }
}

constexpr bool is_row_type(DType dtype) {
  return dtype == DType::bf16 || dtype == DType::f16 || dtype == DType::f32;
}

// Poison: what memory holds until somebody writes it (numerics.md, 6). One repeating 32-bit word
// per type: quiet NaNs with a payload of their own, 0x7EADBEEF for ids and counts.
constexpr std::uint32_t poison_word(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return 0x7FFEADBEU;
    case DType::f32:
      return 0x7FDEADBEU;
    case DType::bf16:
      return 0x7FDE7FDEU;
    case DType::f16:
      return 0x7EDE7EDEU;
    case DType::f8e4m3:
      return 0x7F7F7F7FU;
    case DType::e8m0:
    case DType::e2m1x2:
      return 0xFFFFFFFFU;
    default:
      return 0x7EADBEEFU;
  }
}

// One element as a double, whatever its type; for judges, reports and tests, not for kernels.
// REQUIRES a type with one value an element (not e2m1x2).
double element_as_double(const void* element, DType dtype);

}  // namespace moe
