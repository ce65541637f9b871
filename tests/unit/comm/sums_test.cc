// Reductions: in the order of the ranks, in fp32, rounded once (numerics.md, 3). The cases are
// chosen so that another order or another rounding has other bits; expected values are written by
// hand.

#include <cmath>

#include "kernels/base/bits.h"
#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"

namespace moe::test {
namespace {

const std::vector<int> sizes = {1, 2, 3, 4, 7, 8};

// What one rank adds in the case whose bits depend on the order: 2^24 swallows a 1 that comes
// later.
float ordered_part(int rank) {
  const float parts[] = {16777216.0F, 1.0F, -16777216.0F, 1.0F, 3.0F, -3.0F, 0.5F, 0.25F};
  return parts[rank];
}

// ((2^24 + 1) - 2^24) + 1 + 3 - 3 + 0.5 + 0.25, each step rounded to fp32.
float ordered_sum(int size) {
  const float sums[] = {16777216.0F, 16777216.0F, 0.0F, 1.0F, 4.0F, 1.0F, 1.5F, 1.75F};
  return sums[size - 1];
}

}  // namespace

TEST_CASE("reduce_scatter_v: sums in the order of the ranks, each rank its own part") {
  const Wire wire = GENERATE(from_range(wires()));
  const int size = GENERATE(from_range(sizes));
  CAPTURE(name_of(wire), size);
  const auto outcomes = run_world({wire, size}, [&](Communicator& group) {
    Counts rows;
    for (int rank = 0; rank < size; ++rank) rows.push_back(rank % 3);
    std::vector<float> parts;
    for (Count row = 0; row < total_rows(rows); ++row) {
      parts.push_back(ordered_part(group.rank()));
      parts.push_back(static_cast<float>(row * 8 + group.rank()));
    }
    const Buffer partial = filled(group, parts, 2);
    const Buffer own(group.memory(), {rows[static_cast<std::size_t>(group.rank())], 2, DType::f32});
    group.reduce_scatter_v(partial.tensor(), rows, own.tensor());
    return values_in<float>(own);
  });
  Count row = 0;
  for (int rank = 0; rank < size; ++rank) {
    REQUIRE(outcomes[static_cast<std::size_t>(rank)].error == "");
    std::vector<float> expected;
    for (int own = 0; own < rank % 3; ++own, ++row) {
      expected.push_back(ordered_sum(size));
      expected.push_back(static_cast<float>(size * row * 8 + size * (size - 1) / 2));
    }
    CHECK(*outcomes[static_cast<std::size_t>(rank)].value == expected);
  }
}

// Rows so long that a wire cuts them into pieces: 600 KB for rank 0, one row of 20 KB for rank 1,
// nothing for rank 2.
TEST_CASE("reduce_scatter_v: long rows, each rank as many pieces as its own rows need") {
  const Wire wire = GENERATE(from_range(wires()));
  const int size = GENERATE(2, 3);
  CAPTURE(name_of(wire), size);
  constexpr Count columns = 5003;
  const auto value = [](Count row, Count column, int rank) {
    return static_cast<float>((row * 31 + column * 7) % 1021 * (rank + 1));
  };
  const auto outcomes = run_world({wire, size}, [&](Communicator& group) {
    Counts rows{30, 1};
    rows.resize(static_cast<std::size_t>(size), 0);
    std::vector<float> parts;
    for (Count row = 0; row < total_rows(rows); ++row) {
      for (Count i = 0; i < columns; ++i) parts.push_back(value(row, i, group.rank()));
    }
    const Buffer partial = filled(group, parts, columns);
    const Buffer own(group.memory(),
                     {rows[static_cast<std::size_t>(group.rank())], columns, DType::f32});
    group.reduce_scatter_v(partial.tensor(), rows, own.tensor());
    Count row = rows_before(rows, group.rank());
    Count num_wrong = 0;
    for (Count i = 0; const float seen : values_in<float>(own)) {
      float expected = 0;
      for (int rank = 0; rank < size; ++rank) expected += value(row, i, rank);
      num_wrong += seen != expected ? 1 : 0;
      if (++i == columns) i = 0, ++row;
    }
    return num_wrong;
  });
  for (const auto& outcome : outcomes) {
    REQUIRE(outcome.error == "");
    CHECK(*outcome.value == 0);
  }
}

TEST_CASE("sums of bf16 and f16 are rounded once, after the last rank") {
  const Wire wire = GENERATE(from_range(wires()));
  const auto outcomes = run_world({wire, 3}, [](Communicator& group) {
    // 256 + 1 + 1: 258 in fp32; rounded at each step a bf16 stays at 256.
    const float value = group.rank() == 0 ? 256.0F : 1.0F;
    const Buffer bf16 = filled(group, std::vector<BFloat16>{to_bfloat16(value)});
    group.all_reduce(bf16.tensor(), ReduceOp::sum, bf16.tensor());
    // 2048 + 1 + 1: 2050 in fp32; rounded at each step an f16 stays at 2048.
    const float half = group.rank() == 0 ? 2048.0F : 1.0F;
    const Buffer f16 = filled(group, std::vector<Float16>{to_float16(half)});
    group.all_reduce(f16.tensor(), ReduceOp::sum, f16.tensor());
    // 2^53 + 1 + 1 in f64, where fp32 could not tell them apart.
    const double big = group.rank() == 0 ? 9007199254740990.0 : 1.0;
    const Buffer f64 = filled(group, std::vector<double>{big});
    group.all_reduce(f64.tensor(), ReduceOp::sum, f64.tensor());
    return std::vector<double>{static_cast<double>(to_float(values_in<BFloat16>(bf16)[0])),
                               static_cast<double>(to_float(values_in<Float16>(f16)[0])),
                               values_in<double>(f64)[0]};
  });
  for (const auto& outcome : outcomes) {
    REQUIRE(outcome.error == "");
    CHECK(*outcome.value == std::vector<double>{258.0, 2050.0, 9007199254740992.0});
  }
}

TEST_CASE("all_reduce: sum, max and bitwise_or of any number of elements, in place or not") {
  const Wire wire = GENERATE(from_range(wires()));
  const int size = GENERATE(from_range(sizes));
  const Count rows = GENERATE(0, 1, 5, 19);
  CAPTURE(name_of(wire), size, rows);
  const auto outcomes = run_world({wire, size}, [&](Communicator& group) {
    const int rank = group.rank();
    std::vector<float> floats;
    std::vector<std::int64_t> longs;
    std::vector<std::int32_t> bits;
    for (Count i = 0; i < rows * 2; ++i) {
      floats.push_back(ordered_part(rank));
      longs.push_back(i % 2 == 0 ? rank - 1000 : -rank - 1000);
      bits.push_back(1 << rank | 1 << (20 + i % 3));
    }
    const Buffer sum = filled(group, floats, 2);
    const Buffer max = filled(group, longs, 2);
    const Buffer either = filled(group, bits, 2);
    const Buffer max_out(group.memory(), {rows, 2, DType::i64});
    group.all_reduce(sum.tensor(), ReduceOp::sum, sum.tensor());
    group.all_reduce(max.tensor(), ReduceOp::max, max_out.tensor());
    group.all_reduce(either.tensor(), ReduceOp::bitwise_or, either.tensor());
    std::vector<double> all;
    for (const float value : values_in<float>(sum)) all.push_back(static_cast<double>(value));
    for (const auto value : values_in<std::int64_t>(max_out))
      all.push_back(static_cast<double>(value));
    for (const auto value : values_in<std::int32_t>(either)) all.push_back(value);
    return all;
  });
  std::vector<double> expected(static_cast<std::size_t>(rows * 2),
                               static_cast<double>(ordered_sum(size)));
  for (Count i = 0; i < rows * 2; ++i) expected.push_back(i % 2 == 0 ? size - 1001 : -1000);
  for (Count i = 0; i < rows * 2; ++i) expected.push_back(((1 << size) - 1) | 1 << (20 + i % 3));
  for (const auto& outcome : outcomes) {
    REQUIRE(outcome.error == "");
    CHECK(*outcome.value == expected);
  }
}

TEST_CASE("all_reduce max of f32: a NaN of any rank reaches all") {
  const Wire wire = GENERATE(from_range(wires()));
  const auto outcomes = run_world({wire, 3}, [](Communicator& group) {
    std::vector<float> values(3, static_cast<float>(-group.rank()));
    values[static_cast<std::size_t>(group.rank())] = NAN;
    values.push_back(static_cast<float>(-group.rank()));
    const Buffer buffer = filled(group, values);
    group.all_reduce(buffer.tensor(), ReduceOp::max, buffer.tensor());
    return values_in<float>(buffer);
  });
  for (const auto& outcome : outcomes) {
    REQUIRE(outcome.error == "");
    for (int i = 0; i < 3; ++i) CHECK(std::isnan((*outcome.value)[static_cast<std::size_t>(i)]));
    CHECK((*outcome.value)[3] == 0.0F);
  }
}

TEST_CASE("all_reduce sum of counts: i32 and i64 are added exactly") {
  for (const Wire wire : wires()) {
    for (int size = 1; size <= 4; ++size) {
      const auto outcomes = run_world({.wire = wire, .size = size}, [](Communicator& group) {
        const Buffer ints = filled(group, std::vector<std::int32_t>{16'777'217, group.rank(), -5});
        const Buffer longs = filled(group, std::vector<std::int64_t>{Count{1} << 40});
        group.all_reduce(ints.tensor(), ReduceOp::sum, ints.tensor());
        group.all_reduce(longs.tensor(), ReduceOp::sum, longs.tensor());
        return std::pair(values_in<std::int32_t>(ints), values_in<std::int64_t>(longs));
      });
      const auto sum_of_ranks = static_cast<std::int32_t>(size * (size - 1) / 2);
      for (const auto& outcome : outcomes) {
        INFO(name_of(wire) << " " << size << " " << outcome.error);
        REQUIRE(outcome.value);
        CHECK(outcome.value->first ==
              std::vector<std::int32_t>{16'777'217 * size, sum_of_ranks, -5 * size});
        CHECK(outcome.value->second == std::vector<std::int64_t>{size * (Count{1} << 40)});
      }
    }
  }
}

}  // namespace moe::test
