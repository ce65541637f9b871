// Faults of placement and EPLB: the check that must name each one does, with the expert, the slot,
// the layer and the rank. Worlds in which they act are here; scenarios of them in scenarios/faults.

#include "sim/faults.h"
#include "tests/catch.h"
#include "tests/judged_line.h"

using namespace moe;
using namespace moe::sim;
using Catch::Contains;

namespace {

Scenario world(const WorldSpec& spec, int num_experts) {
  Scenario scenario;
  scenario.name = "misplaced experts";
  scenario.world = spec;
  scenario.model.num_experts = num_experts;
  scenario.model.hidden_size = 48;
  scenario.model.num_layers = 2;
  scenario.routing = SkewedRouting{1.5};
  scenario.steps = {{7}, {5}, {9}};
  for (std::vector<Count>& step : scenario.steps) {
    for (int rank = 1; rank < spec.dp; ++rank) step.push_back(2 * rank + 1);
  }
  return scenario;
}

Scenario balanced(const WorldSpec& spec) {
  Scenario scenario = world(spec, 8);
  scenario.model.num_redundant_experts = 4;
  scenario.eplb = EplbSpec{{.window_size = 4, .step_interval = 4}, 1};
  return scenario;
}

// What the check says of the fault, on local ranks and on Gloo alike.
std::string said_by(const std::string& check, Scenario scenario, const std::string& fault) {
  const LoadedScenario loaded(std::move(scenario));
  const RunLine line{.communicator = GENERATE("local", "gloo")};
  const Outcome outcome = judged_line(loaded, line, {parsed_fault(fault)});
  CHECK(exit_code_of(outcome.verdict) == 1);
  CHECK_THAT(reason_of(outcome.verdict), !Contains("SURVIVED"));
  CHECK_THAT(reason_of(outcome.verdict), Contains(check));
  return outcome.checks.at(check);
}

// Why a fault is not tried in a world.
std::string skipped_for(Scenario scenario, const std::string& fault) {
  const LoadedScenario loaded(std::move(scenario));
  const RunLine line{.communicator = "local"};
  const Outcome outcome = judged_line(loaded, line, {parsed_fault(fault)});
  CHECK(word_of(outcome.verdict) == "skipped");
  return reason_of(outcome.verdict);
}

}  // namespace

TEST_CASE("placement faults: MF-17, the remainder on the last ranks, is named by MAP alone") {
  CHECK(said_by("MAP", world({.dp = 4}, 10), "MF-17") ==
        "placement as loaded: expert 2 of 10 lives in slot 0 of rank 1, the rule for 4 ranks says "
        "slot 2 of rank 0");
}

TEST_CASE("placement faults: MF-18, weights by another map, is named by MAP with slot and expert") {
  CHECK_THAT(said_by("MAP", world({.dp = 2}, 9), "MF-18"),
             Contains("weights as loaded: layer 0, rank 0: slot 1 does not hold the weights of "
                      "expert 1"));
}

TEST_CASE(
    "placement faults: MF-45, an overwritten buffer, is named by MAP in the layer it spoils") {
  CHECK_THAT(said_by("MAP", balanced({.dp = 2}), "MF-45"),
             Contains("weights after step 0: layer 0, rank 0: slot"));
}

TEST_CASE("placement faults: MF-46, a commit lost on one rank, is named by MAP with the rank") {
  CHECK(said_by("MAP", balanced({.dp = 4}), "MF-46:rank=2") ==
        "maps after step 0: layer 0: EP rank 2 holds another map than the others");
}

TEST_CASE("placement faults: MF-46 of two ranks leaves nobody in the right") {
  CHECK_THAT(said_by("MAP", balanced({.dp = 2}), "MF-46:rank=0"),
             Contains("the EP ranks hold different maps"));
}

TEST_CASE("placement faults: MF-47, a plan never applied, is named by OBS with both experts") {
  CHECK_THAT(said_by("OBS", balanced({.dp = 2}), "MF-47"),
             Contains("plan after step 0: layer 0: physical expert") &&
                 Contains("is a replica of expert") && Contains("what was computed asks for"));
}

TEST_CASE("placement faults: MF-48, counted padding, is named by OBS with both loads") {
  CHECK_THAT(said_by("OBS", balanced({.dp = 2, .tp = 2, .sequence_parallel = true}), "MF-48"),
             Contains("loads after step 0: layer 0, physical expert") &&
                 Contains("the routers recorded") && Contains("the experts computed"));
}

TEST_CASE(
    "placement faults: MF-55, a strided send, is refused by checksum, and OBS names who saw") {
  CHECK_THAT(said_by("OBS", balanced({.dp = 2}), "MF-55:rank=0"),
             Contains("plan after step 0: layer 0: physical expert") &&
                 Contains("EP rank 1 received wrong weights, so that all keep the old maps"));
}

TEST_CASE("placement faults: MF-64, a pick by rank, is named by PROV with both ids") {
  CHECK_THAT(said_by("PROV", balanced({.tp = 2}), "MF-64"),
             Contains("rank 1") && Contains("came with experts") && Contains("that token chose"));
}

TEST_CASE("placement faults: those that have nothing to act on are skipped with the reason") {
  CHECK_THAT(skipped_for(world({.dp = 2}, 8), "MF-17"), Contains("8 experts divide by the 2"));
  Scenario with_replicas = balanced({.dp = 4});
  with_replicas.model.num_experts = 10;
  with_replicas.model.num_redundant_experts = 2;
  CHECK_THAT(skipped_for(with_replicas, "MF-17"), Contains("12 experts divide by the 4"));
  CHECK_THAT(skipped_for(world({.dp = 2}, 2), "MF-18"), Contains("both placements are the same"));
  CHECK_THAT(skipped_for(balanced({.dp = 2}), "MF-45:layer=1"), Contains("no layer follows"));
  CHECK_THAT(skipped_for(world({.dp = 2}, 8), "MF-46"), Contains("experts are not balanced"));
  CHECK_THAT(skipped_for(balanced({.dp = 2}), "MF-48"), Contains("no rows are padding"));
  CHECK_THAT(skipped_for(world({.dp = 2}, 8), "MF-64"), Contains("one replica"));
  Scenario rare = balanced({.dp = 2});
  rare.eplb->settings.step_interval = 100;
  CHECK_THAT(skipped_for(rare, "MF-47"), Contains("no step follows a rearrangement"));
}
