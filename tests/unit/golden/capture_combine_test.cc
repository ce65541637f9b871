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

TEST_CASE("factor: NaNs and infinities on either side have no vote") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> due = {1, -2, 3, 4, 5, -6, 7, 0, 9, 1e-39F};
  std::vector<float> arrived;
  for (const float value : due) arrived.push_back(-2 * value);
  arrived[7] = 5;
  arrived[9] = 1e30F;
  CHECK(common_factor(arrived, due) == -2);
  for (const float none : {nan, -nan, infinity}) {
    arrived[0] = none;
    due[4] = none;
    CHECK(common_factor(arrived, due) == -2);
  }
  for (float& value : due) value = nan;
  CHECK(common_factor(arrived, due) == 0);
}

TEST_CASE("factor: none where columns do not agree, or too few have one") {
  const std::vector<float> due = {1, 2, 3, 4, 5, 6};
  CHECK(common_factor({2, 4, 9, 8, 10, 12}, due) == 0);
  CHECK(common_factor(due, due) == 0);
  CHECK(common_factor({2, 4, 6}, {1, 2, 3}) == 0);
}

}  // namespace moe::golden
