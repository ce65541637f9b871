// Explanations against the layer: every token of a world is explained, the explained outputs become
// a golden, and the layer is judged by it, byte for byte.

#include <cmath>

#include "kernels/base/bits.h"
#include "kernels/base/digest.h"
#include "sim/explanation.h"
#include "sim/small_worlds.h"
#include "tests/catch.h"
#include "tests/judged_line.h"

using namespace moe;
using namespace moe::sim;
using Catch::Contains;

namespace {

// The explained outputs of a cell, as its rows' bytes.
std::vector<std::byte> explained_bytes(const ExplainedWorld& world, golden::Cell cell) {
  const Count tokens = world.inputs.tokens(cell.step)[static_cast<std::size_t>(cell.rank)];
  std::vector<std::byte> bytes;
  for (Count token = 0; token < tokens; ++token) {
    for (const double value : explain_token(world, cell, token).output) {
      for_row_type(world.scenario.model.dtype, [&](auto element) {
        round_to(static_cast<float>(value), element);
        const auto raw = std::as_bytes(std::span(&element, 1));
        bytes.insert(bytes.end(), raw.begin(), raw.end());
      });
    }
  }
  return bytes;
}

golden::Golden explained_golden(const ExplainedWorld& world) {
  golden::Golden golden{.scenario = world.scenario.name};
  for (int step = 0; step < world.inputs.num_steps(); ++step) {
    const RowCounts tokens = world.inputs.tokens(step);
    golden::GoldenStep recorded{.tokens = {tokens.begin(), tokens.end()}};
    for (int layer = 0; layer < world.inputs.num_layers(); ++layer) {
      recorded.digests.emplace_back();
      for (int rank = 0; rank < static_cast<int>(tokens.size()); ++rank) {
        recorded.digests.back().push_back(digest_of(explained_bytes(world, {step, layer, rank})));
      }
    }
    golden.steps.push_back(std::move(recorded));
  }
  return golden;
}

Outcome judged_by_explanations(LoadedScenario& loaded, const RunLine& line) {
  loaded.golden = explained_golden(explained_world(loaded.scenario, loaded.inputs, line.backend));
  return judged_line(loaded, line);
}

// A small world whose experts stay where they are: of others nothing is told yet.
Scenario explainable_world(std::uint64_t seed, Count index) {
  Scenario scenario = small_world(seed, index);
  scenario.eplb.reset();
  scenario.model.num_redundant_experts = 0;
  return scenario;
}

}  // namespace

TEST_CASE("explain: experts that move are refused with the key") {
  Scenario scenario = plain_small_world({.ranks = 2, .experts = 4, .top_k = 2});
  scenario.steps = {{1, 1}};
  scenario.eplb = EplbSpec{};
  const WorldInputs inputs(scenario);
  const ExplainedWorld world = explained_world(scenario, inputs, "allgather_reducescatter");
  CHECK_THROWS_WITH(explain_token(world, {0, 0, 0}, 0), Contains("(eplb), which is not told yet"));
}

TEST_CASE("explain: what is explained is what the layer does, in every byte") {
  int judged = 0;
  for (Count index = 0; index < 40; ++index) {
    LoadedScenario loaded(explainable_world(11, index));
    for (const RunLine& line : lines_for_small_world(loaded.scenario, 1, {})) {
      const Outcome outcome = judged_by_explanations(loaded, line);
      INFO(small_world_text(loaded.scenario) << " " << line.backend);
      CHECK(word_of(outcome.verdict) == "passed");
      CHECK(outcome.judge == Judge::golden);
      ++judged;
    }
  }
  CHECK(judged >= 80);
}

TEST_CASE("explain: tensor and sequence parallelism, factors and shared experts are told as done") {
  for (const bool is_sequence_parallel : {false, true}) {
    for (const int num_shared : {0, 1}) {
      Scenario made = plain_small_world({.ranks = 2, .experts = 5, .top_k = 2});
      made.world.tp = 2;
      made.world.sequence_parallel = is_sequence_parallel;
      made.model.num_shared_experts = num_shared;
      made.model.scale = num_shared == 0 ? 1 : 2.5;
      made.steps = {{5, 2}, {1, 0}};
      LoadedScenario loaded(std::move(made));
      RunLine line;
      line.communicator = "local";
      CHECK(word_of(judged_by_explanations(loaded, line).verdict) == "passed");
    }
  }
}

