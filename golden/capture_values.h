// Elements of captured rows: as floats, as bits, and as words for a finding.
// Internal to golden/capture_*.cc.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "golden/capture.h"

namespace moe::golden {

// REQUIRES bf16, f16, f32 or f8e4m3.
std::vector<float> floats_of(const CapturedRows& rows, Count row);

// The element's bits, zero-extended.
std::uint32_t bits_at(const CapturedRows& rows, Count row, Count column);

// Rounded to that type, as its bits.
std::uint32_t rounded_bits(float value, DType dtype);

float float_of(std::uint32_t bits, DType dtype);

// Equal bits, or both NaN: payloads of NaNs are the hardware's.
bool is_same_value(std::uint32_t one, std::uint32_t other, DType dtype);

// Where a value may lie.
struct Range {
  double low = 0;
  double high = 0;
};

// What rounds to the element: half a step around it. Not finite where the element is not.
Range rounding_range(std::uint32_t bits, DType dtype);

// The one factor that brings every due value into its arrived one's range, the shortest such
// number; 0 if there is none, or where 1 is one. What is not finite on either side has no vote; at
// least a quarter of the columns must have one, and at least that many.
float common_factor(const std::vector<Range>& arrived, const std::vector<Range>& due,
                    Count votes_min = 4);

// "0.5 (0x3f00)"
std::string value_text(std::uint32_t bits, DType dtype);
std::string value_text(float value);

}  // namespace moe::golden
