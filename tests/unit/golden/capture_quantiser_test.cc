// The judge's fp8 quantiser: every code against e4m3's definition, and groups as DeepEP scales
// them. That it gives the codes and scales of real captures is verify_test.py's.

#include "golden/capture_quantiser.h"

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

}  // namespace
}  // namespace moe::golden