TEST_CASE("explain: backends that send to owners are told as they do it beside TP and under SP") {
  const std::vector<std::pair<std::string, std::string>> backends = {
      {"deepep_high_throughput", "post-40412"},
      {"deepep_low_latency", "post-40412"},
      {"nixl_ep", "post-40412"},
      {"mori_high_throughput", "late-2026"},
      {"flashinfer_nvlink_one_sided", "late-2026"}};
  for (const auto& [backend, profile] : backends) {
    for (const bool is_sequence_parallel : {false, true}) {
      Scenario made = plain_small_world({.ranks = 2, .experts = 8, .top_k = 3});
      made.world.tp = 2;
      made.world.sequence_parallel = is_sequence_parallel;
      made.routing = MaskedRouting{0.3};
      made.model.num_shared_experts = 1;
      made.max_num_batched_tokens = 12;
      made.steps = {{5, 2}, {1, 0}};
      LoadedScenario loaded(std::move(made));
      RunLine line = line_with(backend);
      line.profile = profile;
      INFO(backend << (is_sequence_parallel ? " under sequence parallelism" : ""));
      CHECK(reason_of(judged_by_explanations(loaded, line).verdict) == "");
    }
  }
}

TEST_CASE("explain: a golden of explanations can fail") {
  LoadedScenario loaded(explainable_world(11, 3));
  const RunLine line = lines_for_small_world(loaded.scenario, 1, {}).front();
  loaded.golden = explained_golden(explained_world(loaded.scenario, loaded.inputs, line.backend));
  loaded.golden->steps[0].digests[0][0] ^= 1U;
  CHECK(word_of(judged_line(loaded, line).verdict) == "failed");
}

TEST_CASE("explain: the replayed recipe and the oracle agree in exact worlds") {
  for (Count index = 0; index < 40; ++index) {
    const Scenario scenario = explainable_world(12, index);
    const WorldInputs inputs(scenario);
    const ExplainedWorld world = explained_world(scenario, inputs, "allgather_reducescatter");
    for (int rank = 0; rank < scenario.world.dp; ++rank) {
      if (inputs.tokens(0)[static_cast<std::size_t>(rank)] == 0) continue;
      const TokenExplanation token = explain_token(world, {0, 0, rank}, 0);
      CHECK(token.output == token.expected);
    }
  }
}

TEST_CASE("explain: rows sent, rows that meet an expert, loads") {
  Scenario scenario = plain_small_world({.ranks = 2, .experts = 4, .top_k = 2});
  scenario.routing = ListedRouting{{{0, 1}, {0, 2}, {3, -1}}};
  scenario.steps = {{3, 1}};
  const WorldInputs inputs(scenario);
  const StepExplanation step =
      explain_step(explained_world(scenario, inputs, "allgather_reducescatter"), 0, 0);
  using Table = std::vector<std::vector<Count>>;
  CHECK(step.sent == Table{{3, 3}, {1, 1}});
  CHECK(step.met == Table{{2, 2}, {1, 0}});  // token 0 of rank 1 is the fourth: {0, 1} again
  CHECK(step.choices_of == std::vector<Count>{3, 2, 1, 1});
  CHECK(step.masked == 1);
}

TEST_CASE("explain: scores come with the choices that they led to, the best of the others next") {
  Scenario scenario = plain_small_world({.ranks = 2, .experts = 6, .top_k = 2});
  scenario.routing = LogitsRouting{.spread = 3, .ties = 1};
  scenario.steps = {{9, 8}};
  const WorldInputs inputs(scenario);
  const ExplainedWorld world = explained_world(scenario, inputs, "allgather_reducescatter");
  int ties = 0;
  for (Count token = 0; token < 8; ++token) {
    const TokenExplanation explained = explain_token(world, {0, 0, 1}, token);
    REQUIRE(explained.scores.size() == 6);
    double sum = 0;
    for (std::size_t i = 0; i < 6; ++i) {
      const ExplainedScore& score = explained.scores[i];
      sum += score.score;
      if (i < 2) CHECK(score.expert == explained.choices[i].expert);
      CHECK(score.slot == (i < 2 ? static_cast<int>(i) : -1));
      if (i == 0) continue;
      const ExplainedScore& better = explained.scores[i - 1];
      const bool is_tie = better.score == score.score;
      ties += is_tie ? 1 : 0;
      CHECK(better.score >= score.score);
      CHECK((!is_tie || better.expert < score.expert));
      CHECK(score.score / better.score == Approx(std::exp(score.logit - better.logit)));
    }
    CHECK(sum == Approx(1));
  }
  CHECK(ties > 0);
}

TEST_CASE("explain: a step's text counts every rank of tensor-parallel groups") {
  Scenario scenario = plain_small_world({.ranks = 2, .experts = 4, .top_k = 2});
  scenario.world.tp = 2;
  scenario.routing = ListedRouting{{{0, 3}}};
  scenario.steps = {{3, 0}};
  const WorldInputs inputs(scenario);
  const ExplainedWorld world = explained_world(scenario, inputs, "allgather_reducescatter");
  const std::string told = step_explanation_text(world, explain_step(world, 0, 0));
  CHECK_THAT(told, Contains("ranks 0 to 1        3 tokens\n"));
  CHECK_THAT(told, Contains("ranks 2 to 3        0 tokens: idle"));
  CHECK_THAT(told, Contains("rank 3        3  ####"));
}
