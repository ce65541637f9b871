// Where a scenario's experts live with a backend, and when they move.
// The rules themselves are unit_backends'; here a scenario's words become their request.

#include "sim/placement_choice.h"

#include "sim/backend_choice.h"
#include "sim/eplb_rules.h"
#include "tests/catch.h"

using namespace moe;
using namespace moe::sim;
using Catch::Contains;

namespace {

Scenario asking_for_round_robin() {
  Scenario scenario;
  scenario.world.tp = 2;
  scenario.model.num_experts = 9;
  scenario.model.num_expert_groups = 3;
  scenario.model.placement = Placement::round_robin;
  return scenario;
}

std::string warning_of(const Scenario& scenario) {
  return placement_in(scenario, Capabilities{}).warning;
}

}  // namespace

TEST_CASE("placement choice: without all2all kernels groups get round robin, on its own ranks") {
  const Scenario scenario = asking_for_round_robin();
  CHECK(warning_of(scenario).empty());
  CHECK(expert_map_in(scenario, Capabilities{}, 2).rank_of ==
        std::vector<int>{0, 1, 0, 1, 0, 1, 0, 1, 0});
}

TEST_CASE("placement choice: DP ranks have all2all kernels, which need routing tables") {
  Scenario scenario = asking_for_round_robin();
  scenario.world.dp = 2;
  CHECK_THAT(warning_of(scenario), Contains("no routing tables"));
  CHECK(expert_map_in(scenario, Capabilities{}, 2).rank_of ==
        std::vector<int>{0, 0, 0, 0, 0, 1, 1, 1, 1});
  const Capabilities with_tables{.needs_routing_tables = true};
  CHECK(placement_in(scenario, with_tables).placement == Placement::round_robin);
}

TEST_CASE("placement choice: the line that gets another placement is warned") {
  Scenario scenario = asking_for_round_robin();
  RunLine line;
  CHECK(backend_choice(scenario, line).decision.warnings.empty());
  scenario.eplb = EplbSpec{};
  const auto warnings = backend_choice(scenario, line).decision.warnings;
  REQUIRE(warnings.size() == 1);
  CHECK_THAT(warnings[0], Contains("EPLB places experts itself; using linear"));
}

TEST_CASE("placement choice: redundant experts have slots after the model's own") {
  Scenario scenario;
  scenario.world.dp = 2;
  scenario.model.num_redundant_experts = 4;
  scenario.eplb = EplbSpec{};
  CHECK(expert_map_in(scenario, Capabilities{}, 2).num_local_experts == std::vector<int>{6, 6});
}

TEST_CASE("eplb rules: platforms and selections that cannot balance are refused with their key") {
  Scenario scenario;
  const RunLine on_cpu{.platform = "cpu"};
  CHECK(why_without_eplb(scenario, on_cpu).why.empty());
  scenario.eplb = EplbSpec{};
  CHECK(why_without_eplb(scenario, {}).why.empty());
  CHECK(why_without_eplb(scenario, {.platform = "rocm"}).why.empty());
  CHECK(why_without_eplb(scenario, on_cpu).key == "platform");
  CHECK_THAT(why_without_eplb(scenario, on_cpu).why, Contains("cuda and rocm, not cpu"));
  CHECK(why_without_eplb(scenario, {.selection = Selection::monolithic}).key == "selection");
}

TEST_CASE("eplb rules: the steps since the last rearrangement") {
  Scenario scenario;
  CHECK(first_step_of_last_maps(scenario, 20) == 0);
  scenario.eplb = EplbSpec{{.window_size = 1, .step_interval = 8}, 1};
  CHECK(first_step_of_last_maps(scenario, 2) == 0);  // due after step 1, which is the last
  CHECK(first_step_of_last_maps(scenario, 3) == 2);
  CHECK(first_step_of_last_maps(scenario, 10) == 2);
  CHECK(first_step_of_last_maps(scenario, 11) == 10);
}
