// Laws of distribution-layer.md, 19, that need a whole layer: outputs of two scenarios or two lines
// held against each other, for every backend that can take the world. A test's name starts with the
// law's number.

#include <map>

#include "kernels/base/text.h"
#include "sim/back_check.h"
#include "sim/backend_choice.h"
#include "sim/deployment_rules.h"
#include "sim/registry.h"
#include "tests/catch.h"
#include "tests/judged_line.h"

using namespace moe;
using namespace moe::sim;

namespace {

// Even experts and whole capacities, so that most libraries take it.
Scenario scenario_in(const WorldSpec& world) {
  Scenario scenario;
  scenario.name = "law";
  scenario.world = world;
  scenario.max_num_batched_tokens = 24;
  scenario.model = {.num_experts = 2 * world.expert_ranks(),
                    .top_k = 2,
                    .hidden_size = 11,
                    .intermediate_size = 24,
                    .num_layers = 2,
                    .kernel = ExpertKernel::exact_gemm};
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

bool can_take(const Scenario& scenario, const RunLine& line) {
  const BackendChoice choice = backend_choice(scenario, line);
  if (choice.backend == nullptr || !rule_refusal(scenario, line).why.empty()) return false;
  const Capabilities& has = choice.backend->capabilities;
  if (scenario.world.dp > 1 && !has.moves_between_dp_ranks) return false;
  return backend_refusal(scenario, has, profile_named(line.profile)).empty();
}

// Every backend in both scenarios: passed, and the same outputs. RETURNS how many took both.
int same_outputs(const Scenario& one, const Scenario& other) {
  int num_backends = 0;
  for (const RegistryRow& row : registry()) {
    const RunLine line = line_with(row.name);
    if (!can_take(one, line) || !can_take(other, line)) continue;
    ++num_backends;
    const Outcome first = judged_line(one, line);
    const Outcome second = judged_line(other, line);
    INFO(row.name << " dp " << one.world.dp << " tp " << one.world.tp);
    CHECK(reason_of(first.verdict) == "");
    CHECK(reason_of(second.verdict) == "");
    CHECK(!first.outputs.empty());
    CHECK(output_difference(first.outputs, second.outputs) == "");
  }
  return num_backends;
}

std::vector<WorldSpec> layouts() {
  std::vector<WorldSpec> worlds;
  for (int dp = 1; dp <= 4; ++dp) {
    for (int tp = 1; tp <= 4; ++tp) {
      if (dp * tp <= 8) worlds.push_back({.dp = dp, .tp = tp});
    }
  }
  return worlds;
}

}  // namespace

TEST_CASE("I11: all backends give the same bytes in every layout of DP and TP ranks") {
  for (const WorldSpec& world : layouts()) {
    const Scenario scenario = scenario_in(world);
    std::optional<Outcome> first;
    int num_backends = 0;
    for (const RegistryRow& row : registry()) {
      const RunLine line = line_with(row.name);
      if (!can_take(scenario, line)) continue;
      ++num_backends;
      const Outcome outcome = judged_line(scenario, line);
      INFO(row.name << " dp " << world.dp << " tp " << world.tp);
      CHECK(reason_of(outcome.verdict) == "");
      if (!first) first = outcome;
      CHECK(output_difference(first->outputs, outcome.outputs) == "");
    }
    CHECK(num_backends >= 3);
  }
}

TEST_CASE("I12: sequence parallelism on gives what it gives off, whatever the padding") {
  int num_runs = 0;
  for (WorldSpec world : layouts()) {
    if (world.dp == 1 || world.tp == 1) continue;
    const Scenario off = scenario_in(world);
    world.sequence_parallel = true;
    num_runs += same_outputs(off, scenario_in(world));
  }
  CHECK(num_runs >= 30);
}

TEST_CASE("I15: a name that falls back gives its target's bytes, and exactly one warning") {
  int num_runs = 0;
  const Scenario scenario = scenario_in({.dp = 2});
  for (const Profile& profile : all_profiles()) {
    for (const auto& [name, replaced_by] : replacements_in(profile)) {
      RunLine line = line_with(replaced_by);
      line.profile = profile.name;
      const Outcome target = judged_line(scenario, line);
      line.backend = name;
      const Outcome fallen = judged_line(scenario, line);
      INFO(name << " under " << profile.name);
      CHECK(reason_of(fallen.verdict) == "");
      CHECK(fallen.resolved_backend == target.resolved_backend);
      CHECK(fallen.warnings.size() == target.warnings.size() + 1);
      CHECK(target.warnings.empty());
      CHECK(output_difference(target.outputs, fallen.outputs) == "");
      ++num_runs;
    }
  }
  CHECK(num_runs >= 8);
}

TEST_CASE("I20: router weights on the input are router weights on the output, for top-1") {
  int num_runs = 0;
  for (const WorldSpec& world : layouts()) {
    Scenario after = scenario_in(world);
    after.model.top_k = 1;
    after.model.kernel = ExpertKernel::probe;  // linear: the weight may come first or last
    Scenario before = after;
    before.model.router_weight_on_input = true;
    num_runs += same_outputs(after, before);
  }
  CHECK(num_runs >= 50);
}

TEST_CASE("I27: one sum over TP more is seen in every layout and by every backend that has one") {
  std::map<std::string, int> num_runs;
  for (const WorldSpec& world : layouts()) {
    if (world.tp == 1) continue;
    const Scenario scenario = scenario_in(world);
    for (const RegistryRow& row : registry()) {
      const RunLine line = line_with(row.name);
      if (!can_take(scenario, line)) continue;
      const Outcome outcome = judged_line(scenario, line, {{"MF-01", {}}});
      INFO(row.name << " dp " << world.dp << " tp " << world.tp);
      CHECK(word_of(outcome.verdict) == "failed");
      CHECK(outcome.checks.at("PART") != "ok");
      ++num_runs[std::string(row.name)];
    }
  }
  CHECK(num_runs.size() == registry().size());
}
