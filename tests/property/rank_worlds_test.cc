// Every way to lay up to 8 ranks out over DP, TP, PCP and PP, with and without EP, sequence
// parallel or not, on every backend that takes it, however experts are selected and wherever rows
// are dispatched: the judge agrees, the checks are silent. Ranks are threads on the local
// communicator.

#include <map>

#include "kernels/base/text.h"
#include "sim/backend_choice.h"
#include "sim/deployment_rules.h"
#include "sim/registry.h"
#include "tests/catch.h"
#include "tests/judged_line.h"

using namespace moe;
using namespace moe::sim;

namespace {

std::string words_of(const WorldSpec& world, const RunLine& line) {
  return text(line.backend, " dp ", world.dp, " tp ", world.tp, " pp ", world.pp, " pcp ",
              world.pcp, " ep ", world.expert_parallel, " sp ", world.sequence_parallel, " ",
              name_of(line.selection), " ", name_of(line.dispatch_site));
}

// What went wrong, empty if nothing did.
std::string trouble(const LoadedScenario& loaded, const RunLine& line) {
  const Outcome outcome = judged_line(loaded, line);
  std::string found = word_of(outcome.verdict) == "passed" ? "" : reason_of(outcome.verdict);
  for (const auto& [check, said] : outcome.checks) {
    if (said != "ok") found += text(" ", check, ": ", said);
  }
  for (const std::string& check : checks_that_did_not_look(outcome))
    found += " not looked: " + check;
  return found;
}

bool can_have(const Scenario& scenario, const RunLine& line, const RegistryRow& row) {
  const Profile& profile = profile_named(line.profile);
  if (!backend_refusal(scenario, row.backend->capabilities, profile).empty()) return false;
  if (!rule_refusal(scenario, line).why.empty()) return false;  // such as sequence parallelism
  const Backend& resolved = *backend_choice(scenario, line).backend;  // of layers without all2all
  const bool is_late = line.selection == Selection::monolithic;
  if (is_late && !resolved.capabilities.takes_router_logits) return false;
  const bool in_line = line.dispatch_site == DispatchSite::kernel;
  const bool reaches_owners = resolved.capabilities.dispatch_reach == DispatchReach::owner_ranks;
  if (reaches_owners && !in_line) return false;
  if (scenario.world.dp == 1) return true;
  return resolved.capabilities.moves_between_dp_ranks &&
         (in_line || resolved.make_manager != nullptr);
}

// The run lines that a world can have.
std::vector<RunLine> lines_in(const Scenario& scenario) {
  std::vector<RunLine> lines;
  for (const RegistryRow& row : registry()) {
    for (const auto selection : {Selection::modular, Selection::monolithic}) {
      for (const auto site : {DispatchSite::kernel, DispatchSite::runner}) {
        RunLine line = line_with(row.name);
        line.selection = selection;
        line.dispatch_site = site;
        line.arrival_seed = lines.size();
        if (can_have(scenario, line, row)) lines.push_back(line);
      }
    }
  }
  return lines;
}

std::vector<WorldSpec> small_worlds() {
  std::vector<WorldSpec> worlds;
  for (int code = 0; code < 8 * 8 * 8 * 2 * 4; ++code) {
    const WorldSpec world{.dp = 1 + code % 8,
                          .tp = 1 + code / 8 % 8,
                          .pp = 1 + code / 512 % 2,
                          .pcp = 1 + code / 64 % 8,
                          .expert_parallel = code / 1024 % 2 == 0,
                          .sequence_parallel = code / 2048 == 1};
    const bool is_split = world.dp > 1 && world.tp > 1 && world.expert_parallel;
    if (world.num_ranks() > 8 || (world.sequence_parallel && !is_split)) continue;
    if (world.pcp > 1 && world.dp > 1) continue;
    worlds.push_back(world);
  }
  return worlds;
}

// Experts: 5, which few worlds divide evenly, or as many on every rank.
enum class ExpertCount { five, even };

Scenario scenario_in(const WorldSpec& world, ExpertKernel kernel,
                     ExpertCount count = ExpertCount::five) {
  Scenario scenario;
  scenario.name = "rank world";
  scenario.world = world;
  scenario.max_num_batched_tokens = 24;
  scenario.model = {.num_experts = count == ExpertCount::five ? 5 : 2 * world.expert_ranks(),
                    .top_k = 2,
                    .hidden_size = 11,
                    .intermediate_size = 840,  // every number of ranks up to 8 divides it
                    .num_layers = 2,
                    .kernel = kernel};
  scenario.defects.emplace();  // naive in its healthy form
  scenario.routing = MaskedRouting{0.2};
  scenario.steps = {{}, {}, {}};
  for (int rank = 0; rank < world.dp; ++rank) {
    scenario.steps[0].push_back(3 + rank);
    scenario.steps[1].push_back(rank == 0 ? 1 : 0);
    scenario.steps[2].push_back(rank % 2 == 0 ? 0 : 5);
  }
  return scenario;
}

// Nothing differs from the oracle's bytes, and each backend ran in most layouts.
void run_every_layout(ExpertCount count) {
  std::vector<std::string> troubles;
  std::map<std::string, int> num_runs;
  const std::vector<WorldSpec> worlds = small_worlds();
  for (const WorldSpec& world : worlds) {
    const ExpertKernel kernel =
        world.num_ranks() % 2 == 0 ? ExpertKernel::probe : ExpertKernel::exact_gemm;
    const LoadedScenario loaded(scenario_in(world, kernel, count));
    for (const RunLine& line : lines_in(loaded.scenario)) {
      ++num_runs[line.backend];
      const std::string found = trouble(loaded, line);
      if (!found.empty()) troubles.push_back(text(words_of(world, line), ": ", found));
    }
  }
  CHECK(troubles == std::vector<std::string>{});
  CHECK(worlds.size() == 94);
  // Enough for every backend: those that need as many experts on every rank have them here.
  for (const RegistryRow& row : registry()) {
    CAPTURE(row.name);
    CHECK((num_runs[std::string(row.name)] >= 80 || count == ExpertCount::five));
  }
}

}  // namespace

