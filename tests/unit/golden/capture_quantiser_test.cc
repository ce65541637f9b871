// The judge's fp8 quantiser: every code against e4m3's definition, and groups as DeepEP scales
// them. That it gives the codes and scales of real captures is verify_test.py's.

#include "golden/capture_quantiser.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/base/bits.h"
#include "tests/catch.h"

namespace moe::golden {
namespace {

float value_of(int code) {
  const auto byte = static_cast<std::uint8_t>(code);
  return static_cast<float>(element_as_double(&byte, DType::f8e4m3));
}

TEST_CASE("e4m3: every code's value has that code, and both its signs") {
  for (int code = 0; code < 0x7F; ++code) {
    CHECK(int{to_e4m3(value_of(code))} == code);
    CHECK(int{to_e4m3(-value_of(code))} == (code | 0x80));
  }
}

TEST_CASE("e4m3: halfway goes to the even code, beside it to the nearer one") {
  for (int code = 0; code < 0x7E; ++code) {
    const float middle = (value_of(code) + value_of(code + 1)) / 2;
    CHECK(int{to_e4m3(middle)} == (code % 2 == 0 ? code : code + 1));
    CHECK(int{to_e4m3(std::nextafter(middle, 0.0F))} == code);
    CHECK(int{to_e4m3(std::nextafter(middle, 1000.0F))} == code + 1);
  }
}

TEST_CASE("e4m3: beyond 448 is 448, no number is none") {
  CHECK(int{to_e4m3(1e9F)} == 0x7E);
  CHECK(int{to_e4m3(-std::numeric_limits<float>::infinity())} == 0xFE);
  CHECK((to_e4m3(std::nanf("")) & 0x7F) == 0x7F);
}

TEST_CASE(
    "block 128: a group's largest element gets 448, tiny groups the floor, the last may be "
    "short") {
  std::vector<float> row(300, 0.0F);
  row[5] = -3;
  row[6] = 1.5F;
  row[299] = 1e-6F;
  const QuantisedRow quantised = quantised_block128(row);
  REQUIRE(quantised.codes.size() == 300);
  REQUIRE(quantised.scales.size() == 3);
  CHECK(std::to_integer<int>(quantised.codes[5]) == 0xFE);
  CHECK(std::to_integer<int>(quantised.codes[6]) == to_e4m3(224));
  CHECK(quantised.scales[0] == 3.0F * (1.0F / 448.0F));
  CHECK(quantised.scales[1] == 1e-4F * (1.0F / 448.0F));
  CHECK(std::to_integer<int>(quantised.codes[299]) == to_e4m3(1e-6F * (448.0F / 1e-4F)));
}

const CodeHypothesis& way(std::string_view name) {
  const auto found = std::ranges::find(code_hypotheses(), name, &CodeHypothesis::name);
  REQUIRE(found != code_hypotheses().end());
  return *found;
}

int code_of(std::string_view name, float value, GroupScale group) {
  return int{way(name).code(value, group)};
}

TEST_CASE("other ways: codes rounded to one side, or at ties otherwise") {
  constexpr GroupScale as_it_is{.amax = 448, .scale = 1};
  for (int code = 0; code < 0x7E; ++code) {
    const float low = value_of(code);
    const float high = value_of(code + 1);
    const float middle = (low + high) / 2;
    const int above = code + 1;
    const int sign = 0x80;
    for (const float value : {std::nextafter(low, high), middle, std::nextafter(high, low)}) {
      CHECK(code_of("truncated", value, as_it_is) == code);
      CHECK(code_of("truncated", -value, as_it_is) == (code | sign));
      CHECK(code_of("away", value, as_it_is) == above);
      CHECK(code_of("away", -value, as_it_is) == (above | sign));
      CHECK(code_of("down", value, as_it_is) == code);
      CHECK(code_of("down", -value, as_it_is) == (above | sign));
      CHECK(code_of("up", value, as_it_is) == above);
      CHECK(code_of("up", -value, as_it_is) == (code | sign));
    }
    CHECK(code_of("ties_away", middle, as_it_is) == above);
    CHECK(code_of("ties_away", -middle, as_it_is) == (above | sign));
    CHECK(code_of("ties_to_zero", middle, as_it_is) == code);
    CHECK(code_of("ties_to_zero", -middle, as_it_is) == (code | sign));
    for (const std::string_view name : {"ties_away", "ties_to_zero"}) {
      CHECK(code_of(name, std::nextafter(middle, low), as_it_is) == code);
      CHECK(code_of(name, std::nextafter(middle, high), as_it_is) == above);
    }
    for (const std::string_view name :
         {"truncated", "away", "down", "up", "ties_away", "ties_to_zero"}) {
      CHECK(code_of(name, low, as_it_is) == code);
      CHECK(code_of(name, -low, as_it_is) == (code | sign));
      CHECK(code_of(name, 449, as_it_is) == 0x7E);
      CHECK((code_of(name, std::nanf(""), as_it_is) & 0x7F) == 0x7F);
    }
  }
}

// The scale is not the largest magnitude's, so that each way gives another code.
TEST_CASE("other ways: codes scaled, cut off or rounded otherwise before") {
  constexpr GroupScale group{.amax = 2, .scale = 3};
  CHECK(code_of("divided", 24, group) == to_e4m3(8));
  CHECK(code_of("divided_by_quotient", 1, group) == to_e4m3(224));
  CHECK(code_of("power_of_two", 24, group) == to_e4m3(6));
  CHECK(code_of("scaled_to_240", 1, group) == to_e4m3(120));
  CHECK(code_of("scaled_to_224", 1, group) == to_e4m3(112));
  CHECK(code_of("unscaled", 24, group) == to_e4m3(24));
  CHECK(code_of("times_scale", 24, group) == to_e4m3(72));
  CHECK(code_of("limit_240", 2, group) == to_e4m3(240));
  CHECK(code_of("limit_240", -2, group) == to_e4m3(-240));
  CHECK(code_of("limit_240", 1, group) == to_e4m3(224));
  CHECK(code_of("limit_224", 2, group) == to_e4m3(224));
  CHECK(code_of("limit_224", 0.5F, group) == to_e4m3(112));

  constexpr GroupScale sevenths{.amax = 1, .scale = 7};  // 13.5625 / 7 is the tie 1.9375
  CHECK(code_of("divided", 13.5625F, sevenths) == 0x40);
  CHECK(code_of("times_inverse", 13.5625F, sevenths) == 0x40);
  CHECK(code_of("divided", 12.6875F, sevenths) == 0x3E);  // 1.8125, and beside it above
  CHECK(code_of("times_inverse", 12.6875F, sevenths) == 0x3F);

  constexpr GroupScale as_it_is{.amax = 448, .scale = 1};  // 1.0625 is a tie
  CHECK(code_of("via_bf16", 1.0625F + 0x1p-10F, as_it_is) == 0x38);
  CHECK(code_of("via_f16", 1.0625F + 0x1p-10F, as_it_is) == 0x39);
  CHECK(code_of("via_f16", 1.0625F + 0x1p-12F, as_it_is) == 0x38);
}

TEST_CASE("other ways: each group has its own scale, and every code counts") {
  std::vector<float> row(300);
  for (std::size_t i = 0; i < row.size(); ++i) {
    row[i] = std::sin(static_cast<float>(i)) * (i < 128 ? 1.0F : 64.0F);
  }
  const std::vector<float> scales = quantised_block128(row).scales;
  std::vector<std::byte> codes;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const std::size_t first = i / 128 * 128;
    GroupScale group{.amax = 0, .scale = scales[i / 128]};
    for (std::size_t j = first; j < std::min(first + 128, row.size()); ++j) {
      group.amax = std::max(group.amax, std::abs(row[j]));
    }
    codes.push_back(std::byte{way("limit_224").code(row[i], group)});
  }
  CHECK(makes_codes(way("limit_224"), row, scales, codes));
  for (const CodeHypothesis& other : code_hypotheses()) {
    CHECK(makes_codes(other, row, scales, codes) == (other.name == "limit_224"));
    CHECK(!other.words.empty());
  }
  codes.back() ^= std::byte{1};
  CHECK(!makes_codes(way("limit_224"), row, scales, codes));
}

}  // namespace
}  // namespace moe::golden
