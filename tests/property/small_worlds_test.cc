// Every backend in every small world: the judge agrees, every check is silent, all bytes are
// counted. Worlds are scenarios without a file; ranks are threads on the local communicator.

#include <algorithm>
#include <numeric>

#include "sim/small_worlds.h"
#include "tests/catch.h"
#include "tests/judged_line.h"

using namespace moe;
using namespace moe::sim;

namespace {

// What went wrong in a world, empty if nothing did.
std::string trouble(const Scenario& scenario) {
  for (const std::string& backend : backends_for(scenario, {})) {
    const Outcome outcome = judged_line(scenario, line_with(backend));
    if (word_of(outcome.verdict) != "passed") {
      return backend + ": " + reason_of(outcome.verdict);
    }
    for (const auto& [check, said] : outcome.checks) {
      if (said != "ok") return check + ": " + said;
    }
    for (const std::string& check : checks_that_did_not_look(outcome))
      return check + " did not look";
  }
  return "";
}

// All ways to give `ranks` ranks 0, 1 or 2 tokens, at least one in all.
std::vector<std::vector<Count>> token_counts(int ranks) {
  std::vector<std::vector<Count>> all{{}};
  for (int rank = 0; rank < ranks; ++rank) {
    std::vector<std::vector<Count>> longer;
    for (const std::vector<Count>& one : all) {
      for (Count tokens = 0; tokens <= 2; ++tokens) {
        longer.push_back(one);
        longer.back().push_back(tokens);
      }
    }
    all = std::move(longer);
  }
  std::erase_if(all, [](const auto& one) { return std::ranges::count(one, 0) == std::ssize(one); });
  return all;
}

Scenario world(int ranks, int experts, int top_k) {
  return plain_small_world({.ranks = ranks, .experts = experts, .top_k = top_k});
}

}  // namespace

TEST_CASE("small worlds: every backend, 1 to 3 ranks with 0 to 2 tokens, top-1 and top-2 of 4") {
  std::vector<std::string> troubles;
  for (const int ranks : {1, 2, 3}) {
    for (const int top_k : {1, 2}) {
      Scenario scenario = world(ranks, 4, top_k);
      scenario.routing = MaskedRouting{0.2};
      scenario.steps = token_counts(ranks);  // all of them as the steps of one run
      for (const auto kernel : {ExpertKernel::probe, ExpertKernel::exact_gemm}) {
        scenario.model.kernel = kernel;
        troubles.push_back(trouble(scenario));
      }
    }
  }
  std::erase(troubles, "");
  CHECK(troubles == std::vector<std::string>{});
}

TEST_CASE("small worlds: experts that do not divide, and ranks without any expert") {
  for (const int experts : {1, 3, 5, 10}) {
    Scenario scenario = world(4, experts, 1);
    scenario.routing = UniformRouting{};
    scenario.steps = {{1, 0, 0, 9}, {7, 3, 0, 5}};
    CHECK(trouble(scenario) == "");
  }
}

TEST_CASE("small worlds: every row type carries the same whole numbers") {
  for (const DType dtype : {DType::bf16, DType::f16, DType::f32}) {
    Scenario scenario = world(3, 7, 3);
    scenario.model.dtype = dtype;
    scenario.model.num_layers = 2;
    scenario.routing = SkewedRouting{1.5};
    scenario.steps = {{7, 3, 0}, {1, 0, 4}};
    CHECK(trouble(scenario) == "");
  }
}

TEST_CASE("small worlds: the same world twice has the same facts") {
  Scenario scenario = world(3, 7, 3);
  scenario.routing = HotRankRouting{1, 0.7};
  scenario.steps = {{7, 3, 0}, {1, 0, 4}};
  const Outcome first = judged_line(scenario, line_with("allgather_reducescatter"));
  const Outcome second = judged_line(scenario, line_with("allgather_reducescatter"));
  CHECK(first.traffic.bytes == second.traffic.bytes);
  CHECK(first.rows == second.rows);
  CHECK(word_of(second.verdict) == "passed");
}

TEST_CASE("small worlds: made-up ones pass everywhere and reach the corners") {
  int idle_ranks = 0;
  int uneven_experts = 0;
  int odd_widths = 0;
  int masked = 0;
  int balanced = 0;
  for (Count index = 0; index < 150; ++index) {
    const Scenario scenario = small_world(2, index);
    INFO(small_world_text(scenario));
    CHECK(trouble(scenario) == "");
    CHECK(scenario.world.dp <= 4);
    Count tokens = 0;
    for (const auto& step : scenario.steps) {
      tokens += std::accumulate(step.begin(), step.end(), Count{0});
      idle_ranks += std::ranges::count(step, 0) > 0 ? 1 : 0;
    }
    CHECK((tokens >= 1 && tokens <= 16));
    uneven_experts += scenario.model.num_experts % scenario.world.dp != 0 ? 1 : 0;
    odd_widths += scenario.model.hidden_size % 2 != 0 ? 1 : 0;
    balanced += scenario.eplb ? 1 : 0;
    masked += std::holds_alternative<MaskedRouting>(scenario.routing) ? 1 : 0;
  }
  CHECK(std::min({idle_ranks, uneven_experts, odd_widths, masked, balanced}) >= 10);
}

TEST_CASE("small worlds: every scheme whose codes lose nothing, on every backend that takes it") {
  std::vector<std::string> troubles;
  for (const QuantizationScheme& scheme : quant_schemes) {
    if (scheme.activations == QuantRecipe::none) continue;
    for (const auto kernel : {ExpertKernel::probe, ExpertKernel::exact_gemm}) {
      Scenario scenario = world(3, 5, 2);
      scenario.model.hidden_size = 130;  // a block of 128, and one of 2
      scenario.model.intermediate_size = 33;
      scenario.model.kernel = kernel;
      scenario.model.quantization = scheme;
      if (!why_not_exact(scenario.model).empty()) continue;
      scenario.routing = MaskedRouting{0.2};
      scenario.steps = {{3, 0, 5}, {0, 1, 0}, {2, 2, 2}};
      troubles.push_back(trouble(scenario));
    }
  }
  CHECK(troubles.size() >= 12);
  std::erase(troubles, "");
  CHECK(troubles == std::vector<std::string>{});
}
