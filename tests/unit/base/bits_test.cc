// bf16 and f16: every pattern round-trips, rounding is to nearest even, poison is never a number.
// Halves are checked against the compiler's _Float16.

#include "kernels/base/bits.h"

#include <cmath>
#include <cstring>

#include "kernels/base/check.h"
#include "tests/catch.h"

using namespace moe;

TEST_CASE("bits: every bf16 pattern survives the way through float") {
  int differing = 0;
  for (std::uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const BFloat16 value{static_cast<std::uint16_t>(bits)};
    const float wide = to_float(value);
    const BFloat16 back = to_bfloat16(wide);
    const bool same = std::isnan(wide) ? std::isnan(to_float(back)) : back == value;
    differing += same ? 0 : 1;
  }
  CHECK(differing == 0);
}

TEST_CASE("bits: bf16 rounds to nearest, ties to even") {
  const auto rounded = [](std::uint32_t bits) {
    return to_bfloat16(std::bit_cast<float>(bits)).bits;
  };
  CHECK(rounded(0x3F800000U) == 0x3F80);
  CHECK(rounded(0x3F807FFFU) == 0x3F80);
  CHECK(rounded(0x3F808000U) == 0x3F80);  // a tie, down to the even one
  CHECK(rounded(0x3F818000U) == 0x3F82);  // a tie, up to the even one
  CHECK(rounded(0x3F808001U) == 0x3F81);
  CHECK(rounded(0x7F7FFFFFU) == 0x7F80);  // beyond the largest bf16: infinity
}

TEST_CASE("bits: f16 agrees with the compiler's half on every pattern") {
  int differing = 0;
  for (std::uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const auto pattern = static_cast<std::uint16_t>(bits);
    const float ours = to_float(Float16{pattern});
    const auto theirs = static_cast<float>(std::bit_cast<_Float16>(pattern));
    const bool both_nan = std::isnan(ours) && std::isnan(theirs);
    differing +=
        both_nan || std::bit_cast<std::uint32_t>(ours) == std::bit_cast<std::uint32_t>(theirs) ? 0
                                                                                               : 1;
  }
  CHECK(differing == 0);
}

TEST_CASE("bits: f16 rounds as the compiler's half does") {
  int differing = 0;
  for (std::uint64_t bits = 0; bits <= 0xFFFFFFFFU; bits += 9973) {
    const float value = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    if (std::isnan(value)) continue;
    differing +=
        to_float16(value).bits == std::bit_cast<std::uint16_t>(static_cast<_Float16>(value)) ? 0
                                                                                             : 1;
  }
  CHECK(differing == 0);
}

TEST_CASE("bits: poison of every floating type is not a number") {
  for (const DType dtype :
       {DType::f64, DType::f32, DType::bf16, DType::f16, DType::f8e4m3, DType::e8m0}) {
    const std::uint32_t word = poison_word(dtype);
    unsigned char element[8];
    std::memcpy(element, &word, 4);
    std::memcpy(element + 4, &word, 4);
    CHECK(std::isnan(element_as_double(element, dtype)));
  }
  CHECK(poison_word(DType::i32) == 0x7EADBEEFU);
}

TEST_CASE("bits: e4m3 and e8m0 as numbers") {
  const auto e4m3 = [](std::uint8_t bits) { return element_as_double(&bits, DType::f8e4m3); };
  CHECK(e4m3(0x7E) == 448.0);
  CHECK(e4m3(0x38) == 1.0);
  CHECK(e4m3(0x01) == 0.001953125);
  CHECK(e4m3(0xB8) == -1.0);
  const std::uint8_t e8m0 = 121;
  CHECK(element_as_double(&e8m0, DType::e8m0) == 0.015625);
  const std::uint8_t pair = 0;
  CHECK_THROWS_AS(element_as_double(&pair, DType::e2m1x2), ContractError);
}
