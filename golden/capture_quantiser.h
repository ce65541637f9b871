// The fp8 block-128 quantiser that captures declare (numerics.md, 5), and what a library may do
// instead. The quantisers themselves are quantise.h's. Nothing here knows of ranks or experts.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "golden/quantise.h"

namespace moe::golden {

inline constexpr Count quantised_group = 128;

// The last group may be a partial one.
constexpr Count num_quantised_groups(Count columns) {
  return (columns + quantised_group - 1) / quantised_group;
}

struct QuantisedRow {
  std::vector<std::byte> codes;  // e4m3
  std::vector<float> scales;
};

// declared: codes of x · (448 / amax). The others are what a library may do instead: codes of
// x / scale; scales rounded up to powers of two.
enum class QuantiserForm { declared, division, power_of_two };

QuantisedRow quantised_block128(std::span<const float> row,
                                QuantiserForm form = QuantiserForm::declared);

}  // namespace moe::golden
