// The judge's every finding on one small cell: who agrees with whom, where, in which words.
// Digests are those of python3-xxhash over the written-out numbers.

#include <cmath>
#include <limits>

#include "golden/golden.h"
#include "kernels/base/bits.h"
#include "tests/catch.h"

namespace moe::golden {
namespace {

using Catch::Contains;

const Cell cell{.step = 3, .layer = 1, .rank = 2};
const std::vector<double> truth = {-9, 8, 0, 15, -2, 4, -6, 8};  // [2, 4]
constexpr std::uint64_t truth_bf16 = 0x8AF39438A6A7216E;
constexpr std::uint64_t truth_f32 = 0x5D9E6289AD13673B;
constexpr std::uint64_t truth_f16 = 0xEB951CADA29A2E99;
constexpr std::uint64_t nothing = 0xEF46DB3751D8E999;  // xxh64 of no bytes

// Four steps of two layers and three ranks, of which the cell is the last; it keeps both rows.
Golden golden_with(std::uint64_t digest) {
  const GoldenStep step{.tokens = {0, 0, 2}, .digests = {{0, 0, 0}, {nothing, 0, digest}}};
  return {
      .scenario = "teaching/first",
      .scenario_sha256 = "",
      .generator = "oracle.py 1",
      .steps = {step, step, step, step},
      .stored = {{cell, {{0, {0, 1, 2, 3}, {-9, 8, 0, 15}}, {1, {0, 1, 2, 3}, {-2, 4, -6, 8}}}}}};
}

// An output [2, 4] bf16.
struct Output {
  explicit Output(const std::vector<double>& values) {
    for (const double value : values) elements.push_back(to_bfloat16(static_cast<float>(value)));
  }
  Tensor tensor() { return {elements.data(), 2, 4, DType::bf16}; }

