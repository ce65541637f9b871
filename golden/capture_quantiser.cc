// The declared form is the recipe fp8_block128_deepep: the reciprocal form, since x / scale gives
// other codes. The other ways have its groups and its floor, most of them its scaled value too.

#include "golden/capture_quantiser.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/base/bits.h"

namespace moe::golden {
namespace {

constexpr std::uint8_t sign_bit = 0x80;
constexpr std::uint8_t largest_code = 0x7E;  // 448

// A scaled value's magnitude between two codes; both are its own where it has one.
struct Between {
  std::uint8_t below = 0;
  std::uint8_t above = 0;
  std::uint8_t nearest = 0;  // ties to even
  bool is_tie = false;
  bool is_negative = false;
};

double value_of(std::uint8_t code) { return element_as_double(&code, DType::f8e4m3); }

// REQUIRES a number.
Between between(float scaled) {
  const auto size = std::fabs(static_cast<double>(scaled));
  const std::uint8_t nearest = to_e4m3(std::fabs(scaled));
  Between codes{nearest, nearest, nearest, false, std::signbit(scaled)};
  if (value_of(nearest) > size) --codes.below;
  if (value_of(nearest) < size && nearest < largest_code) ++codes.above;
  codes.is_tie =
      codes.below != codes.above && value_of(codes.above) - size == size - value_of(codes.below);
  return codes;
}

// x · (448 / amax) as the declared form has it, rounded as chosen says.
template <typename Choose>
std::uint8_t rounded(float value, const GroupScale& group, Choose chosen) {
  const float scaled = value * (448.0F / group.amax);
  if (std::isnan(scaled)) return to_e4m3(scaled);
  const Between codes = between(scaled);
  return static_cast<std::uint8_t>(chosen(codes) | (codes.is_negative ? sign_bit : 0));
}

std::uint8_t cut_off(float value, const GroupScale& group, float limit) {
  return to_e4m3(std::clamp(value * (448.0F / group.amax), -limit, limit));
}

constexpr CodeHypothesis hypotheses[] = {
    {"divided", "codes of x / scale, not of x times 448 / amax",
     [](float x, const GroupScale& group) { return to_e4m3(x / group.scale); }},
    {"divided_by_quotient", "codes of x / (amax / 448), not of x times 448 / amax",
     [](float x, const GroupScale& group) { return to_e4m3(x / (group.amax / 448.0F)); }},
    {"times_inverse", "codes of x times (1 / scale), not of x times 448 / amax",
     [](float x, const GroupScale& group) { return to_e4m3(x * (1.0F / group.scale)); }},
    {"power_of_two", "codes under scales rounded up to powers of two",
     [](float x, const GroupScale& group) {
       return to_e4m3(x / std::exp2(std::ceil(std::log2(group.scale))));
     }},
    {"truncated", "codes rounded towards zero, not to the nearest",
     [](float x, const GroupScale& group) {
       return rounded(x, group, [](const Between& codes) { return codes.below; });
     }},
    {"away", "codes rounded away from zero, not to the nearest",
     [](float x, const GroupScale& group) {
       return rounded(x, group, [](const Between& codes) { return codes.above; });
     }},
    {"down", "codes rounded down, not to the nearest",
     [](float x, const GroupScale& group) {
       return rounded(x, group, [](const Between& codes) {
         return codes.is_negative ? codes.above : codes.below;
       });
     }},
    {"up", "codes rounded up, not to the nearest",
     [](float x, const GroupScale& group) {
       return rounded(x, group, [](const Between& codes) {
         return codes.is_negative ? codes.below : codes.above;
       });
     }},
    {"ties_away", "codes whose ties are rounded away from zero, not to even",
     [](float x, const GroupScale& group) {
       return rounded(x, group, [](const Between& codes) {
         return codes.is_tie ? codes.above : codes.nearest;
       });
     }},
    {"ties_to_zero", "codes whose ties are rounded towards zero, not to even",
     [](float x, const GroupScale& group) {
       return rounded(x, group, [](const Between& codes) {
         return codes.is_tie ? codes.below : codes.nearest;
       });
     }},
    {"limit_240", "codes cut off at 240 (the largest value of e4m3fnuz), not at 448",
     [](float x, const GroupScale& group) { return cut_off(x, group, 240); }},
    {"limit_224", "codes cut off at 224 (vLLM's limit for e4m3fnuz), not at 448",
     [](float x, const GroupScale& group) { return cut_off(x, group, 224); }},
    {"scaled_to_240", "codes of x times 240 / amax, not of x times 448 / amax",
     [](float x, const GroupScale& group) { return to_e4m3(x * (240.0F / group.amax)); }},
    {"scaled_to_224", "codes of x times 224 / amax, not of x times 448 / amax",
     [](float x, const GroupScale& group) { return to_e4m3(x * (224.0F / group.amax)); }},
    {"via_bf16", "codes of x times 448 / amax rounded to bf16 first",
     [](float x, const GroupScale& group) {
       return to_e4m3(to_float(to_bfloat16(x * (448.0F / group.amax))));
     }},
    {"via_f16", "codes of x times 448 / amax rounded to f16 first",
     [](float x, const GroupScale& group) {
       return to_e4m3(to_float(to_float16(x * (448.0F / group.amax))));
     }},
    {"unscaled", "codes of x itself, without a scale",
     [](float x, const GroupScale&) { return to_e4m3(x); }},
    {"times_scale", "codes of x times scale, not of x times 448 / amax",
     [](float x, const GroupScale& group) { return to_e4m3(x * group.scale); }},
};

// What is not a number is no candidate.
float amax_of(std::span<const float> values) {
  float most = 1e-4F;
  for (const float value : values) most = std::fabs(value) > most ? std::fabs(value) : most;
  return most;
}

}  // namespace

QuantisedRow quantised_block128(std::span<const float> row) {
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

std::span<const CodeHypothesis> code_hypotheses() { return hypotheses; }

bool makes_codes(const CodeHypothesis& hypothesis, std::span<const float> row,
                 std::span<const float> scales, std::span<const std::byte> codes) {
  constexpr auto width = static_cast<std::size_t>(quantised_group);
  for (std::size_t number = 0; number < scales.size(); ++number) {
    const std::size_t first = number * width;
    const std::size_t size = std::min(width, row.size() - first);
    const GroupScale group{amax_of(row.subspan(first, size)), scales[number]};
    for (std::size_t i = first; i < first + size; ++i) {
      if (std::byte{hypothesis.code(row[i], group)} != codes[i]) return false;
    }
  }
  return true;
}

}  // namespace moe::golden
