// Reductions: in the order of the ranks, in fp32, rounded once (numerics.md, 3). The cases are
// chosen so that another order or another rounding has other bits; expected values are written by
// hand.

#include <cmath>

#include "comm/local_communicator.h"
#include "kernels/base/bits.h"
#include "tests/conformance/conformance.h"

namespace moe::test {
namespace {

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

void scatter_in_order(const Subject& subject, Troubles& troubles) {
  for (int size = 1; size <= 8; ++size) {
    const auto outcomes = run_subject(subject, size, [&](Communicator& group) {
      Counts rows;
      for (int rank = 0; rank < size; ++rank) rows.push_back(rank % 3);
      std::vector<float> parts;
      for (Count row = 0; row < total_rows(rows); ++row) {
        parts.push_back(ordered_part(group.rank()));
        parts.push_back(static_cast<float>(row * 8 + group.rank()));
      }
      const Buffer partial = filled(group, parts, 2);
      const Buffer own(group.memory(),
                       {rows[static_cast<std::size_t>(group.rank())], 2, DType::f32});
      group.reduce_scatter_v(partial.tensor(), rows, own.tensor());
      return values_in<float>(own);
    });
    Count row = 0;
    for (int rank = 0; rank < size; ++rank) {
      std::vector<float> expected;
      for (int own = 0; own < rank % 3; ++own, ++row) {
        expected.push_back(ordered_sum(size));
        expected.push_back(static_cast<float>(size * row * 8 + size * (size - 1) / 2));
      }
      expect(troubles, outcomes, rank, expected);
    }
  }
}

float long_value(Count row, Count column, int rank) {
  return static_cast<float>((row * 31 + column * 7) % 1021 * (rank + 1));
}

// How many of this rank's sums are wrong: 600 KB for rank 0, one row of 20 KB for rank 1, nothing
// for the others.
Count wrong_long_sums(Communicator& group) {
  constexpr Count columns = 5003;
  Counts rows{30, 1};
  rows.resize(static_cast<std::size_t>(group.size()), 0);
  std::vector<float> parts;
  for (Count row = 0; row < total_rows(rows); ++row) {
    for (Count i = 0; i < columns; ++i) parts.push_back(long_value(row, i, group.rank()));
  }
  const Buffer partial = filled(group, parts, columns);
  const Buffer own(group.memory(),
                   {rows[static_cast<std::size_t>(group.rank())], columns, DType::f32});
  group.reduce_scatter_v(partial.tensor(), rows, own.tensor());
  Count row = rows_before(rows, group.rank());
  Count num_wrong = 0;
  for (Count i = 0; const float seen : values_in<float>(own)) {
    float expected = 0;
    for (int rank = 0; rank < group.size(); ++rank) expected += long_value(row, i, rank);
    num_wrong += seen != expected ? 1 : 0;
    if (++i == columns) i = 0, ++row;
  }
  return num_wrong;
}

// Rows so long that a wire cuts them into pieces.
void scatter_long_rows(const Subject& subject, Troubles& troubles) {
  for (const int size : {2, 3}) {
    expect_all(troubles, run_subject(subject, size, wrong_long_sums), 0);
  }
}

void rounded_once(const Subject& subject, Troubles& troubles) {
  const auto outcomes = run_subject(subject, 3, [](Communicator& group) {
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
  expect_all(troubles, outcomes, {258.0, 2050.0, 9007199254740992.0});
}

void sums_of_floats(const Subject& subject, Troubles& troubles) {
  for (int size = 1; size <= 8; ++size) {
    for (const Count rows : {0, 1, 5, 19}) {
      const auto outcomes = run_subject(subject, size, [&](Communicator& group) {
        const std::vector<float> parts(static_cast<std::size_t>(rows * 2),
                                       ordered_part(group.rank()));
        const Buffer sum = filled(group, parts, 2);
        group.all_reduce(sum.tensor(), ReduceOp::sum, sum.tensor());
        return values_in<float>(sum);
      });
      expect_all(troubles, outcomes,
                 std::vector<float>(static_cast<std::size_t>(rows * 2), ordered_sum(size)));
    }
  }
}

void largest_and_bits(const Subject& subject, Troubles& troubles) {
  for (int size = 1; size <= 8; ++size) {
    for (const Count count : {0, 2, 10, 38}) {
      const auto outcomes = run_subject(subject, size, [&](Communicator& group) {
        std::vector<std::int64_t> longs;
        std::vector<std::int32_t> bits;
        for (Count i = 0; i < count; ++i) {
          longs.push_back(i % 2 == 0 ? group.rank() - 1000 : -group.rank() - 1000);
          bits.push_back(1 << group.rank() | 1 << (20 + i % 3));
        }
        const Buffer max = filled(group, longs, 2);
        const Buffer max_out(group.memory(), {count / 2, 2, DType::i64});
        const Buffer either = filled(group, bits, 2);
        group.all_reduce(max.tensor(), ReduceOp::max, max_out.tensor());
        group.all_reduce(either.tensor(), ReduceOp::bitwise_or, either.tensor());
        std::vector<std::int64_t> all = values_in<std::int64_t>(max_out);
        for (const auto value : values_in<std::int32_t>(either)) all.push_back(value);
        return all;
      });
      std::vector<std::int64_t> expected;
      for (Count i = 0; i < count; ++i) expected.push_back(i % 2 == 0 ? size - 1001 : -1000);
      for (Count i = 0; i < count; ++i) expected.push_back(((1 << size) - 1) | 1 << (20 + i % 3));
      expect_all(troubles, outcomes, expected);
    }
  }
}

void nan_wins(const Subject& subject, Troubles& troubles) {
  const auto outcomes = run_subject(subject, 3, [](Communicator& group) {
    std::vector<float> values(3, static_cast<float>(-group.rank()));
    values[static_cast<std::size_t>(group.rank())] = NAN;
    values.push_back(static_cast<float>(-group.rank()));
    const Buffer buffer = filled(group, values);
    group.all_reduce(buffer.tensor(), ReduceOp::max, buffer.tensor());
    std::vector<bool> is_nan;
    for (const float value : values_in<float>(buffer)) is_nan.push_back(std::isnan(value));
    is_nan.push_back(values_in<float>(buffer)[3] == 0.0F);
    return is_nan;
  });
  expect_all(troubles, outcomes, {true, true, true, false, true});
}

void sums_of_counts(const Subject& subject, Troubles& troubles) {
  for (int size = 1; size <= 8; ++size) {
    const auto outcomes = run_subject(subject, size, [](Communicator& group) {
      const Buffer ints = filled(group, std::vector<std::int32_t>{16'777'217, group.rank(), -5});
      const Buffer longs = filled(group, std::vector<std::int64_t>{Count{1} << 40});
      group.all_reduce(ints.tensor(), ReduceOp::sum, ints.tensor());
      group.all_reduce(longs.tensor(), ReduceOp::sum, longs.tensor());
      return std::pair(values_in<std::int32_t>(ints), values_in<std::int64_t>(longs));
    });
    const std::vector<std::int32_t> ints = {16'777'217 * size, size * (size - 1) / 2, -5 * size};
    expect_all(troubles, outcomes, {ints, {size * (Count{1} << 40)}});
  }
}

// Which NaN a sum is belongs to the processor that adds: on another than the host's, all are one.
enum class NaNs { as_they_are, all_one };

Bytes sums_in(const Buffer& sums, NaNs nans) {
  std::vector<std::uint8_t> bytes = bytes_in(sums);
  for (std::size_t i = 0; nans == NaNs::all_one && i < bytes.size(); i += 2) {
    const BFloat16 value{static_cast<std::uint16_t>(bytes[i] | bytes[i + 1] << 8)};
    if (to_float(value) == to_float(value)) continue;
    bytes[i] = bytes[i + 1] = 0xFF;
  }
  return bytes;
}

// What a rank of a made-up world of gathers and sums ends with.
std::vector<Bytes> made_up(Communicator& group, int seed, NaNs nans) {
  std::vector<Bytes> all;
  for (int turn = 0; turn < 12; ++turn) {
    Counts rows;
    for (int rank = 0; rank < group.size(); ++rank) {
      rows.push_back(static_cast<Count>(mix(seed, turn, rank) % 4));
    }
    const auto columns = static_cast<Count>(mix(seed, turn, 77) % 9);
    const Count own = rows[static_cast<std::size_t>(group.rank())];
    const Buffer from = patterned(group, 0, {own, columns, DType::f16});
    const Buffer gathered(group.memory(), {total_rows(rows), columns, DType::f16});
    group.all_gather_v(one(from.tensor()), rows, one(gathered.tensor()));
    all.push_back(bytes_in(gathered));
    const Buffer partial = patterned(group, turn, {total_rows(rows), columns, DType::bf16});
    const Buffer sum(group.memory(), {own, columns, DType::bf16});
    group.reduce_scatter_v(partial.tensor(), rows, sum.tensor());
    all.push_back(sums_in(sum, nans));
    group.all_reduce(partial.tensor(), ReduceOp::sum, partial.tensor());
    all.push_back(sums_in(partial, nans));
  }
  return all;
}

// The referee is the local communicator, whose sums the cases above pin by hand.
void as_the_referee(const Subject& subject, Troubles& troubles) {
  for (int seed = 1; seed < 9; ++seed) {
    const int size = 2 + static_cast<int>(mix(seed, 0) % 4);
    const bool is_host = subject.maker.device.value_or(subject.device) == DeviceKind::cpu;
    const NaNs nans = is_host ? NaNs::as_they_are : NaNs::all_one;
    const auto program = [&](Communicator& group) { return made_up(group, seed, nans); };
    const auto referee = run_world({Wire::local, size}, program);
    const auto outcomes = run_subject(subject, size, program);
    for (int rank = 0; rank < size; ++rank) {
      expect(troubles, outcomes, rank, referee[static_cast<std::size_t>(rank)].value.value(),
             text("seed ", seed));
    }
  }
}

}  // namespace

std::vector<ConformanceCase> sum_cases() {
  return {
      {"reduce_scatter_v: sums in the order of the ranks, each rank its own part",
       scatter_in_order},
      {"reduce_scatter_v: long rows, each rank as many pieces as its own rows need",
       scatter_long_rows},
      {"sums of bf16, f16 and f64 are rounded once, after the last rank", rounded_once},
      {"all_reduce: sums in the order of the ranks, any number of rows", sums_of_floats},
      {"all_reduce: max and bitwise_or, in place or not", largest_and_bits},
      {"all_reduce max of f32: a NaN of any rank reaches all", nan_wins},
      {"all_reduce sum of counts: i32 and i64 are added exactly", sums_of_counts},
      {"gathers and sums of made-up worlds have the referee's bytes", as_the_referee},
  };
}

}  // namespace moe::test
