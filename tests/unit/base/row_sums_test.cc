// Ordered sums: every instruction set gives the bytes of one addition after the other, rounded
// once. Sets that this processor lacks are not run; the baseline always is.

#include "kernels/base/row_sums.h"

#include "kernels/base/bits.h"
#include "kernels/base/mix.h"
#include "tests/catch.h"

#include <cstring>
#include <vector>

using namespace moe;

namespace {

// Values of many sizes, with ties of the rounding, infinities and denormals among them.
template <typename T>
std::vector<T> row_of(std::uint64_t seed, std::size_t count) {
  std::vector<T> row(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t bits = mix(seed, static_cast<std::int64_t>(i));
    const auto scale = static_cast<float>(std::int64_t{1} << (bits % 23));
    const float value = (static_cast<float>((bits >> 8U) % 1025) - 512.0F) / scale;
    round_to(bits % 97 == 0 ? 1e38F : bits % 89 == 0 ? value * 1e-38F : value, row[i]);
  }
  return row;
}

template <typename T>
void check_sums(DType dtype, std::size_t count, std::size_t num_rows) {
  std::vector<std::vector<T>> rows;
  std::vector<const void*> operands;
  for (std::size_t k = 0; k < num_rows; ++k) rows.push_back(row_of<T>(k + 1, count));
  for (const auto& row : rows) operands.push_back(row.data());
  std::vector<T> expected(count);
  for (std::size_t i = 0; i < count; ++i) {
    float sum = to_float(rows[0][i]);
    for (std::size_t k = 1; k < num_rows; ++k) sum += to_float(rows[k][i]);
    round_to(sum, expected[i]);
  }
  for (const auto& choice : row_sums_choices()) {
    if (!choice.available) continue;
    INFO(choice.table.name << " " << name_of(dtype) << " " << count << " x " << num_rows);
    std::vector<T> actual(count);
    choice.table.add_in_order(dtype, operands, actual.data(), static_cast<Count>(count));
    CHECK(std::memcmp(actual.data(), expected.data(), count * sizeof(T)) == 0);
  }
}

}  // namespace

TEST_CASE("row sums: all instruction sets add in the same order and round once") {
  for (const std::size_t count : {1, 7, 64, 1000, 1024, 1025, 4099}) {
    for (const std::size_t num_rows : {1, 2, 5}) {
      check_sums<float>(DType::f32, count, num_rows);
      check_sums<BFloat16>(DType::bf16, count, num_rows);
      check_sums<Float16>(DType::f16, count, num_rows);
    }
  }
}

TEST_CASE("row sums: the first that the processor has is used, and one always is") {
  CHECK(row_sums_choices().back().available);
  for (const auto& choice : row_sums_choices()) {
    if (!choice.available) continue;
    CHECK(row_sums().name == choice.table.name);
    break;
  }
}
