// Packed products against plain loops in double: odd shapes, every type, biases; and what is
// promised about a row beside other rows.

#include "kernels/cpu/gemm.h"

#include <cmath>
#include <cstring>

#include "kernels/base/mix.h"
#include "tests/catch.h"
#include "tests/unit/kernels/host_rows.h"

using namespace moe;
using namespace moe::cpu;

namespace {

// Numbers in [-1, 1] that no type but f32 holds exactly before they are rounded to it.
Buffer real_rows(Memory& memory, Shape shape, std::uint64_t seed) {
  std::vector<double> values;
  for (Count i = 0; i < shape.rows * shape.columns; ++i) {
    const std::uint64_t word = mix(seed, static_cast<std::uint64_t>(i)) >> 40U;
    values.push_back(static_cast<double>(word) * 0x1p-23 - 1);
  }
  return rows_with(memory, shape, values);
}

double half_ulp(DType dtype) {
  if (dtype == DType::bf16) return 0x1p-8;
  return dtype == DType::f16 ? 0x1p-11 : 0x1p-24;
}

struct Case {
  DType dtype;
  Count rows;
  Count n;
  Count k;
};

// Elements outside |error| <= γ_k Σ |x w| + one rounding, of a product with weight 1 of 3.
int outside_bound(const Case& at) {
  const auto memory = make_host_memory(Poison::on);
  const Buffer rows = real_rows(*memory, {at.rows, at.k, at.dtype}, 1);
  Buffer weights = real_rows(*memory, {3 * at.n, at.k, at.dtype}, 2);
  Buffer bias = real_rows(*memory, {3, at.n, at.dtype}, 3);
  const auto x = values_of(rows.tensor());
  const auto w = values_of(rows_of(weights.tensor(), at.n, at.n));
  const auto b = values_of(rows_of(bias.tensor(), 1, 1));
  const auto packed = onednn_gemm.pack({std::move(weights), std::move(bias), 3}, *memory);
  const Buffer out(*memory, {at.rows, at.n, at.dtype});
  packed->multiply(1, rows.tensor(), out.tensor());
  CHECK(out.guards_intact());
  const auto y = values_of(out.tensor());
  int outside = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const std::size_t row = i / b.size() * static_cast<std::size_t>(at.k);
    const std::size_t column = i % b.size();
    double exact = b[column];
    double magnitude = std::abs(exact);
    for (std::size_t k = 0; k < static_cast<std::size_t>(at.k); ++k) {
      const double product = x[row + k] * w[column * static_cast<std::size_t>(at.k) + k];
      exact += product;
      magnitude += std::abs(product);
    }
    const double bound = static_cast<double>(at.k + 1) * 0x1p-24 * magnitude +
                         half_ulp(at.dtype) * std::abs(exact) * (1 + 0x1p-10);
    if (!(std::abs(y[i] - exact) <= bound)) ++outside;
  }
  return outside;
}

}  // namespace

TEST_CASE("gemm: packed products agree with plain sums on odd shapes") {
  const DType dtype = GENERATE(DType::bf16, DType::f16, DType::f32);
  const Count rows = GENERATE(Count{0}, Count{1}, Count{3}, Count{70});
  const auto [n, k] = GENERATE(std::pair<Count, Count>(96, 200), std::pair<Count, Count>(200, 96),
                               std::pair<Count, Count>(1, 1), std::pair<Count, Count>(33, 5));
  INFO(rows << " rows, " << n << " by " << k);
  CHECK(outside_bound({dtype, rows, n, k}) == 0);
}

TEST_CASE("gemm: a row's result does not depend on the rows beside it") {
  const DType dtype = GENERATE(DType::bf16, DType::f16, DType::f32);
  const Count k = GENERATE(Count{96}, Count{200}, Count{2048});
  const Count n = 200;
  const auto memory = make_host_memory(Poison::on);
  const auto packed =
      onednn_gemm.pack({real_rows(*memory, {n, k, dtype}, 2), Buffer(), 1}, *memory);
  const Buffer rows = real_rows(*memory, {150, k, dtype}, 1);
  const Buffer together(*memory, {150, n, dtype});
  packed->multiply(0, rows.tensor(), together.tensor());
  const auto differs = [&](Count begin, Count count) {
    const Buffer out(*memory, {count, n, dtype});
    packed->multiply(0, rows_of(rows.tensor(), begin, count), out.tensor());
    return std::memcmp(out.tensor().data, row_at(together.tensor(), begin),
                       static_cast<std::size_t>(bytes_of(out.tensor()))) != 0;
  };
  for (const Count count : {1, 2, 3, 7, 16, 31, 64, 65, 100, 149}) {
    INFO(count << " rows of 150");
    CHECK_FALSE(differs(0, count));
    CHECK_FALSE(differs(150 - count, count));
  }
}
