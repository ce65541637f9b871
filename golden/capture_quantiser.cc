// The declared form is the recipe fp8_block128_deepep: the reciprocal form, since x / scale gives
// other codes. The other forms have its floor and its scales.

#include "golden/capture_quantiser.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace moe::golden {
namespace {

QuantisedRow declared_row(std::span<const float> row) {
  const QuantisedBytes bytes =
      quantise("fp8_block128_deepep", row, {.rows = 1, .columns = std::ssize(row)});
  QuantisedRow quantised;
  for (const std::uint8_t code : bytes.data) quantised.codes.push_back(std::byte{code});
  quantised.scales.resize(bytes.scales.size() / sizeof(float));
  if (!bytes.scales.empty()) {
    std::memcpy(quantised.scales.data(), bytes.scales.data(), bytes.scales.size());
  }
  return quantised;
}

}  // namespace

QuantisedRow quantised_block128(std::span<const float> row, QuantiserForm form) {
  QuantisedRow quantised = declared_row(row);
  if (form == QuantiserForm::declared) return quantised;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const float scale = quantised.scales[i / static_cast<std::size_t>(quantised_group)];
    const bool is_power = form == QuantiserForm::power_of_two;
    const float divisor = is_power ? std::exp2(std::ceil(std::log2(scale))) : scale;
    quantised.codes[i] = std::byte{to_e4m3(row[i] / divisor)};
  }
  if (form == QuantiserForm::power_of_two) {
    std::ranges::transform(quantised.scales, quantised.scales.begin(),
                           [](float scale) { return std::exp2(std::ceil(std::log2(scale))); });
  }
  return quantised;
}

}  // namespace moe::golden
