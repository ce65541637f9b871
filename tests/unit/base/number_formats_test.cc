// Number formats: every code's value has that code, halfway goes to the even one, the ends
// saturate. The numbers of experts-and-oracles.md, 8.1 and 18, are here as they stand there.

#include "kernels/base/number_formats.h"

#include <cmath>
#include <functional>
#include <limits>

#include "kernels/base/bits.h"
#include "tests/catch.h"

using namespace moe;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
const float nan_value = std::nanf("");

struct Format {
  std::uint8_t (*code)(float);
  float (*value)(std::uint8_t);
  int largest;  // its code
};

// How many codes up to the largest are not their own value's, and how many middles do not go to
// the even code and what is beside them to the nearer one.
int wrong_codes(const Format& format) {
  int wrong = 0;
  const auto has = [&](float value, int code) { wrong += format.code(value) == code ? 0 : 1; };
  for (int code = 0; code <= format.largest; ++code) {
    const float value = format.value(static_cast<std::uint8_t>(code));
    has(value, code);
    if (code == format.largest) break;
    const float next = format.value(static_cast<std::uint8_t>(code + 1));
    const float middle = (value + next) / 2;
    has(middle, code % 2 == 0 ? code : code + 1);
    has(std::nextafter(middle, -1.0F), code);
    has(std::nextafter(middle, infinity), code + 1);
  }
  return wrong;
}

float e4m3_rounded(float value) { return e4m3fn_value(e4m3fn_code(value)); }

}  // namespace

TEST_CASE("number formats: each code is its value's, halfway goes to the even code") {
  CHECK(wrong_codes({e4m3fn_code, e4m3fn_value, 0x7E}) == 0);
  CHECK(wrong_codes({e4m3fnuz_code, e4m3fnuz_value, 0x7F}) == 0);
  CHECK(wrong_codes({e2m1_code, e2m1_value, 7}) == 0);
  CHECK(wrong_codes({e8m0_nearest, e8m0_value, 254}) == 0);
}

TEST_CASE("number formats: e4m3 rounds as experts-and-oracles.md, 18, has it") {
  CHECK(e4m3_rounded(17) == 16);
  CHECK(e4m3_rounded(19) == 20);
  CHECK(e4m3_rounded(1.0625F) == 1);
  CHECK(e4m3_rounded(1.1875F) == 1.25F);
  CHECK(e4m3_rounded(0x1p-10F) == 0);
  CHECK(e4m3_rounded(0x3p-10F) == 0x1p-8F);
  for (const float value : {447.0F, 449.0F, 464.0F, 1000.0F, infinity}) {
    CHECK(e4m3_rounded(value) == 448);
    CHECK(e4m3_rounded(-value) == -448);
  }
}

TEST_CASE("number formats: signs, ends, and what is not a number") {
  for (int code = 0; code < 0x7F; ++code) {
    const auto positive = static_cast<std::uint8_t>(code);
    CHECK(int{e4m3fn_code(-e4m3fn_value(positive))} == (code | 0x80));
    CHECK(element_as_double(&positive, DType::f8e4m3) == e4m3fn_value(positive));
  }
  CHECK(e4m3fn_code(nan_value) == 0x7F);
  CHECK(e4m3fn_code(-nan_value) == 0x7F);
  CHECK(std::isnan(e4m3fn_value(0x7F)));
  CHECK(std::isnan(e4m3fn_value(0xFF)));
  CHECK(e4m3fnuz_value(0x7F) == 240);
  CHECK(e4m3fnuz_value(0x08) == 0x1p-7F);
  CHECK(e4m3fnuz_value(0x01) == 0x1p-10F);
  CHECK(e4m3fnuz_code(-0.0F) == 0);
  CHECK(e4m3fnuz_code(-0x1p-12F) == 0);
  CHECK(e4m3fnuz_code(-3.0F) == (e4m3fnuz_code(3.0F) | 0x80));
  CHECK(e4m3fnuz_code(nan_value) == 0x80);
  CHECK(e4m3fnuz_code(-infinity) == 0xFF);
  CHECK(e2m1_code(-0.0F) == 8);
  CHECK(e2m1_code(-100.0F) == 15);
  CHECK(e2m1_code(-nan_value) == 7);
  CHECK(e2m1_value(13) == -3);
}

TEST_CASE("number formats: ties of e2m1 as experts-and-oracles.md, 8.1, has them") {
  const std::vector<std::pair<float, float>> ties = {{0.25F, 0}, {0.75F, 1}, {1.25F, 1}, {1.75F, 2},
                                                     {2.5F, 2},  {3.5F, 4},  {5, 4}};
  for (const auto& [tie, value] : ties) CHECK(e2m1_value(e2m1_code(tie)) == value);
}

TEST_CASE("number formats: e8m0 down, up and to the nearest, from 2^-127 to 2^127") {
  CHECK(e8m0_value(0) == 0x1p-127F);
  CHECK(e8m0_value(127) == 1);
  CHECK(e8m0_value(254) == 0x1p127F);
  CHECK(std::isnan(e8m0_value(255)));
  for (int code = 0; code <= 254; ++code) {
    const float value = e8m0_value(static_cast<std::uint8_t>(code));
    CHECK(int{e8m0_floor(value)} == code);
    CHECK(int{e8m0_up(value)} == code);
    CHECK(int{e8m0_up(std::nextafter(value, infinity))} == std::min(code + 1, 254));
    CHECK(int{e8m0_floor(std::nextafter(value, infinity))} == code);
    CHECK(int{e8m0_up(std::nextafter(value, 0.0F))} == code);
    CHECK(int{e8m0_floor(std::nextafter(value, 0.0F))} == std::max(code - 1, 0));
  }
  for (const auto encode : {e8m0_floor, e8m0_up, e8m0_nearest}) {
    CHECK(encode(0.0F) == 0);
    CHECK(encode(infinity) == 254);
    CHECK(encode(nan_value) == 255);
  }
}

TEST_CASE("number formats: integers to the even one or away from zero, within a range") {
  const IntegerRange all;
  for (int whole = -127; whole < 127; ++whole) {
    const float middle = static_cast<float>(whole) + 0.5F;
    CHECK(nearest_even_integer(middle, all) == (whole % 2 == 0 ? whole : whole + 1));
    CHECK(half_away_integer(middle, all) == (whole < 0 ? whole : whole + 1));
    for (const auto rounded : {nearest_even_integer, half_away_integer}) {
      CHECK(rounded(std::nextafter(middle, -1000.0F), all) == whole);
      CHECK(rounded(std::nextafter(middle, 1000.0F), all) == whole + 1);
      CHECK(rounded(static_cast<float>(whole), all) == whole);
    }
  }
  for (const auto rounded : {nearest_even_integer, half_away_integer}) {
    CHECK(rounded(nan_value, all) == 0);
    CHECK(rounded(infinity, all) == 127);
    CHECK(rounded(-infinity, all) == -128);
    CHECK(rounded(-300, {-7, 7}) == -7);
    CHECK(rounded(0.49999997F, all) == 0);
  }
}

TEST_CASE("number formats: two nibbles a byte, the even column's low") {
  CHECK(packed_nibbles(0x1, 0xA) == 0xA1);
  CHECK(nibble_of(0xA1, 0) == 0x1);
  CHECK(nibble_of(0xA1, 3) == 0xA);
}
