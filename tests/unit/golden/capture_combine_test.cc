// Sums whose order nobody promises, and factors between rows that hold more than numbers. What
// moebius verify says of whole captures is for tests/process/verif*_test.py.

#include "golden/capture_combine.h"

#include <bit>
#include <cstring>
#include <limits>

#include "golden/capture_values.h"
#include "tests/catch.h"

namespace moe::golden {
namespace {

constexpr float step = 0x1p-24F;  // half a unit in the last place of 1

CapturedRows column_of(const std::vector<float>& values) {
  CapturedRows rows{DType::f32, std::ssize(values), 1, {}};
  rows.bytes.resize(values.size() * sizeof(float));
  std::memcpy(rows.bytes.data(), values.data(), rows.bytes.size());
  return rows;
}

}  // namespace

// In this order each addition is a tie that goes to 1, while the sum in double, 1 + 3 · 2^-24, is
// itself a tie whose float is 4 · 2^-24 from that.
TEST_CASE("combine: an f32 sum of four ranks is held against the sum in double, not its float") {
  const CapturedRows rows = column_of({1, step, step, step});
  Sum sum{
      .terms = {}, .reduction = {.in_any_order = true}, .wire = DType::f32, .dtype = DType::f32};
  for (Count rank = 0; rank < 4; ++rank) sum.terms.push_back({.rows = &rows, .row = rank});
  float in_order = 0;
  for (const float value : {1.0F, step, step, step}) in_order += value;
  REQUIRE(in_order == 1);
  const SumElement element = element_of(sum, 0);
  const auto is_right_value = [&](double value) {
    return is_right(element, std::bit_cast<std::uint32_t>(static_cast<float>(value)), DType::f32);
  };
  CHECK(element.exact == 1 + 3 * 0x1p-24);
  CHECK(is_right_value(1));
  CHECK(is_right_value(1 + 2 * 0x1p-24));
  CHECK(is_right_value(1 + 6 * 0x1p-24));
  CHECK_FALSE(is_right_value(1 - 0x1p-24));
  CHECK_FALSE(is_right_value(1 + 8 * 0x1p-24));
}

TEST_CASE("combine: terms of -0 make +0 where the sum is declared, either where it is not") {
  const CapturedRows rows = column_of({-0.0F, -0.0F, 1});
  Sum sum{.terms = {{.rows = &rows, .row = 0}, {.rows = &rows, .row = 1}}, .dtype = DType::f32};
  const auto is_right_zero = [&](float zero) {
    return is_right(element_of(sum, 0), std::bit_cast<std::uint32_t>(zero), DType::f32);
  };
  for (const bool is_weighted : {false, true}) {
    sum.reduction.is_weighted = is_weighted;
    CHECK(is_right_zero(0.0F));
    CHECK_FALSE(is_right_zero(-0.0F));
  }
  sum.reduction = {.in_any_order = true};
  CHECK(is_right_zero(0.0F));
  CHECK(is_right_zero(-0.0F));
}

namespace {

// Each value with what rounds to it in f32, and as it is.
std::vector<Range> stored(const std::vector<float>& values) {
  std::vector<Range> ranges;
  for (const float value : values) {
    ranges.push_back(rounding_range(std::bit_cast<std::uint32_t>(value), DType::f32));
  }
  return ranges;
}

std::vector<Range> exact(const std::vector<float>& values) {
  std::vector<Range> ranges;
  for (const float value : values) {
    ranges.push_back({static_cast<double>(value), static_cast<double>(value)});
  }
  return ranges;
}

}  // namespace

TEST_CASE("factor: NaNs and infinities on either side have no vote") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> due = {1, -2, 3, 4, 5, -6, 7, 0, 9};
  std::vector<float> arrived;
  for (const float value : due) arrived.push_back(-2 * value);
  CHECK(common_factor(stored(arrived), exact(due)) == -2);
  for (const float none : {nan, -nan, infinity}) {
    arrived[0] = none;
    due[4] = none;
    CHECK(common_factor(stored(arrived), exact(due)) == -2);
  }
  for (float& value : due) value = nan;
  CHECK(common_factor(stored(arrived), exact(due)) == 0);
}

TEST_CASE("factor: none where one column has another, or too few have one") {
  const std::vector<float> due = {1, 2, 3, 4, 5, 6};
  CHECK(common_factor(stored({2, 4, 6, 8, 10, 12}), exact(due)) == 2);
  CHECK(common_factor(stored({2, 4, 6.000001F, 8, 10, 12}), exact(due)) == 0);
  CHECK(common_factor(stored(due), exact(due)) == 0);
  CHECK(common_factor(stored({2, 4, 6}), exact({1, 2, 3})) == 0);
  CHECK(common_factor(stored({2, 4, 6, 8, 1}), exact({1, 2, 3, 4, 0})) == 0);
}

TEST_CASE("factor: one that every rounding allows is said with few digits") {
  std::vector<float> due;
  std::vector<Range> arrived;
  for (int i = 1; i < 200; ++i) {
    due.push_back(static_cast<float>(i) * 1.37F);
    const std::uint32_t bits = rounded_bits(due.back() * 0.3F, DType::bf16);
    arrived.push_back(rounding_range(bits, DType::bf16));
  }
  CHECK(common_factor(arrived, exact(due)) == 0.3F);
  const std::uint32_t flipped = rounded_bits(due[77] * 0.3F, DType::bf16) ^ 2U;
  arrived[77] = rounding_range(flipped, DType::bf16);
  CHECK(common_factor(arrived, exact(due)) == 0);
}

}  // namespace moe::golden
