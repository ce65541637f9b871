// MAP alone: the rule against maps that keep and break it, weights in the wrong slot, maps that are
// no bijection. Over ranks it is tested with worlds, in tests/fault and tests/property.

#include "sim/map_check.h"

#include "kernels/base/text.h"
#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"

using namespace moe;
using namespace moe::sim;
using namespace moe::test;
using Catch::Contains;
using Ints = std::vector<int>;

namespace {

const MapMoment as_loaded = {{0, 0, 0, 0}, "as loaded"};

// The first sentence of the ledger, "" where it is silent.
std::string first_of(const CheckLedger& ledger) {
  return ledger.findings().empty() ? "" : ledger.findings().front().sentence;
}

std::string said_of(const ExpertMap& map, Placement placement) {
  CheckLedger ledger;
  check_placement(map, placement, as_loaded, ledger);
  CHECK(ledger.counts().contains("MAP"));
  return first_of(ledger);
}

Scenario plain(ExpertKernel kernel) {
  Scenario scenario;
  scenario.model.kernel = kernel;
  scenario.model.hidden_size = 12;
  scenario.model.intermediate_size = 4;
  scenario.steps = {{1}};
  return scenario;
}

// Slots that hold some experts' weights, and what the map says of them.
std::string said_of_slots(ExpertKernel kernel, const Ints& held, const Ints& experts) {
  const Scenario scenario = plain(kernel);
  const WorldInputs inputs(scenario);
  const auto memory = make_host_memory(Poison::on);
  const ExpertWeights weights = inputs.expert_weights(0, held, *memory);
  ExpertDigests digests(inputs, *memory);
  CheckLedger ledger;
  check_slots({0, 3, experts, weights}, SlotsLookedAt::all, digests, as_loaded, ledger);
  return first_of(ledger);
}

}  // namespace

TEST_CASE("MAP: the layer's own maps keep the rule, for every small number of experts and ranks") {
  for (int num_experts = 1; num_experts <= 20; ++num_experts) {
    for (int num_ranks = 1; num_ranks <= 6; ++num_ranks) {
      for (const Placement placement : {Placement::linear, Placement::round_robin}) {
        INFO(num_experts << " on " << num_ranks);
        CHECK(said_of(determine_expert_map(num_experts, num_ranks, placement), placement) == "");
      }
    }
  }
}

TEST_CASE("MAP: the other placement, and an expert too far, are named with both homes") {
  CHECK(said_of(determine_expert_map(4, 2, Placement::round_robin), Placement::linear) ==
        "placement as loaded: expert 1 of 4 lives in slot 0 of rank 1, the rule for 2 ranks says "
        "slot 1 of rank 0");
  ExpertMap shifted = determine_expert_map(4, 2, Placement::linear);
  std::swap(shifted.local_of[2], shifted.local_of[3]);
  CHECK_THAT(said_of(shifted, Placement::linear), Contains("expert 2 of 4 lives in slot 1"));
}

TEST_CASE("MAP: weights in their slots are right, replicas too, and swapped ones are named") {
  for (const auto kernel : {ExpertKernel::probe, ExpertKernel::exact_gemm}) {
    CHECK(said_of_slots(kernel, {4, 5, 4}, {4, 5, 4}) == "");
    CHECK(said_of_slots(kernel, {4, 6, 5}, {4, 5, 6}) ==
          "weights as loaded: layer 0, rank 3: slot 1 does not hold the weights of expert 5, which "
          "the map sends there");
  }
}

TEST_CASE("MAP: a map whose replicas and slots do not name each other is named") {
  const auto outcomes = run_world({Wire::local, 2}, [](Communicator& world) {
    ReplicaMaps maps = replica_maps({0, 1, 0, 1}, 2);
    maps.logical_to_physical[0] = {0};
    const ReplicaMaps* const all[] = {&maps};
    CheckLedger ledger;
    check_same_maps(all, 5, world, as_loaded, ledger);
    return first_of(ledger);
  });
  for (const auto& outcome : outcomes) {
    CHECK(*outcome.value == "maps as loaded: layer 5: replicas and slots do not name each other");
  }
}
