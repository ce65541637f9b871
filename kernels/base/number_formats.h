// The small number formats of quantised rows, code by code: fp8 e4m3 in both kinds, e2m1, e8m0 and
// integers. Host and device share these functions; which scale a code goes with is a recipe's.
// Round to nearest, ties to the even code, unless a name says otherwise.

#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <string_view>

#include "kernels/base/dtype.h"

namespace moe {

// What the bytes of quantised data mean. e2m1 and uint4 have two values a byte, the even column in
// the low nibble. uint4b8 and uint8b128 are integers with that bias, uint4 has zero points.
enum class NumberFormat : std::uint8_t {
  as_it_is,  // not quantised: the rows' own type
  e4m3fn,
  e4m3fnuz,
  e2m1,
  int8,
  uint4b8,
  uint4,
  uint8b128
};

struct NumberFormatRow {
  NumberFormat format;
  std::string_view name;
  DType dtype;
  Count values_per_byte;
  float limit;  // what scales map the largest value to: vLLM's 224, not 240, for e4m3fnuz
};

// In the order of the enumeration.
inline constexpr std::array<NumberFormatRow, 8> number_format_rows = {{
    {NumberFormat::as_it_is, "as it is", DType::u8, 0, 0.0F},
    {NumberFormat::e4m3fn, "e4m3fn", DType::f8e4m3, 1, 448.0F},
    {NumberFormat::e4m3fnuz, "e4m3fnuz", DType::u8, 1, 224.0F},
    {NumberFormat::e2m1, "e2m1", DType::e2m1x2, 2, 6.0F},
    {NumberFormat::int8, "int8", DType::i8, 1, 127.0F},
    {NumberFormat::uint4b8, "uint4b8", DType::u8, 2, 7.0F},
    {NumberFormat::uint4, "uint4", DType::u8, 2, 15.0F},
    {NumberFormat::uint8b128, "uint8b128", DType::u8, 1, 127.0F},
}};

constexpr const NumberFormatRow& number_format_row(NumberFormat format) {
  return number_format_rows[static_cast<std::size_t>(format)];
}

namespace bits_of {
inline constexpr std::uint32_t magnitude = 0x7FFFFFFFU;
inline constexpr std::uint32_t infinity = 0x7F800000U;
}  // namespace bits_of

constexpr bool is_not_a_number(float value) {
  return (std::bit_cast<std::uint32_t>(value) & bits_of::magnitude) > bits_of::infinity;
}

constexpr float magnitude_of(float value) {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & bits_of::magnitude);
}

// The larger of the two magnitudes; a value that is not a number counts as none (CUDA: fmaxf).
constexpr float larger_magnitude(float most, float value) {
  const float magnitude = magnitude_of(value);
  return magnitude > most ? magnitude : most;
}

// Beyond ±448 is ±448, not a number is 0x7F (PTX: cvt.rn.satfinite).
constexpr std::uint8_t e4m3fn_code(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 24U) & 0x80U;
  const std::uint32_t magnitude = bits & bits_of::magnitude;
  if (magnitude > bits_of::infinity) return 0x7F;
  if (magnitude >= 0x43E00000U) return static_cast<std::uint8_t>(sign | 0x7EU);
  if (magnitude < 0x3C800000U) {  // below 2^-6: a multiple of 2^-9, and the sum rounds at 2^-9
    const float shifted = std::bit_cast<float>(magnitude) + 0x1p14F;
    return static_cast<std::uint8_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x46800000U));
  }
  const std::uint32_t rounded = magnitude + 0x7FFFFU + ((magnitude >> 20U) & 1U);
  return static_cast<std::uint8_t>(sign | ((rounded >> 20U) - (120U << 3U)));
}

constexpr float e4m3fn_value(std::uint8_t code) {
  const std::uint32_t sign = (code & 0x80U) << 24U;
  const std::uint32_t exponent = (code >> 3U) & 0xFU;
  const std::uint32_t mantissa = code & 0x7U;
  if ((code & 0x7FU) == 0x7FU) return std::bit_cast<float>(sign | 0x7FC00000U);
  const float magnitude = exponent == 0
                              ? static_cast<float>(mantissa) * 0x1p-9F
                              : std::bit_cast<float>(((exponent + 120U) << 23U) | mantissa << 20U);
  return sign != 0 ? -magnitude : magnitude;
}

// ROCm's e4m3: beyond ±240 is ±240, there is no -0, not a number is 0x80.
constexpr std::uint8_t e4m3fnuz_code(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 24U) & 0x80U;
  const std::uint32_t magnitude = bits & bits_of::magnitude;
  if (magnitude > bits_of::infinity) return 0x80;
  if (magnitude >= 0x43700000U) return static_cast<std::uint8_t>(sign | 0x7FU);
  std::uint32_t code = 0;
  if (magnitude < 0x3C000000U) {  // below 2^-7: a multiple of 2^-10
    const float shifted = std::bit_cast<float>(magnitude) + 0x1p13F;
    code = std::bit_cast<std::uint32_t>(shifted) - 0x46000000U;
  } else {
    code = ((magnitude + 0x7FFFFU + ((magnitude >> 20U) & 1U)) >> 20U) - (119U << 3U);
  }
  return static_cast<std::uint8_t>(code == 0 ? 0 : sign | code);
}