  std::vector<BFloat16> elements;
};

Expected true_oracle() { return {truth}; }

Expected no_oracle() { throw ContractError("the oracle was not needed"); }

std::vector<double> with(std::vector<double> values, std::size_t element, double value) {
  values[element] = value;
  return values;
}

}  // namespace

TEST_CASE("compare: counts elements and finds the first in row-major order") {
  Output output({-9, 8, 0, 15, -2, 5, -6, -8});
  const Comparison comparison = compare(truth, output.tensor());
  CHECK(comparison.rows == 2);
  CHECK(comparison.mismatches == 2);
  REQUIRE(comparison.first);
  CHECK(comparison.first->token == 1);
  CHECK(comparison.first->column == 1);
  CHECK(comparison.first->expected == 4);
  CHECK(comparison.first->actual == 5);
}

TEST_CASE("compare: zeros of either sign are equal, NaN equals nothing") {
  Output output(with(truth, 2, -0.0));
  CHECK(compare(truth, output.tensor()).mismatches == 0);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(compare(with(truth, 2, nan), output.tensor()).mismatches == 1);
  Output poisoned(with(truth, 2, nan));
  CHECK(compare(with(truth, 2, nan), poisoned.tensor()).mismatches == 1);
}

TEST_CASE("compare: another number of values is our own mistake") {
  Output output(truth);
  CHECK_THROWS_WITH(compare({1, 2}, output.tensor()), Contains("2 expected values for [2, 4]"));
}

TEST_CASE("judge: a right digest and right stored rows agree without the oracle") {
  Output output(truth);
  const Golden golden = golden_with(truth_bf16);
  const CellJudgement judgement = judge(&golden, cell, output.tensor(), no_oracle);
  CHECK(judgement.finding == Finding::agrees);
  CHECK(judgement.comparison.rows == 2);
  CHECK(judgement.comparison.mismatches == 0);
  CHECK(judgement.sentence.empty());
}

TEST_CASE("judge: every output type has its own digest") {
  std::vector<float> f32(truth.begin(), truth.end());
  std::vector<Float16> f16;
  for (const float value : f32) f16.push_back(to_float16(value));
  const Golden single = golden_with(truth_f32);
  const Golden half = golden_with(truth_f16);
  const Tensor f32_output{f32.data(), 2, 4, DType::f32};
  const Tensor f16_output{f16.data(), 2, 4, DType::f16};
  CHECK(judge(&single, cell, f32_output, no_oracle).finding == Finding::agrees);
  CHECK(judge(&half, cell, f16_output, no_oracle).finding == Finding::agrees);
  CHECK(judge(&single, cell, f16_output, true_oracle).finding == Finding::golden_digest_wrong);
  f32[0] = 9;
  f16[0] = to_float16(9);
  for (const Tensor& output : {f32_output, f16_output}) {
    const Golden& golden = output.dtype == DType::f32 ? single : half;
    CHECK_THAT(judge(&golden, cell, output, true_oracle).sentence,
               Contains("golden and oracle agree"));
  }
}

TEST_CASE("judge: a wrong output is located and both values are said") {
  Output output(with(with(truth, 6, 6), 7, -8));
  const Golden golden = golden_with(truth_bf16);
  for (const Golden* known : {&golden, static_cast<const Golden*>(nullptr)}) {
    const CellJudgement judgement = judge(known, cell, output.tensor(), true_oracle);
    CHECK(judgement.finding == Finding::output_differs);
    CHECK(judgement.comparison.mismatches == 2);
    CHECK_THAT(judgement.sentence, Contains("step 3, layer 1, rank 2, token 1, column 2: expected "
                                            "-6, got 6; 2 of 8 elements differ"));
    CHECK((judgement.sentence.find("golden and oracle agree") != std::string::npos) ==
          (known != nullptr));
  }
}

TEST_CASE("judge: any flipped bit of any element is an output that differs") {
  const Golden golden = golden_with(truth_bf16);
  for (std::size_t element = 0; element < truth.size(); ++element) {
    for (unsigned bit = 0; bit < 16; ++bit) {
      Output output(truth);
      output.elements[element].bits ^= static_cast<std::uint16_t>(1U << bit);
      for (const Golden* known : {&golden, static_cast<const Golden*>(nullptr)}) {
        const CellJudgement judgement = judge(known, cell, output.tensor(), true_oracle);
        CHECK(judgement.finding == Finding::output_differs);
        CHECK(judgement.comparison.mismatches == 1);
        const auto first = judgement.comparison.first.value();
        CHECK(first.token * 4 + first.column == static_cast<Count>(element));
      }
    }
  }
}

TEST_CASE("judge: a zero of the wrong sign differs, with and without a golden") {
  Output output(with(truth, 2, -0.0));
  const Golden golden = golden_with(truth_bf16);
  for (const Golden* known : {&golden, static_cast<const Golden*>(nullptr)}) {
    const CellJudgement judgement = judge(known, cell, output.tensor(), true_oracle);
    CHECK(judgement.finding == Finding::output_differs);
    CHECK_THAT(judgement.sentence, Contains("token 0, column 2: expected 0, got -0; 1 of 8"));
  }
}

TEST_CASE("judge: poison in the output differs even where the oracle has no number") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Output output(with(truth, 5, nan));
  const auto poisoned_oracle = [nan] { return Expected{with(truth, 5, nan)}; };
  const CellJudgement judgement = judge(nullptr, cell, output.tensor(), true_oracle);
  CHECK(judgement.finding == Finding::output_differs);
  CHECK_THAT(judgement.sentence, Contains("token 1, column 1: expected 4, got nan"));
  CHECK(judge(nullptr, cell, output.tensor(), poisoned_oracle).finding == Finding::output_differs);
}

TEST_CASE("judge: without a golden the oracle is asked and may agree") {
  Output output(truth);
  const CellJudgement judgement = judge(nullptr, cell, output.tensor(), true_oracle);
  CHECK(judgement.finding == Finding::agrees);
  CHECK(judgement.comparison.rows == 2);
  CHECK(judgement.sentence.empty());
}

TEST_CASE("judge: a wrong digest is the golden's fault when run and oracle agree") {
  Output output(truth);
  const Golden golden = golden_with(truth_bf16 ^ 1U);
  const CellJudgement judgement = judge(&golden, cell, output.tensor(), true_oracle);
  CHECK(judgement.finding == Finding::golden_digest_wrong);
  CHECK(judgement.comparison.mismatches == 0);
  CHECK(judgement.sentence ==
        "step 3, layer 1, rank 2: run and oracle agree: the golden is wrong; its digest is "
        "8af39438a6a7216f, the output's 8af39438a6a7216e; regenerate it with "
        "golden/make_golden.py scenarios/teaching/first.yaml");
}

TEST_CASE("judge: a wrong stored row is the golden's fault when run and digest agree") {
  Output output(truth);
  Golden golden = golden_with(truth_bf16);
  golden.stored[0].rows[1].values[3] = 9;
  const CellJudgement judgement = judge(&golden, cell, output.tensor(), no_oracle);
  CHECK(judgement.finding == Finding::golden_row_wrong);
  CHECK(judgement.comparison.mismatches == 1);
  CHECK(judgement.sentence ==
        "step 3, layer 1, rank 2, token 1, column 3: expected 9, got 8 (expected is what the "
        "golden stores); run and digest agree: the golden's stored row is wrong; regenerate it "
        "with golden/make_golden.py scenarios/teaching/first.yaml");
}

