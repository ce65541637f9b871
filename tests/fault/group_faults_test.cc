// Seeded faults in worlds of several groups: the check that must name a fault does so with the
// group it happened in and the world's numbers of its ranks.

#include "sim/faults.h"
#include "tests/catch.h"
#include "tests/judged_line.h"

using namespace moe;
using namespace moe::sim;
using Catch::Contains;

namespace {

// Ranks 1 and 3 are the second TP column; rank 3 is the second of its DP group.
Scenario world() {
  Scenario scenario;
  scenario.name = "world of groups";
  scenario.world = {.dp = 2, .tp = 2};
  scenario.model.num_experts = 7;
  scenario.model.hidden_size = 16;
  scenario.routing = UniformRouting{};
  scenario.steps = {{4, 4}, {5, 0}, {1, 6}};
  return scenario;
}

Outcome outcome_with(const Scenario& scenario, const std::string& fault,
                     const std::string& communicator) {
  const LoadedScenario loaded(scenario);
  RunLine line;
  line.communicator = communicator;
  std::vector<FaultSpec> faults;
  if (!fault.empty()) faults.push_back(parsed_fault(fault));
  return judged_line(loaded, line, faults);
}

}  // namespace

TEST_CASE("group faults: without one the world is silent") {
  const std::string communicator = GENERATE("local", "gloo");
  const Outcome outcome = outcome_with(world(), "", communicator);
  CHECK(word_of(outcome.verdict) == "passed");
  for (const auto& [check, said] : outcome.checks) CHECK(said == "ok");
}

TEST_CASE("group faults: swapped counts in one column are named with the group and its ranks") {
  const std::string communicator = GENERATE("local", "gloo");
  const Outcome outcome = outcome_with(world(), "MF-42:rank=3", communicator);
  CHECK(exit_code_of(outcome.verdict) == 1);
  CHECK_THAT(outcome.checks.at("COUNT"),
             Contains("of group dp [1, 3]") && Contains("rank 3 says [0, 5]") &&
                 Contains("rank 1 says rows_per_rank [5, 0]") && Contains("step 1"));
}

TEST_CASE("group faults: counts of a sequence-parallel dispatch are those of the EP group") {
  Scenario scenario = world();
  scenario.world.sequence_parallel = true;
  const Outcome outcome = outcome_with(scenario, "MF-42:rank=1,first=0,second=3", "local");
  CHECK(exit_code_of(outcome.verdict) == 1);
  CHECK_THAT(outcome.checks.at("COUNT"),
             Contains("rank 1 says") && Contains("[0, 3, 0, 3]") && Contains("step 1"));
}

TEST_CASE("group faults: an early return of a DP rank is named by SEQ within a DP group") {
  const std::string communicator = GENERATE("local", "gloo");
  const Outcome outcome = outcome_with(world(), "MF-37", communicator);
  CHECK(exit_code_of(outcome.verdict) == 1);
  CHECK_THAT(outcome.checks.at("SEQ"), Contains("of group dp [") && Contains("is at") &&
                                           Contains("step 1") && Contains("step 2"));
}

TEST_CASE("group faults: a flipped bit on one TP rank is that rank's, and its group's") {
  const Outcome outcome =
      outcome_with(world(), "flip_bit:step=2,rank=3,token=5,column=15,bit=3", "local");
  CHECK(exit_code_of(outcome.verdict) == 1);
  REQUIRE(outcome.worst);
  CHECK(outcome.worst->cell == golden::Cell{2, 0, 1});  // DP rank 1
  CHECK(outcome.worst->mismatch.token == 5);
  CHECK(outcome.mismatches == 2);  // the all-reduce tells the other TP rank
  CHECK_THAT(reason_of(outcome.verdict), Contains("of the world"));
}

TEST_CASE("group faults: entries beyond the dispatch group's counts are bad input") {
  CHECK_THROWS_WITH(outcome_with(world(), "MF-42:rank=3,second=2", "local"),
                    Contains("second=2 is not in this world (0 to 1)"));
}

TEST_CASE("group faults: a token is one of the rank's DP rank, whatever its number in the world") {
  CHECK_THROWS_WITH(outcome_with(world(), "flip_bit:step=2,rank=3,token=6", "local"),
                    Contains("rank 3 has 6 tokens in step 2"));
  CHECK_THROWS_WITH(outcome_with(world(), "flip_bit:step=1,rank=2,token=0", "local"),
                    Contains("rank 2 has 0 tokens in step 1"));
}