constexpr float e4m3fnuz_value(std::uint8_t code) {
  if (code == 0x80U) return std::bit_cast<float>(0x7FC00000U);
  const std::uint32_t exponent = (code >> 3U) & 0xFU;
  const std::uint32_t mantissa = code & 0x7U;
  const float magnitude = exponent == 0
                              ? static_cast<float>(mantissa) * 0x1p-10F
                              : std::bit_cast<float>(((exponent + 119U) << 23U) | mantissa << 20U);
  return (code & 0x80U) != 0 ? -magnitude : magnitude;
}

// A nibble: 0 to 7 are 0, 0.5, 1, 1.5, 2, 3, 4, 6, bit 3 is the sign. Beyond ±6 is ±6; not a number
// is +6, since the format has none (PTX: cvt.rn.satfinite.e2m1x2).
constexpr std::uint8_t e2m1_code(float value) {
  if (is_not_a_number(value)) return 0x7;
  const float m = magnitude_of(value);
  const int code = int{m > 0.25F} + int{m >= 0.75F} + int{m > 1.25F} + int{m >= 1.75F} +
                   int{m > 2.5F} + int{m >= 3.5F} + int{m > 5.0F};
  const std::uint32_t sign = (std::bit_cast<std::uint32_t>(value) >> 28U) & 0x8U;
  return static_cast<std::uint8_t>(sign | static_cast<std::uint32_t>(code));
}

constexpr float e2m1_value(std::uint8_t code) {
  const std::uint32_t exponent = (code >> 1U) & 0x3U;
  const std::uint32_t half = code & 1U;
  const float magnitude = exponent == 0
                              ? static_cast<float>(half) * 0.5F
                              : std::bit_cast<float>(((exponent + 126U) << 23U) | half << 22U);
  return (code & 0x8U) != 0 ? -magnitude : magnitude;
}

// e8m0: the byte x is 2^(x - 127), 255 is not a number. Encoders take numbers that are not
// negative; what is below 2^-127 becomes 0, what is above 2^127 becomes 254.
constexpr float e8m0_value(std::uint8_t code) {
  if (code == 0xFFU) return std::bit_cast<float>(0x7FC00000U);
  return std::bit_cast<float>(code == 0 ? 0x00400000U : std::uint32_t{code} << 23U);
}

// The largest power of two that is not above.
constexpr std::uint8_t e8m0_floor(float value) {
  if (is_not_a_number(value)) return 0xFF;
  const std::uint32_t exponent = std::bit_cast<std::uint32_t>(value) >> 23U;
  return static_cast<std::uint8_t>(exponent > 254U ? 254U : exponent);
}

// The smallest power of two that is not below (PTX: cvt.rp.satfinite.ue8m0x2).
constexpr std::uint8_t e8m0_up(float value) {
  const std::uint8_t floor = e8m0_floor(value);
  return floor < 254U && value > e8m0_value(floor) ? static_cast<std::uint8_t>(floor + 1) : floor;
}

// The nearest power of two, halfway to the even byte.
constexpr std::uint8_t e8m0_nearest(float value) {
  const std::uint8_t floor = e8m0_floor(value);
  if (floor >= 254U) return floor;
  const float middle = 1.5F * e8m0_value(floor);
  const bool up = value > middle || (value == middle && (floor & 1U) != 0);
  return static_cast<std::uint8_t>(floor + (up ? 1 : 0));
}

// Integers within [low, high]; not a number is 0, as conversions on a GPU give.
struct IntegerRange {
  int low = -128;
  int high = 127;
};

constexpr int nearest_even_integer(float value, IntegerRange range) {
  if (is_not_a_number(value)) return 0;
  if (value <= static_cast<float>(range.low)) return range.low;
  if (value >= static_cast<float>(range.high)) return range.high;
  constexpr float rounder = 0x1.8p23F;  // a sum with it has no bits below one
  const float shifted = value + rounder;
  return static_cast<int>(shifted - rounder);
}

// libdevice's round: halfway goes away from zero.
constexpr int half_away_integer(float value, IntegerRange range) {
  if (is_not_a_number(value)) return 0;
  if (value <= static_cast<float>(range.low)) return range.low;
  if (value >= static_cast<float>(range.high)) return range.high;
  const int towards_zero = static_cast<int>(value);
  const float rest = value - static_cast<float>(towards_zero);
  return towards_zero + int{rest >= 0.5F} - int{rest <= -0.5F};
}

// Two codes of four bits in a byte, the even column's low.
constexpr std::uint8_t packed_nibbles(std::uint8_t even, std::uint8_t odd) {
  return static_cast<std::uint8_t>((even & 0xFU) | (odd & 0xFU) << 4U);
}

constexpr std::uint8_t nibble_of(std::uint8_t byte, Count column) {
  return static_cast<std::uint8_t>(column % 2 == 0 ? byte & 0xFU : byte >> 4U);
}

}  // namespace moe
