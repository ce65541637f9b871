// Real worlds: values and bounds of the C++ oracle, and what their judge lets through. Whether the
// bound holds for the layer is for scenarios; here stand the controls that it must refuse.

#include <cmath>
#include <limits>

#include "golden/golden.h"
#include "kernels/base/bits.h"
#include "kernels/base/mix.h"
#include "tests/catch.h"

namespace moe::golden {
namespace {

constexpr Count hidden_size = 96;
constexpr Count num_tokens = 6;
constexpr Count top_k = 2;
constexpr Cell cell{0, 0, 1};

// Six tokens of a small real world.
struct World {
  OracleModel model{.kernel = ExpertKernel::real,
                    .seed = 5,
                    .num_experts = 3,
                    .hidden_size = hidden_size,
                    .intermediate_size = 64};
  std::vector<BFloat16> hidden;
  std::vector<std::int32_t> ids;
  std::vector<float> weights;

  World() {
    for (int i = 0; i < num_tokens * hidden_size; ++i) {
      hidden.push_back(to_bfloat16(
          static_cast<float>(static_cast<double>(centred(mix(5, 1, 0, i))) / centred_deviation)));
    }
    for (int token = 0; token < num_tokens; ++token) {
      ids.insert(ids.end(), {token % 3, (token + 1) % 3});
      weights.insert(weights.end(), {0.7F, 0.3F});
    }
  }

  Expected expected() {
    return Oracle(model).expected(0, {{hidden.data(), num_tokens, hidden_size, DType::bf16},
                                      {ids.data(), num_tokens, top_k, DType::i32},
                                      {weights.data(), num_tokens, top_k, DType::f32}});
  }
};

std::vector<BFloat16> rounded(const std::vector<double>& values) {
  std::vector<BFloat16> row;
  for (const double value : values) row.push_back(to_bfloat16(static_cast<float>(value)));
  return row;
}

CellJudgement judged(const Expected& expected, std::vector<BFloat16> output,
                     const Golden* golden = nullptr) {
  return judge(
      golden, cell, {output.data(), num_tokens, hidden_size, DType::bf16}, [&] { return expected; },
      2);
}

// A golden that keeps columns 0 and 95 of the last token, as the oracle says.
Golden golden_of(const Expected& expected) {
  const std::size_t at = 5 * hidden_size;
  StoredRow row{.token = 5, .columns = {0, 95}, .values = {}, .bounds = {}};
  for (const std::size_t column : {std::size_t{0}, std::size_t{95}}) {
    row.values.push_back(static_cast<double>(static_cast<float>(expected.values[at + column])));
    row.bounds.push_back(expected.bound(at + column, stored_roundings));
  }
  return {.scenario = "real",
          .scenario_sha256 = "",
          .generator = "",
          .has_bounds = true,
          .steps = {{.tokens = {1, num_tokens}, .digests = {}}},
          .stored = {{cell, {row}}}};
}

}  // namespace

TEST_CASE("real: the value rounded is within a small share of its bound") {
  World world;
  const Expected expected = world.expected();
  const CellJudgement judgement = judged(expected, rounded(expected.values));
  CHECK(judgement.finding == Finding::agrees);
  REQUIRE(judgement.comparison.nearest);
  CHECK(judgement.comparison.nearest->share() > 0);
  CHECK(judgement.comparison.nearest->share() < 0.5);
}

TEST_CASE("real: infinity stands for what may be too large for the type, and for nothing else") {
  World world;
  Expected expected = world.expected();
  std::vector<BFloat16> output = rounded(expected.values);
  output[7] = to_bfloat16(std::numeric_limits<float>::infinity());
  CHECK(judged(expected, output).finding == Finding::output_differs);
  expected.values[7] = 3.5e38;
  CHECK(judged(expected, output).finding == Finding::agrees);
  expected.values[7] = -3.5e38;
  CHECK(judged(expected, output).finding == Finding::output_differs);
}

TEST_CASE("real: bounds are far below the values, so that nothing passes for everything") {
  World world;
  const Expected expected = world.expected();
  double values = 0;
  double bounds = 0;
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    values += std::abs(expected.values[i]);
    bounds += expected.bound(i, 2);
  }
  CHECK(bounds < 0.2 * values);
}

