// The fp8 block-128 quantiser that captures declare (numerics.md, 5), and what a library may do
// instead: one row of a table for each way to make codes. The quantisers themselves are
// quantise.h's. Nothing here knows of ranks or experts.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
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

// Codes of x · (448 / amax).
QuantisedRow quantised_block128(std::span<const float> row);

// What the columns of a group share: the largest magnitude, from the floor up, and the scale.
struct GroupScale {
  float amax = 0;
  float scale = 0;
};

// Another way to make a code than the declared one.
struct CodeHypothesis {
  std::string_view name;
  std::string_view words;  // what is said of such codes
  std::uint8_t (*code)(float value, const GroupScale& group);
};

std::span<const CodeHypothesis> code_hypotheses();

// Whether the hypothesis makes exactly these codes of the row. scales: the declared ones.
bool makes_codes(const CodeHypothesis& hypothesis, std::span<const float> row,
                 std::span<const float> scales, std::span<const std::byte> codes);

}  // namespace moe::golden