TEST_CASE("rank worlds: every layout of up to 8 ranks gives the oracle's bytes") {
  run_every_layout(ExpertCount::even);
}

TEST_CASE("rank worlds: every layout of up to 8 ranks with five experts, which few divide") {
  run_every_layout(ExpertCount::five);
}

TEST_CASE("rank worlds: sharded experts through the real products on an even world") {
  WorldSpec world{.dp = 2, .tp = 2, .expert_parallel = false};
  const LoadedScenario loaded(scenario_in(world, ExpertKernel::exact_gemm));
  for (const RunLine& line : lines_in(loaded.scenario)) CHECK(trouble(loaded, line) == "");
}

namespace {

// Routers that choose other experts for a row of zeros than the first ones, and some that do not.
// Groups and a bias: sigmoid, of which a half and 64ths have exact sums.
std::vector<ModelSpec> routers() {
  ModelSpec plain;
  plain.top_k = 2;
  ModelSpec biased = plain;
  biased.correction_bias = true;
  ModelSpec sigmoid = biased;
  sigmoid.scoring = Scoring::sigmoid;
  sigmoid.renormalize = false;
  ModelSpec grouped = sigmoid;
  grouped.num_expert_groups = 2;
  grouped.topk_group = 1;
  ModelSpec unbiased_groups = grouped;
  unbiased_groups.correction_bias = false;
  ModelSpec indivisible = biased;  // vLLM falls back to softmax without groups
  indivisible.scoring = Scoring::sigmoid;
  indivisible.num_expert_groups = 3;
  indivisible.topk_group = 2;
  return {plain, biased, sigmoid, grouped, unbiased_groups, indivisible};
}

Scenario routed_by(const ModelSpec& router, Scenario scenario) {
  scenario.routing = LogitsRouting{.spread = 4.0};
  scenario.model.scoring = router.scoring;
  scenario.model.renormalize = router.renormalize;
  scenario.model.num_expert_groups = router.num_expert_groups;
  scenario.model.topk_group = router.topk_group;
  scenario.model.correction_bias = router.correction_bias;
  return scenario;
}

}  // namespace

TEST_CASE("rank worlds: padding chooses what the layer's router makes of rows of zeros") {
  std::vector<std::string> troubles;
  std::map<std::string, int> num_runs;
  for (const WorldSpec& world : small_worlds()) {
    if (world.pp > 1 || world.num_ranks() > 4) continue;
    if (!world.sequence_parallel && world.pcp == 1) continue;
    for (const ModelSpec& router : routers()) {
      const Scenario plain = scenario_in(world, ExpertKernel::probe, ExpertCount::even);
      const LoadedScenario loaded(routed_by(router, plain));
      for (const RunLine& line : lines_in(loaded.scenario)) {
        ++num_runs[line.backend];
        const std::string found = trouble(loaded, line);
        if (!found.empty()) troubles.push_back(text(words_of(world, line), ": ", found));
      }
    }
  }
  CHECK(troubles == std::vector<std::string>{});
  for (const RegistryRow& row : registry()) {
    CAPTURE(row.name);
    CHECK(num_runs[std::string(row.name)] >= 12);
  }
}

TEST_CASE("rank worlds: a runner cannot dispatch with a backend that has no dispatch in line") {
  Scenario scenario = scenario_in({.dp = 2}, ExpertKernel::probe);
  RunLine line;
  line.backend = "skeleton";
  line.communicator = "local";
  line.dispatch_site = DispatchSite::runner;
  scenario.runs = {line};
  scenario.written["runs[0].dispatch_site"] = {"s.yaml:9:5", "runner"};
  const LoadedScenario loaded(scenario);
  CHECK_THROWS_WITH(trouble(loaded, line),
                    Catch::Contains("s.yaml:9:5: runs[0].dispatch_site: backend skeleton has no "
                                    "dispatch outside its kernel"));
}
