// What the judge allows for quantising on the way: no number that is off by what it may be ends
// further away than the bound says, and the bound is used to a good part. The numbers of codes are
// held against kernels/ by tests/property/quantised_experts_test.cc.

#include "golden/requantisation.h"

#include <cmath>

#include "kernels/base/check.h"
#include "kernels/base/mix.h"
#include "kernels/base/text.h"
#include "tests/catch.h"

namespace moe::golden {
namespace {

constexpr Count columns = 300;  // the last group of every recipe is short
constexpr Count rows = 400;

// Numbers of many sizes, each block with a largest one of its own.
std::vector<double> made_values(std::uint64_t seed) {
  std::vector<double> values;
  for (Count i = 0; i < rows * columns; ++i) {
    const double near = static_cast<double>(centred(mix(seed, i))) / centred_deviation;
    const Count row = i / columns;
    values.push_back(std::ldexp(near, static_cast<int>(mix(seed, row) % 24) - 16));
  }
  return values;
}

// The largest share of the bound that quantising uses, of all numbers and of those that are not
// small in their block.
struct Shares {
  double all = 0;
  double large = 0;
};

// From numbers that are off by up to `off` of themselves.
Shares shares_of_bound(std::string_view recipe, float given, double off) {
  const std::vector<double> values = made_values(3);
  std::vector<double> errors;
  std::vector<float> moved;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double part = static_cast<double>(mix(4, i) % 2001) / 1000 - 1;  // [-1, 1]
    moved.push_back(static_cast<float>(values[i] * (1 + off * part)));
    errors.push_back(std::abs(values[i]) * off + std::abs(values[i]) * 0x1p-24);
  }
  QuantiseOrder order{.rows = rows, .columns = columns};
  order.given = {given};
  const std::vector<double> numbers = quantised_numbers(recipe, moved, order);
  add_requantisation(recipe, given, columns, values, errors);
  Shares shares;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double share = std::abs(numbers[i] - values[i]) / errors[i];
    const Count row = static_cast<Count>(i) / columns;
    const double usual = std::ldexp(1.0, static_cast<int>(mix(3, row) % 24) - 16);
    shares.all = std::max(shares.all, share);
    if (std::abs(values[i]) > usual) shares.large = std::max(shares.large, share);
  }
  return shares;
}

}  // namespace

TEST_CASE("requantisation: nothing is outside its bound, and the bound is used") {
  const std::vector<std::string_view> recipes = {"fp8_dynamic_token",
                                                 "fp8_block128",
                                                 "fp8_block128_triton",
                                                 "fp8_block128_ue8m0",
                                                 "fp8_block128_ue8m0_packed",
                                                 "fp8_block128_deepep",
                                                 "int8_dynamic_token",
                                                 "int8_dynamic_token_op",
                                                 "mxfp4_cutlass",
                                                 "mxfp4_even",
                                                 "mxfp4_ocp",
                                                 "mxfp8",
                                                 "mxfp8_torch"};
  for (const std::string_view recipe : recipes) {
    for (const double off : {0.0, 0.004, 0.1}) {
      INFO(recipe << ", off by " << off);
      const Shares shares = shares_of_bound(recipe, 0, off);
      CHECK(shares.all <= 1);
      CHECK(shares.all > 0.6);
      CHECK(shares.large > 0.6);
    }
  }
}

TEST_CASE("requantisation: given scales cut what is beyond them, and that is allowed for") {
  for (const double off : {0.0, 0.004}) {
    for (const float given : {0.0001F, 0.01F, 1.0F}) {
      CHECK(shares_of_bound("fp8_static_tensor", given, off).all <= 1);
      CHECK(shares_of_bound("fp8_static_tensor", given, off).all > 0.6);
    }
    for (const float given : {0.1F, 30.0F, 840.0F, 1e6F}) {
      INFO("global scale " << given);
      CHECK(shares_of_bound("nvfp4", given, off).all <= 1);
      CHECK(shares_of_bound("nvfp4", given, off).all > 0.6);
    }
  }
}

TEST_CASE("requantisation: recipes of weights have no bound") {
  std::vector<double> errors(4);
  const std::vector<double> values(4, 1.0);
  for (const std::string_view recipe : {"fp8_channel", "int8_channel", "int4_uint4b8"}) {
    CHECK_THROWS_WITH(add_requantisation(recipe, 0, 4, values, errors),
                      Catch::Contains(std::string(recipe)));
  }
}

}  // namespace moe::golden
