// Conversions of single elements, by the bit functions of the ground floor.
// Called by every part of a capture's judgement.

#include "golden/capture_values.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

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

float common_factor(const std::vector<float>& arrived, const std::vector<float>& due) {
  std::vector<float> factors;
  for (std::size_t i = 0; i < due.size(); ++i) {
    if (due[i] == 0 || !std::isfinite(due[i])) continue;
    const float factor = arrived[i] / due[i];
    if (std::isfinite(factor)) factors.push_back(factor);  // a NaN has no place in their order
  }
  if (factors.size() < 4 || factors.size() * 4 < due.size()) return 0;
  std::ranges::nth_element(factors, factors.begin() + std::ssize(factors) / 2);
  const float factor = factors[factors.size() / 2];
  if (factor == 0 || factor == 1) return 0;
  const auto near = std::ranges::count_if(
      factors, [&](float one) { return std::fabs(one - factor) <= 0x1p-6F * std::fabs(factor); });
  return near * 10 >= std::ssize(factors) * 9 ? factor : 0;
}

std::string value_text(std::uint32_t bits, DType dtype) {
  const auto digits = static_cast<std::size_t>(2 * size_of(dtype));
  return text(float_of(bits, dtype), " (0x", hex16(bits).substr(16 - digits), ")");
}

std::string value_text(float value) {
  return value_text(std::bit_cast<std::uint32_t>(value), DType::f32);
}

}  // namespace moe::golden
