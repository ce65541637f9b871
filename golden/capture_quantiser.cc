// Every step in float and in the order that DeepEP's kernel has: the reciprocal form, since
// x / scale gives other codes.

#include "golden/capture_quantiser.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace moe::golden {

std::uint8_t to_e4m3(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint8_t>((bits >> 24U) & 0x80U);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return sign | 0x7FU;
  if (magnitude >= std::bit_cast<std::uint32_t>(448.0F)) return sign | 0x7EU;
  if (magnitude < std::bit_cast<std::uint32_t>(0x1p-6F)) {  // a multiple of 2^-9
    const float steps = std::nearbyint(std::bit_cast<float>(magnitude) * 0x1p9F);
    return static_cast<std::uint8_t>(sign | static_cast<std::uint8_t>(steps));
  }
  const std::uint32_t rounded = magnitude + 0x7FFFFU + ((magnitude >> 20U) & 1U);
  return static_cast<std::uint8_t>(sign | ((rounded >> 20U) - (120U << 3U)));
}

QuantisedRow quantised_block128(std::span<const float> row, QuantiserForm form) {
  constexpr float largest = 448.0F;
  constexpr float reciprocal = 1.0F / 448.0F;
  QuantisedRow quantised;
  quantised.codes.reserve(row.size());
  for (std::size_t begin = 0; begin < row.size(); begin += quantised_group) {
    const auto group =
        row.subspan(begin, std::min(static_cast<std::size_t>(quantised_group), row.size() - begin));
    float most = 1e-4F;
    for (const float value : group) most = std::fmax(most, std::fabs(value));
    float scale = most * reciprocal;
    if (form == QuantiserForm::power_of_two) scale = std::exp2(std::ceil(std::log2(scale)));
    const float factor = largest / most;
    for (const float value : group) {
      const float scaled = form == QuantiserForm::declared ? value * factor : value / scale;
      quantised.codes.push_back(std::byte{to_e4m3(scaled)});
    }
    quantised.scales.push_back(scale);
  }
  return quantised;
}

}  // namespace moe::golden
