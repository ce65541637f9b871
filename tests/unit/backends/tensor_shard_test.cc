// Shards of experts: rows of each block, columns, and the probe's columns. All shards together are
// the whole.

#include "backends/placement/tensor_shard.h"
#include "tests/catch.h"
#include "tests/unit/kernels/host_rows.h"

using namespace moe;

TEST_CASE("tensor shard: rows of each half, since gate and up stand one above the other") {
  const auto memory = make_host_memory(Poison::on);
  const Buffer w13 = rows_with(*memory, {8, 1, DType::f32}, {0, 1, 2, 3, 10, 11, 12, 13});
  CHECK(values_of(row_shard(w13.tensor(), 2, {0, 2}, *memory).tensor()) ==
        std::vector<double>{0, 1, 10, 11});
  CHECK(values_of(row_shard(w13.tensor(), 2, {1, 2}, *memory).tensor()) ==
        std::vector<double>{2, 3, 12, 13});
  CHECK_THROWS_AS(row_shard(w13.tensor(), 2, {0, 3}, *memory), ContractError);
}

TEST_CASE("tensor shard: columns of w2") {
  const auto memory = make_host_memory(Poison::on);
  const Buffer w2 = rows_with(*memory, {2, 4, DType::bf16}, {0, 1, 2, 3, 10, 11, 12, 13});
  CHECK(values_of(column_shard(w2.tensor(), {1, 2}, *memory).tensor()) ==
        std::vector<double>{2, 3, 12, 13});
  CHECK_THROWS_AS(column_shard(w2.tensor(), {0, 3}, *memory), ContractError);
}

TEST_CASE("tensor shard: experts of two products, gate and up apart, the second bias once") {
  const auto memory = make_host_memory(Poison::on);
  const int rank = GENERATE(0, 1);
  GemmWeights whole{.w13 = rows_with(*memory, {4, 1, DType::f32}, {0, 1, 10, 11}),
                    .w2 = rows_with(*memory, {1, 2, DType::f32}, {5, 6}),
                    .w13_bias = rows_with(*memory, {1, 4, DType::f32}, {20, 21, 30, 31}),
                    .w2_bias = rows_with(*memory, {1, 1, DType::f32}, {40}),
                    .activation = Activation::silu};
  const auto part = std::get<GemmWeights>(shard_of(std::move(whole), {rank, 2}, *memory));
  const double first = rank;
  CHECK(values_of(part.w13.tensor()) == std::vector<double>{first, 10 + first});
  CHECK(values_of(part.w2.tensor()) == std::vector<double>{5 + first});
  CHECK(values_of(part.w13_bias.tensor()) == std::vector<double>{20 + first, 30 + first});
  CHECK(values_of(part.w2_bias.tensor()) == std::vector<double>{rank == 0 ? 40.0 : 0.0});
}

TEST_CASE(
    "tensor shard: rows of gate and up that alternate are cut in pairs; without a gate plain") {
  const auto memory = make_host_memory(Poison::on);
  const auto activation = GENERATE(Activation::swigluoai, Activation::relu2_no_mul);
  GemmWeights whole{.w13 = rows_with(*memory, {8, 1, DType::f32}, {0, 1, 2, 3, 4, 5, 6, 7}),
                    .w2 = rows_with(*memory, {2, 4, DType::f32}, {0, 1, 2, 3, 4, 5, 6, 7}),
                    .w13_bias = {},
                    .w2_bias = {},
                    .activation = activation};
  if (activation == Activation::swigluoai) {
    whole.w2 = rows_with(*memory, {1, 4, DType::f32}, {0, 1, 2, 3});
  }
  const auto part = std::get<GemmWeights>(shard_of(std::move(whole), {1, 2}, *memory));
  const bool alternates = activation == Activation::swigluoai;
  CHECK(values_of(part.w13.tensor()) ==
        (alternates ? std::vector<double>{4, 5, 6, 7} : std::vector<double>{2, 3, 6, 7}));
}

TEST_CASE("tensor shard: every column of a probe expert has one owner") {
  const auto memory = make_host_memory(Poison::on);
  std::vector<double> sum(10, 0);
  for (int rank = 0; rank < 3; ++rank) {
    ProbeWeights whole{rows_with(*memory, {2, 5, DType::i8}, {1, -1, 1, 1, -1, 1, 1, -1, -1, 1})};
    const auto part = std::get<ProbeWeights>(shard_of(std::move(whole), {rank, 3}, *memory));
    const std::vector<double> signs = values_of(part.signs.tensor());
    int num_owned = 0;
    for (std::size_t i = 0; i < signs.size(); ++i) {
      sum[i] += signs[i];
      num_owned += signs[i] != 0 ? 1 : 0;
    }
    CHECK(num_owned == (rank == 0 ? 2 : 4));  // columns [0, 1), [1, 3), [3, 5) of both experts
  }
  CHECK(sum == std::vector<double>{1, -1, 1, 1, -1, 1, 1, -1, -1, 1});
}
