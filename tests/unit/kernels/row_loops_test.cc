// The loops over rows: every instruction set that this processor has gives the same bytes, and the
// exponential behind silu stays within the judge's bound.

#include "kernels/cpu/row_loops.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/base/bits.h"
#include "tests/catch.h"

using namespace moe;
using namespace moe::cpu;

namespace {

// Bit patterns from everywhere: small and large numbers, infinities, NaNs, zeros of both signs.
std::vector<std::uint32_t> patterns(std::size_t count) {
  std::vector<std::uint32_t> words = {0x00000000U, 0x80000000U, 0x7F800000U, 0xFF800000U,
                                      0x7FC00001U, 0x00000001U, 0x42B17218U, 0xC2B17219U};
  for (std::uint32_t i = 0; words.size() < count; ++i) {
    words.push_back(std::bit_cast<std::uint32_t>(static_cast<float>(i % 4001U) * 0.05F - 100.0F) ^
                    i % 7U);
  }
  words.resize(count);
  return words;
}

// As many elements of that type, in the bytes of the answer.
std::vector<std::byte> row_of(DType dtype, std::size_t count) {
  const auto words = patterns(count);
  std::vector<std::byte> row(count * 4);
  for_row_type(dtype, [&](auto element) {
    for (std::size_t i = 0; i < count; ++i) {
      round_to(std::bit_cast<float>(words[i]), element);
      std::memcpy(row.data() + i * sizeof element, &element, sizeof element);
    }
  });
  return row;
}

// All that one table makes of a row.
std::vector<std::byte> everything(const RowLoops& loops, DType dtype, Count count) {
  const auto row = row_of(dtype, static_cast<std::size_t>(2 * count));
  std::vector<std::byte> all;
  for (const ActivationRow& activation : activation_rows) {
    std::vector<std::byte> out(static_cast<std::size_t>(4 * count));
    loops.activate(activation.activation, dtype, row.data(), out.data(), count);
    all.insert(all.end(), out.begin(), out.end());
  }
  std::vector<float> sum(static_cast<std::size_t>(count), 0.1F);
  loops.add_weighted(dtype, row.data(), 0.3F, sum.data(), count);
  loops.add_weighted(dtype, row.data(), -0.7F, sum.data(), count);
  std::vector<std::byte> out(static_cast<std::size_t>(4 * count));
  loops.round_row(dtype, sum.data(), out.data(), count);
  all.insert(all.end(), out.begin(), out.end());
  return all;
}

}  // namespace

TEST_CASE("row loops: every instruction set gives the bytes of the plainest") {
  const DType dtype = GENERATE(DType::bf16, DType::f16, DType::f32);
  const Count count = GENERATE(Count{0}, Count{1}, Count{3}, Count{31}, Count{200}, Count{4096});
  const auto expected = everything(row_loops_baseline, dtype, count);
  for (const auto& choice : row_loops_choices()) {
    INFO(choice.table.name);
    if (choice.available) CHECK((everything(choice.table, dtype, count) == expected));
  }
}

TEST_CASE("row loops: silu is within 4 units of 2^-24 of its value") {
  std::vector<float> values;
  for (float x = -80; x < 100; x += 0.00037F) values.push_back(x);
  for (float x = 0x1p-40F; x < 1; x *= 1.01F) values.insert(values.end(), {x, -x});
  std::vector<float> out(values.size());
  row_loops().activate(Activation::silu_no_mul, DType::f32, values.data(), out.data(),
                       static_cast<Count>(values.size()));
  int outside = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double x = values[i];
    const double exact = x / (1 + std::exp(-x));
    if (!(std::abs(out[i] - exact) <= 4 * 0x1p-24 * std::abs(exact))) ++outside;
  }
  CHECK(outside == 0);
}

TEST_CASE("row loops: silu and swigluoai at the ends of the numbers") {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> values = {infinity, -200.0F, -90.0F, 1e30F, std::nanf("")};
  std::vector<float> out(values.size());
  row_loops().activate(Activation::silu_no_mul, DType::f32, values.data(), out.data(), 5);
  CHECK(out[0] == infinity);
  CHECK(out[1] == 0);
  CHECK(std::abs(out[2]) < 1e-36F);
  CHECK(out[3] == 1e30F);
  CHECK(std::isnan(out[4]));
  const std::vector<float> pair = {std::nanf(""), std::nanf("")};  // both become the limit 7
  row_loops().activate(Activation::swigluoai, DType::f32, pair.data(), out.data(), 1);
  CHECK(out[0] == Approx(8.0 * 7.0 / (1 + std::exp(-7 * 1.702))));
}