TEST_CASE("judge: a digest and a stored row that are both wrong are both named") {
  Output output(truth);
  Golden golden = golden_with(0);
  golden.stored[0].rows[0].values[1] = 7;
  const CellJudgement judgement = judge(&golden, cell, output.tensor(), true_oracle);
  CHECK(judgement.finding == Finding::golden_digest_wrong);
  CHECK_THAT(judgement.sentence, Contains("run and oracle agree: the golden is wrong") &&
                                     Contains("so is its stored row of token 0, column 1: "
                                              "stored 7, got 8"));
}

TEST_CASE("judge: where nobody agrees the oracle locates and the golden is doubted") {
  Output output(with(truth, 0, 9));
  const Golden golden = golden_with(truth_bf16 ^ 1U);
  const CellJudgement judgement = judge(&golden, cell, output.tensor(), true_oracle);
  CHECK(judgement.finding == Finding::output_differs);
  CHECK_THAT(judgement.sentence, Contains("the golden agrees with neither run nor oracle"));
}

TEST_CASE("judge: stored rows of other cells are not asked") {
  Output output(truth);
  Golden golden = golden_with(truth_bf16);
  golden.stored[0].cell.rank = 1;
  golden.stored[0].rows[0].values[0] = 1;
  CHECK(judge(&golden, cell, output.tensor(), no_oracle).finding == Finding::agrees);
}

TEST_CASE("judge: an idle rank has the digest of no bytes") {
  const Golden golden = golden_with(truth_bf16);
  const Tensor output{nullptr, 0, 4, DType::bf16};
  const auto empty_oracle = [] { return Expected{}; };
  const CellJudgement judgement = judge(&golden, {3, 1, 0}, output, no_oracle);
  CHECK(judgement.finding == Finding::agrees);
  CHECK(judgement.comparison.rows == 0);
  CHECK(judge(nullptr, {3, 1, 0}, output, empty_oracle).finding == Finding::agrees);
  CHECK(judge(&golden, {3, 1, 1}, output, empty_oracle).finding == Finding::golden_digest_wrong);
}

TEST_CASE("judge: a golden of another shape is refused with what it has") {
  Output output(truth);
  const Golden golden = golden_with(truth_bf16);
  const auto judged = [&](Cell other) {
    return judge(&golden, other, output.tensor(), true_oracle);
  };
  CHECK_THROWS_WITH(judged({4, 1, 2}), Contains("golden 'teaching/first': step 4, layer 1, rank 2: "
                                                "it has 4 steps; regenerate it"));
  CHECK_THROWS_WITH(judged({3, 2, 2}), Contains("it has 2 layers"));
  CHECK_THROWS_WITH(judged({3, 1, 3}), Contains("3 ranks"));
  CHECK_THROWS_WITH(judged({3, 1, 0}), Contains("it has 0 tokens, the output is [2, 4]"));
  CHECK_THROWS_AS(judged({-1, 1, 2}), ContractError);
}

TEST_CASE("judge: a stored row that does not fit the output is refused") {
  Output output(truth);
  Golden golden = golden_with(truth_bf16);
  golden.stored[0].rows[0].token = 2;
  CHECK_THROWS_WITH(judge(&golden, cell, output.tensor(), no_oracle), Contains("token 2"));
  golden.stored[0].rows[0].token = 0;
  golden.stored[0].rows[0].columns[3] = 4;
  CHECK_THROWS_AS(judge(&golden, cell, output.tensor(), no_oracle), ContractError);
  golden.stored[0].rows[0].columns = {0};
  CHECK_THROWS_AS(judge(&golden, cell, output.tensor(), no_oracle), ContractError);
}

TEST_CASE("judge: an oracle of another size and an output of ids are our own mistakes") {
  Output output(truth);
  const auto short_oracle = [] { return Expected{{1}}; };
  CHECK_THROWS_AS(judge(nullptr, cell, output.tensor(), short_oracle), ContractError);
  std::vector<std::int32_t> ids(8);
  const Tensor integers{ids.data(), 2, 4, DType::i32};
  CHECK_THROWS_WITH(judge(nullptr, cell, integers, true_oracle), Contains("not [2, 4] i32"));
}

}  // namespace moe::golden
