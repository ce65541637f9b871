// Scales of whole tensors in the judge: each rank's follows from the rows that come to it, and the
// judge refuses outputs of another rank's scale. Whether layers agree is for scenarios.

#include <algorithm>
#include <cmath>

#include "golden/oracle.h"
#include "kernels/base/bits.h"
#include "kernels/base/mix.h"
#include "tests/catch.h"

namespace moe::golden {
namespace {

constexpr Count hidden_size = 96;
constexpr int num_tokens = 6;

// Token t's values are of the size t + 1. Tokens 0 to 3 choose experts 0 and 1, which rank 0 has;
// 4 and 5 also expert 2, which is rank 1's.
struct World {
  OracleModel model{
      .kernel = ExpertKernel::real,
      .seed = 5,
      .num_experts = 3,
      .hidden_size = hidden_size,
      .intermediate_size = 64,
      .quantisation = {
          .weights = "fp8_dynamic_tensor", .a1 = "fp8_dynamic_tensor", .a2 = "fp8_dynamic_tensor"}};
  std::vector<BFloat16> hidden;
  std::vector<std::int32_t> ids = {0, 1, 1, 0, 0, 1, 1, 0, 2, -1, 2, -1};
  std::vector<float> weights = std::vector<float>(12, 0.5F);

  World() {
    for (int token = 0; token < num_tokens; ++token) {
      for (int h = 0; h < hidden_size; ++h) {
        const double near =
            static_cast<double>(centred(mix(5, 1, token, h))) / centred_deviation / 4;
        const double value = std::clamp(near, -0.99, 0.99) * (token + 1);
        hidden.push_back(to_bfloat16(static_cast<float>(value)));
      }
    }
  }

  OracleTokens tokens(int first = 0, int count = num_tokens) {
    return {
        {&hidden[static_cast<std::size_t>(first * hidden_size)], count, hidden_size, DType::bf16},
        {&ids[static_cast<std::size_t>(2 * first)], count, 2, DType::i32},
        {&weights[static_cast<std::size_t>(2 * first)], count, 2, DType::f32}};
  }

  float scale_of_tokens(int first, int last) const {
    float most = 0;
    for (int i = first * hidden_size; i < last * hidden_size; ++i) {
      most = std::max(most, std::abs(to_float(hidden[static_cast<std::size_t>(i)])));
    }
    return most / 448;
  }
};

const ExpertHomes to_owners{{0, 0, 1}, false};
const ExpertHomes to_all{{0, 0, 1}, true};

}  // namespace

TEST_CASE("tensor scales: of the rows that chose a rank's experts, or of all") {
  World world;
  const Oracle oracle(world.model);
  const auto owners = oracle.tensor_scales(0, world.tokens(), to_owners);
  REQUIRE(owners.size() == 3);
  CHECK(owners[0].rows == world.scale_of_tokens(0, 4));
  CHECK(owners[1].rows == owners[0].rows);
  CHECK(owners[1].between == owners[0].between);
  CHECK(owners[2].rows == world.scale_of_tokens(4, 6));
  CHECK(owners[2].rows > owners[0].rows);
  CHECK(owners[2].between != owners[0].between);
  const auto all = oracle.tensor_scales(0, world.tokens(), to_all);
  CHECK(all[0].rows == world.scale_of_tokens(0, 6));
  CHECK(all[2].rows == all[0].rows);
  CHECK(all[2].between != all[0].between);  // only what experts compute stands between products
  const auto one_rank = oracle.tensor_scales(0, world.tokens(), {{0, 0, 0}, false});
  CHECK(one_rank[0].rows == all[0].rows);
  CHECK(one_rank[0].between == std::max(all[0].between, all[2].between));
}

TEST_CASE("tensor scales: a rank that nobody chose has none, and other recipes have none at all") {
  World world;
  world.ids = {0, 1, 1, 0, 0, 1, 1, 0, 0, -1, -1, -1};
  const auto scales = Oracle(world.model).tensor_scales(0, world.tokens(), to_owners);
  CHECK(scales[0].rows == world.scale_of_tokens(0, 5));  // token 5's choices are masked
  CHECK(scales[2].rows == 0);
  CHECK(scales[2].between == 0);
  world.model.quantisation.a1 = world.model.quantisation.a2 = "fp8_dynamic_token";
  CHECK(Oracle(world.model).tensor_scales(0, world.tokens(), to_owners).empty());
}

TEST_CASE("tensor scales: a token's values are those of its tensor's scale, not of its own row's") {
  World world;
  const Oracle oracle(world.model);
  const auto scales = oracle.tensor_scales(0, world.tokens(), to_owners);
  const Expected whole = oracle.expected(0, world.tokens(), scales);
  const Expected first = oracle.expected(0, world.tokens(0, 1), scales);
  for (std::size_t i = 0; i < first.values.size(); ++i) CHECK(first.values[i] == whole.values[i]);
  const auto own = oracle.tensor_scales(0, world.tokens(0, 1), to_owners);
  const Expected alone = oracle.expected(0, world.tokens(0, 1), own);
  CHECK_FALSE(std::ranges::equal(alone.values, first.values));
  CHECK(alone.bound(0, 2) > 0);
}

TEST_CASE("tensor scales: without them there is no bound") {
  World world;
  CHECK_THROWS_WITH(Oracle(world.model).expected(0, world.tokens()),
                    Catch::Contains("rows that one expert does not see"));
  CHECK_THROWS_WITH(Oracle(world.model).tensor_scales(0, world.tokens(), {{0, 0}, false}),
                    Catch::Contains("2 homes of 3 experts"));
}

}  // namespace moe::golden
