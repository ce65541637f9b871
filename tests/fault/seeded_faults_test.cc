// Each seeded fault in a small world: the check that must name it does, on local ranks and on Gloo,
// and its sentence says where. Without a fault the same world is silent.

#include "sim/faults.h"
#include "sim/outcome.h"
#include "tests/catch.h"
#include "tests/judged_line.h"

using namespace moe;
using namespace moe::sim;
using Catch::Contains;

namespace {

Scenario world() {
  Scenario scenario;
  scenario.name = "faulty world";
  scenario.world.dp = 3;
  scenario.model.num_experts = 7;
  scenario.model.top_k = 2;
  scenario.model.hidden_size = 16;
  scenario.routing = UniformRouting{};
  scenario.steps = {{4, 4, 4}, {5, 0, 2}, {1, 6, 3}};
  return scenario;
}

Outcome outcome_with(const std::vector<std::string>& faults, const std::string& communicator) {
  const LoadedScenario loaded(world());
  std::vector<FaultSpec> parsed;
  for (const std::string& words : faults) parsed.push_back(parsed_fault(words));
  RunLine line;
  line.communicator = communicator;
  return judged_line(loaded, line, parsed);
}

}  // namespace

TEST_CASE("faults: without one the world is silent") {
  const std::string communicator = GENERATE("local", "gloo");
  const Outcome outcome = outcome_with({}, communicator);
  CHECK(word_of(outcome.verdict) == "passed");
  for (const auto& [check, said] : outcome.checks) CHECK(said == "ok");
}

TEST_CASE("faults: MF-37, an early return, is named by SEQ with both ranks' places") {
  const std::string communicator = GENERATE("local", "gloo");
  const Outcome outcome = outcome_with({"MF-37"}, communicator);
  CHECK(exit_code_of(outcome.verdict) == 1);
  CHECK_THAT(reason_of(outcome.verdict), Contains("SEQ"));
  CHECK_THAT(outcome.checks.at("SEQ"), Contains("rank 1") && Contains("step 1") &&
                                           Contains("step 2") && Contains("dispatch"));
}

TEST_CASE("faults: MF-42, swapped counts, is named by COUNT with the counts") {
  const std::string communicator = GENERATE("local", "gloo");
  const Outcome outcome = outcome_with({"MF-42:rank=2,first=0,second=1"}, communicator);
  CHECK(exit_code_of(outcome.verdict) == 1);
  CHECK_THAT(outcome.checks.at("COUNT"), Contains("rank 2") && Contains("[0, 5, 2]") &&
                                             Contains("[5, 0, 2]") && Contains("step 1"));
}

TEST_CASE("faults: MF-42 without differing counts has nothing to act on") {
  const LoadedScenario loaded([] {
    Scenario scenario = world();
    scenario.steps = {{4, 4, 4}};
    return scenario;
  }());
  RunLine line;
  line.communicator = "local";
  const Outcome outcome = judged_line(loaded, line, {parsed_fault("MF-42")});
  CHECK(word_of(outcome.verdict) == "skipped");
  CHECK_THAT(reason_of(outcome.verdict), Contains("counts 0 and 1 of every dispatch are equal"));
}

namespace {

Outcome outcome_in(Scenario scenario, const RunLine& line, const std::string& fault) {
  return judged_line(scenario, line, {parsed_fault(fault)});
}

}  // namespace

TEST_CASE("faults: MF-20 needs a masked choice on the rank that owns the last expert") {
  Scenario scenario = world();
  scenario.steps = {{2, 0, 0}};
  scenario.routing = ListedRouting{{{0, -1}, {1, 2}}};
  RunLine line{.backend = "flashinfer_nvlink_two_sided", .communicator = "local"};
  const Outcome far = outcome_in(scenario, line, "MF-20");
  CHECK(word_of(far.verdict) == "skipped");
  CHECK_THAT(reason_of(far.verdict), Contains("no row with a masked choice comes to rank 2"));
  const Outcome other = outcome_in(scenario, line, "MF-20:rank=0");
  CHECK_THAT(reason_of(other.verdict), Contains("rank 2 alone owns the last expert"));
  scenario.routing = ListedRouting{{{6, -1}, {1, 2}}};
  CHECK_THAT(reason_of(outcome_in(scenario, line, "MF-20").verdict),
             Contains("caught MF-20: RANGE"));
  line.backend = "allgather_reducescatter";  // which sends every row to every rank
  scenario.routing = ListedRouting{{{0, -1}, {1, 2}}};
  CHECK_THAT(reason_of(outcome_in(scenario, line, "MF-20").verdict),
             Contains("caught MF-20: RANGE"));
}

TEST_CASE(
    "faults: what any check names is caught, and the checks of its row that did not are told") {
  Scenario scenario = world();
  scenario.values = Values::real;
  scenario.model.kernel = ExpertKernel::real;
  scenario.expect = Expectation::derived;
  scenario.model.intermediate_size = 8;
  const RunLine line{.communicator = "local"};
  const Outcome twice = outcome_in(scenario, line, "MF-06");
  CHECK(exit_code_of(twice.verdict) == 1);
  CHECK_THAT(reason_of(twice.verdict), Contains("REF caught MF-06 (WONCE of its row did not)"));
  const Outcome lowest = outcome_in(scenario, line, "flip_bit:bit=0");
  CHECK_THAT(reason_of(lowest.verdict), Contains("TWICE caught flip_bit (REF of its row did not)"));
}

