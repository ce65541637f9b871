// Experts with products on a device: against plain loops over small whole numbers, where every sum
// is exact in any order. Activations that round are judged by the real worlds of the scenarios.

#include <algorithm>

#include "tests/device/both_sides.h"

using namespace moe;

namespace {

// w2 · relu(w13 · x + b13)² + b2, all in double.
std::vector<double> plain(const std::vector<double>& x, const std::vector<double>& w13,
                          const std::vector<double>& w2, const std::vector<double>& b13,
                          const std::vector<double>& b2) {
  std::vector<double> inner = b13;
  for (std::size_t i = 0; i < inner.size(); ++i) {
    for (std::size_t h = 0; h < x.size(); ++h) inner[i] += w13[i * x.size() + h] * x[h];
    inner[i] = std::max(inner[i], 0.0) * std::max(inner[i], 0.0);
  }
  std::vector<double> out = b2;
  for (std::size_t h = 0; h < out.size(); ++h) {
    for (std::size_t i = 0; i < inner.size(); ++i) out[h] += w2[h * inner.size() + i] * inner[i];
  }
  return out;
}

std::vector<double> part(const std::vector<double>& all, std::size_t index, std::size_t size) {
  const auto begin = all.begin() + static_cast<std::ptrdiff_t>(index * size);
  return {begin, begin + static_cast<std::ptrdiff_t>(size)};
}

// At most one element of each row is not 0, so that inner values stay small: as exact worlds do.
Twin one_hot(BothSides& both, Shape shape, int seed) {
  std::vector<double> values(static_cast<std::size_t>(shape.rows * shape.columns), 0.0);
  for (Count row = 0; row < shape.rows; ++row) {
    const auto column = static_cast<Count>(mix(seed, row) % static_cast<unsigned>(shape.columns));
    values[static_cast<std::size_t>(row * shape.columns + column)] =
        mix(seed, row, 1) % 2 == 0 ? 1 : -1;
  }
  return both.twin(shape, values);
}

}  // namespace

TEST_CASE("device experts: whole numbers through both products are exact, with and without bias") {
  on_every_device([](BothSides& both) {
    for (int seed = 1; seed <= 24; ++seed) {
      const DType dtype = row_types[static_cast<std::size_t>(seed) % 3];
      const Count hidden = 1 + static_cast<Count>(mix(seed, 1) % 150);
      const Count intermediate = 1 + static_cast<Count>(mix(seed, 2) % 150);
      const bool has_bias = seed % 2 == 0;
      INFO("seed " << seed << ", " << name_of(dtype) << ", " << hidden << " by " << intermediate);
      const std::vector<double> first = {0, 5, 5, 38};  // the second expert has no rows
      const Twin rows = both.integers({38, hidden, dtype}, {0, 2}, seed);
      Twin w13 = one_hot(both, {3 * intermediate, hidden, dtype}, seed + 1);
      Twin w2 = one_hot(both, {3 * hidden, intermediate, dtype}, seed + 2);
      Twin b13 = both.integers({3, intermediate, dtype}, {-1, 1}, seed + 3);
      Twin b2 = both.integers({3, hidden, dtype}, {-1, 1}, seed + 4);
      const Twin first_row = both.twin({4, 1, DType::i32}, first);
      GemmWeights weights{.w13 = std::move(w13.device), .w2 = std::move(w2.device)};
      weights.activation = Activation::relu2_no_mul;
      if (has_bias) {
        weights.w13_bias = std::move(b13.device);
        weights.w2_bias = std::move(b2.device);
      }
      const auto experts = both.device().gemm_experts(std::move(weights), 3);
      const Buffer out = experts->apply(rows.device.tensor(), first_row.device.tensor());
      const std::vector<double> actual = values_of(both.on_host(out.tensor()).tensor());
      const std::vector<double> x = values_of(rows.host.tensor());
      const auto h = static_cast<std::size_t>(hidden);
      const auto m = static_cast<std::size_t>(intermediate);
      const std::vector<double> no13(m, 0.0);
      const std::vector<double> no2(h, 0.0);
      for (std::size_t row = 0; row < 38; ++row) {
        const std::size_t expert = row < 5 ? 0 : 2;
        const std::vector<double> expected =
            plain(part(x, row, h), part(values_of(w13.host.tensor()), expert, h * m),
                  part(values_of(w2.host.tensor()), expert, h * m),
                  has_bias ? part(values_of(b13.host.tensor()), expert, m) : no13,
                  has_bias ? part(values_of(b2.host.tensor()), expert, h) : no2);
        CHECK(part(actual, row, h) == expected);
      }
    }
  });
}
