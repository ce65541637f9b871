// Conversions of single elements, by the bit functions of the ground floor.
// Called by every part of a capture's judgement.

#include "golden/capture_values.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "golden/capture_quantiser.h"
#include "kernels/base/bits.h"
#include "kernels/base/text.h"

namespace moe::golden {

std::uint32_t bits_at(const CapturedRows& rows, Count row, Count column) {
  const Count size = size_of(rows.dtype);
  std::uint32_t bits = 0;
  std::memcpy(&bits, rows.row(row).data() + column * size, static_cast<std::size_t>(size));
  return bits;
}

float float_of(std::uint32_t bits, DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return to_float(BFloat16{static_cast<std::uint16_t>(bits)});
    case DType::f16:
      return to_float(Float16{static_cast<std::uint16_t>(bits)});
    case DType::f8e4m3: {
      const auto code = static_cast<std::uint8_t>(bits);
      return static_cast<float>(element_as_double(&code, dtype));
    }
    default:
      return std::bit_cast<float>(bits);
  }
}

std::vector<float> floats_of(const CapturedRows& rows, Count row) {
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(rows.columns));
  for (Count column = 0; column < rows.columns; ++column) {
    values.push_back(float_of(bits_at(rows, row, column), rows.dtype));
  }
  return values;
}

std::uint32_t rounded_bits(float value, DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return to_bfloat16(value).bits;
    case DType::f16:
      return to_float16(value).bits;
    case DType::f8e4m3:
      return to_e4m3(value);
    default:
      return std::bit_cast<std::uint32_t>(value);
  }
}

bool is_same_value(std::uint32_t one, std::uint32_t other, DType dtype) {
  return one == other || (std::isnan(float_of(one, dtype)) && std::isnan(float_of(other, dtype)));
}

Range rounding_range(std::uint32_t bits, DType dtype) {
  const double value = static_cast<double>(float_of(bits, dtype));
  const double size = std::fabs(value);
  const std::uint32_t sign = 1U << static_cast<std::uint32_t>(8 * size_of(dtype) - 1);
  const std::uint32_t magnitude = bits & ~sign;
  const auto at = [&](std::uint32_t other) { return static_cast<double>(float_of(other, dtype)); };
  const double below = magnitude == 0 ? -at(1) : at(magnitude - 1);
  const double next = at(magnitude + 1);
  const double above = std::isfinite(next) ? next : 2 * size - below;
  const Range range{(size + below) / 2, (size + above) / 2};
  return value < 0 ? Range{-range.high, -range.low} : range;
}

namespace {

bool is_finite(const Range& range) { return std::isfinite(range.low) && std::isfinite(range.high); }

bool has(const Range& range, double value) { return range.low <= value && value <= range.high; }

// Every quotient of a value of one by one of the other. REQUIRES that the other has no 0.
Range quotient(const Range& one, const Range& other) {
  const auto [low, high] = std::minmax(
      {one.low / other.low, one.low / other.high, one.high / other.low, one.high / other.high});
  return {low, high};
}

bool reaches(double factor, const Range& due, const Range& arrived) {
  const auto [low, high] = std::minmax({factor * due.low, factor * due.high});
  return low <= arrived.high && arrived.low <= high;
}

// The decimal number with the fewest digits.
float shortest_in(const Range& range) {
  const double middle = (range.low + range.high) / 2;
  const int digits_before = static_cast<int>(std::floor(std::log10(std::fabs(middle)))) + 1;
  for (int digits = 1; digits < 9; ++digits) {
    const double unit = std::pow(10.0, digits_before - digits);
    const double rounded = std::nearbyint(middle / unit) * unit;
    if (has(range, rounded)) return static_cast<float>(rounded);
  }
  return static_cast<float>(middle);
}

}  // namespace

float common_factor(const std::vector<Range>& arrived, const std::vector<Range>& due,
                    Count votes_min) {
  Range factors{-std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};
  Count votes = 0;
  for (std::size_t i = 0; i < due.size(); ++i) {
    if (!is_finite(arrived[i]) || !is_finite(due[i]) || has(due[i], 0)) continue;
    const Range one = quotient(arrived[i], due[i]);
    factors = {std::max(factors.low, one.low), std::min(factors.high, one.high)};
    if (factors.low > factors.high) return 0;
    ++votes;
  }
  if (votes < votes_min || votes * 4 < std::ssize(due)) return 0;
  if (has(factors, 0) || has(factors, 1)) return 0;
  const float factor = shortest_in(factors);
  for (std::size_t i = 0; i < due.size(); ++i) {
    if (!is_finite(arrived[i]) || !is_finite(due[i]) || !has(due[i], 0)) continue;
    if (!reaches(static_cast<double>(factor), due[i], arrived[i])) return 0;
  }
  return factor;
}

std::string value_text(std::uint32_t bits, DType dtype) {
  const auto digits = static_cast<std::size_t>(2 * size_of(dtype));
  return text(float_of(bits, dtype), " (0x", hex16(bits).substr(16 - digits), ")");
}

std::string value_text(float value) {
  return value_text(std::bit_cast<std::uint32_t>(value), DType::f32);
}

}  // namespace moe::golden