TEST_CASE("real: zeros, a wrong expert, a lost slot and a doubled weight are refused") {
  World world;
  const Expected expected = world.expected();
  const auto refused = [&](const std::vector<double>& output) {
    const CellJudgement judgement = judged(expected, rounded(output));
    return judgement.finding == Finding::output_differs && judgement.comparison.mismatches > 200;
  };
  CHECK(refused(std::vector<double>(expected.values.size())));
  World other;
  for (std::int32_t& id : other.ids) id = (id + 1) % 3;
  CHECK(refused(other.expected().values));
  World lost;
  for (std::size_t i = 1; i < lost.ids.size(); i += 2) lost.ids[i] = -1;
  CHECK(refused(lost.expected().values));
  World doubled;
  for (float& weight : doubled.weights) weight *= 2;
  CHECK(refused(doubled.expected().values));
}

TEST_CASE("real: a NaN or an infinity is outside every bound, and the place is named") {
  World world;
  const Expected expected = world.expected();
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), -std::numeric_limits<double>::infinity()}) {
    std::vector<double> output = expected.values;
    output[2 * hidden_size + 7] = bad;
    const CellJudgement judgement = judged(expected, rounded(output));
    CHECK(judgement.comparison.mismatches == 1);
    CHECK_THAT(judgement.sentence, Catch::Contains("rank 1, token 2, column 7: expected") &&
                                       Catch::Contains("give or take"));
  }
}

TEST_CASE("real: a golden's rows and bounds must be the oracle's") {
  World world;
  const Expected expected = world.expected();
  const std::vector<BFloat16> output = rounded(expected.values);
  Golden golden = golden_of(expected);
  CHECK(judged(expected, output, &golden).finding == Finding::agrees);
  Golden off = golden;
  off.stored[0].rows[0].values[1] *= 1.001;
  CHECK(judged(expected, output, &off).finding == Finding::golden_row_wrong);
  off = golden;
  off.stored[0].rows[0].bounds[0] *= 2;
  CHECK(judged(expected, output, &off).finding == Finding::golden_row_wrong);
  golden.steps[0].tokens[1] = 7;
  CHECK_THROWS_AS(judged(expected, output, &golden), ContractError);
}

TEST_CASE("real: every further rounding on the way home widens the bound") {
  World world;
  const Expected expected = world.expected();
  CHECK(expected.bound(0, 3) > expected.bound(0, 2));
  CHECK_FALSE(expected.bound(0, 0) > expected.bound(0, 1));
}

TEST_CASE(
    "real: every activation, bias, shared expert and input weight is judged by its own bound") {
  for (const ActivationRow& row : activation_rows) {
    World world;
    world.model.activation = row.activation;
    world.model.has_bias = true;
    world.model.num_shared_experts = 1;
    const Expected expected = world.expected();
    CHECK(judged(expected, rounded(expected.values)).finding == Finding::agrees);
    CHECK(judged(expected, rounded(std::vector<double>(expected.values.size()))).finding ==
          Finding::output_differs);
  }
}

// experts-and-oracles.md, 13.3: upstream compares with atol 2e-2, rtol 0 at intermediate = hidden =
// 128, inputs of deviation 0.1, softmax weights that are not renormalised.
TEST_CASE("real: upstream's constant tolerance lets an output of zeros pass, the bound does not") {
  OracleModel model{.kernel = ExpertKernel::real,
                    .seed = 5,
                    .num_experts = 8,
                    .hidden_size = 128,
                    .intermediate_size = 128};
  std::vector<BFloat16> hidden;
  for (int i = 0; i < num_tokens * 128; ++i) {
    hidden.push_back(to_bfloat16(static_cast<float>(static_cast<double>(centred(mix(5, 1, 0, i))) /
                                                    centred_deviation / 10)));
  }
  std::vector<std::int32_t> ids{0, 1, 2, 3, 4, 5, 6, 7, 0, 2, 4, 6};
  std::vector<float> weights(ids.size(), 0.2F);
  const Expected expected =
      Oracle(model).expected(0, {{hidden.data(), num_tokens, 128, DType::bf16},
                                 {ids.data(), num_tokens, top_k, DType::i32},
                                 {weights.data(), num_tokens, top_k, DType::f32}});
  constexpr double upstream_tolerance = 2e-2;
  int within_upstream = 0;
  int outside_bound = 0;
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    within_upstream += std::abs(expected.values[i]) <= upstream_tolerance ? 1 : 0;
    outside_bound += std::abs(expected.values[i]) > expected.bound(i, 2) ? 1 : 0;
  }
  CHECK(within_upstream == num_tokens * 128);
  CHECK(outside_bound > num_tokens * 128 * 3 / 4);
}

}  // namespace moe::golden