TEST_CASE("faults: one that nothing names says what became of the outputs") {
  Outcome outcome;
  outcome.verdict = Failed{"SURVIVED: no check names MF-56"};
  REQUIRE(is_unnamed(outcome.verdict));
  weigh_effect({parsed_fault("MF-56")}, false, outcome);
  CHECK(word_of(outcome.verdict) == "skipped");
  CHECK_THAT(reason_of(outcome.verdict), Contains("no effect in this world"));
  outcome.verdict = Failed{"SURVIVED: no check names MF-27"};
  weigh_effect({parsed_fault("MF-27")}, false, outcome);
  CHECK(word_of(outcome.verdict) == "failed");
  CHECK_THAT(reason_of(outcome.verdict), Contains("SURVIVED") && Contains("bit for bit"));
  outcome.verdict = Failed{"SURVIVED: no check names MF-56"};
  weigh_effect({parsed_fault("MF-56")}, true, outcome);
  CHECK_THAT(reason_of(outcome.verdict), Contains("SURVIVED") && Contains("within their bounds"));
}

TEST_CASE("faults: MF-27 is named where its workspace holds the rows of this step by chance") {
  Scenario scenario = world();
  scenario.world.tp = 2;
  scenario.model.num_experts = 12;
  scenario.steps = {{4, 2, 4}};
  const RunLine line{.backend = "flashinfer_nvlink_two_sided", .communicator = "local"};
  CHECK_THAT(reason_of(outcome_in(scenario, line, "MF-27").verdict),
             Contains("CAP caught MF-27") && Contains("declared for 12 rows, neither the"));
}

TEST_CASE(
    "faults: one that has nothing to act on is skipped with the reason, not called survivor") {
  Scenario scenario = world();
  scenario.steps = {{4, 4, 4}, {5, 6, 7}};
  const LoadedScenario loaded(std::move(scenario));
  RunLine line;
  line.communicator = "local";
  for (const auto& [fault, why] : {std::pair{"MF-02", "world.tp"},
                                   {"MF-03", "model.shared_experts"},
                                   {"MF-05", "model.shared_experts"},
                                   {"MF-07", "model.scale"},
                                   {"MF-09", "routing.logits"},
                                   {"MF-20", "masked"},
                                   {"MF-21", "masked"},
                                   {"MF-36", "fewer tokens"},
                                   {"MF-37", "idle"},
                                   {"MF-56", "whole numbers"},
                                   {"untrimmed_width:multiple=16", "is a multiple of 16"}}) {
    const Outcome outcome = judged_line(loaded, line, {parsed_fault(fault)});
    INFO(fault);
    CHECK(word_of(outcome.verdict) == "skipped");
    CHECK_THAT(reason_of(outcome.verdict), Contains("nothing to act on") && Contains(why));
  }
}

TEST_CASE("faults: none is seeded where a difference of the scenario's own is expected") {
  Scenario scenario = world();
  scenario.end = ExpectedDifference{"a defect"};
  const LoadedScenario loaded(std::move(scenario));
  RunLine line;
  line.communicator = "local";
  const Outcome outcome = judged_line(loaded, line, {parsed_fault("MF-42")});
  CHECK(word_of(outcome.verdict) == "skipped");
}

TEST_CASE("faults: MF-35, unwritten rows of a cold expert, is named by POISON with the token") {
  const std::string communicator = GENERATE("local", "gloo");
  const Outcome outcome = outcome_with({"MF-35:rank=1"}, communicator);
  CHECK(exit_code_of(outcome.verdict) == 1);
  CHECK_THAT(outcome.checks.at("POISON"), Contains("rank 1") && Contains("experts") &&
                                              Contains("token ") && Contains("never written"));
}

TEST_CASE("faults: a flipped bit is located to step, layer, rank, token and column") {
  const Outcome outcome =
      outcome_with({"flip_bit:step=2,layer=0,rank=1,token=5,column=15,bit=3"}, "local");
  CHECK(exit_code_of(outcome.verdict) == 1);
  REQUIRE(outcome.worst);
  CHECK(outcome.worst->cell == golden::Cell{2, 0, 1});
  CHECK(outcome.worst->mismatch.token == 5);
  CHECK(outcome.worst->mismatch.column == 15);
  CHECK(outcome.mismatches == 1);
}

TEST_CASE("faults: each is held to a check of its own row") {
  const Outcome outcome = outcome_with({"MF-42", "flip_bit:step=2"}, "local");
  CHECK(exit_code_of(outcome.verdict) == 1);
  CHECK_THAT(reason_of(outcome.verdict), Contains("SURVIVED: flip_bit"));
}

TEST_CASE("faults: a place that the world does not have is bad input") {
  for (const std::string words :
       {"MF-42:rank=9", "MF-42:first=3", "MF-42:first=1", "MF-35:expert=99", "flip_bit:layer=7",
        "flip_bit:bit=16", "flip_bit:bit=-1"}) {
    CHECK_THROWS_AS(outcome_with({words}, "local"), ScenarioError);
  }
}

TEST_CASE("faults: the outcome says how to see it again, fault included") {
  const Outcome outcome = outcome_with({"MF-42:rank=2,second=1"}, "local");
  CHECK(outcome.reproduce.back() == "MF-42:rank=2,second=1");
}

TEST_CASE("faults: names and parameters that do not exist are refused with the known ones") {
  CHECK_THROWS_WITH(parsed_fault("MF-39"), Contains("MF-3"));
  CHECK_THROWS_WITH(parsed_fault("MF-42:ranks=1"), Contains("ranks") && Contains("second"));
  CHECK_THROWS_WITH(parsed_fault("MF-42:rank=x"), Contains("whole number"));
  CHECK_THROWS_WITH(parsed_fault("MF-42:rank"), Contains("key=value"));
}
