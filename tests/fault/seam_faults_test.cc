// Faults at the layer's seams: the check that must name each one does, and its sentence has what is
// needed to find the place: rank, token, slot, ids, shapes, rows. Which checks name which fault is
// kill_matrix_test.cc's.

#include "sim/faults.h"
#include "tests/catch.h"
#include "tests/judged_line.h"

using namespace moe;
using namespace moe::sim;
using Catch::Contains;

namespace {

Scenario world(const WorldSpec& spec) {
  Scenario scenario;
  scenario.name = "faulty seams";
  scenario.world = spec;
  scenario.model.num_experts = 10;
  scenario.model.top_k = 3;
  scenario.model.hidden_size = 96;
  scenario.model.num_shared_experts = 1;
  scenario.routing = MaskedRouting{0.3};
  scenario.steps = {{7}, {5}};
  for (std::vector<Count>& step : scenario.steps) {
    for (int rank = 1; rank < spec.dp; ++rank) step.push_back(3 * rank);
  }
  return scenario;
}

Outcome outcome_of(const WorldSpec& spec, const std::string& fault, RunLine line = {}) {
  const LoadedScenario loaded(world(spec));
  if (line.communicator.empty()) line.communicator = "local";
  return judged_line(loaded, line, {parsed_fault(fault)});
}

// What the check says of the fault, on local ranks and on Gloo alike.
std::string said_by(const std::string& check, const WorldSpec& spec, const std::string& fault,
                    const std::string& backend = "allgather_reducescatter") {
  RunLine line;
  line.backend = backend;
  line.communicator = GENERATE("local", "gloo");
  const Outcome outcome = outcome_of(spec, fault, line);
  CHECK(exit_code_of(outcome.verdict) == 1);
  CHECK_THAT(reason_of(outcome.verdict), !Contains("SURVIVED"));
  return outcome.checks.at(check);
}

}  // namespace

TEST_CASE("seam faults: MF-01, a sum too many, is named by PART at the sum that it spoils") {
  CHECK_THAT(said_by("PART", {.dp = 2, .tp = 2}, "MF-01"),
             Contains("step 0, layer 0, rank 0") &&
                 Contains("partial over TP and is added to rows that are replicated"));
}

TEST_CASE("seam faults: MF-16, a skipped map, is named by IDS with both ids") {
  CHECK_THAT(said_by("IDS", {.dp = 3}, "MF-16:rank=1"),
             Contains("rank 1") && Contains("slot") && Contains("global expert") &&
                 Contains("local expert") && Contains("this rank's map says"));
}

TEST_CASE("seam faults: MF-20, a masked choice used as an index, is named by RANGE") {
  CHECK_THAT(said_by("RANGE", {.dp = 2}, "MF-20"),
             Contains("rank 1") && Contains("token") && Contains("slot") &&
                 Contains("masked (id -1)") && Contains("became local expert 4"));
}

TEST_CASE("seam faults: MF-21, pads to expert 0, is named by PROV with what was chosen") {
  CHECK_THAT(said_by("PROV", {.dp = 2}, "MF-21"),
             Contains("but came with experts [") && Contains("that token chose ["));
}

TEST_CASE("seam faults: MF-23, only the first of a block, is named by CONS with the expert") {
  CHECK_THAT(said_by("CONS", {.dp = 2}, "MF-23:block=2"),
             Contains("token") && Contains("slot") && Contains("never reached expert"));
}

TEST_CASE("seam faults: MF-24, a choice made twice, is named by RANGE with all of the token's") {
  CHECK_THAT(said_by("RANGE", {.dp = 2}, "MF-24:rank=1"),
             Contains("rank 1") && Contains("slot 1") && Contains("once more: ["));
}

TEST_CASE("seam faults: MF-25, ids of another type, is named by SHAPE before the layer refuses") {
  CHECK_THAT(said_by("SHAPE", {.dp = 2}, "MF-25:rank=0"),
             Contains("prepare to experts: topk_ids is [10, 6] i16") &&
                 Contains("the contract says [10, 3] i32"));
}

TEST_CASE("seam faults: MF-27, a workspace for DP ranks, is named by CAP with both sizes") {
  CHECK_THAT(said_by("CAP", {.dp = 2, .tp = 2, .sequence_parallel = true}, "MF-27"),
             Contains("declared for 8 rows, 12 must fit"));
}

TEST_CASE("seam faults: MF-27 among uneven DP ranks declares too much, which CAP names as well") {
  CHECK_THAT(reason_of(outcome_of({.dp = 2, .tp = 2}, "MF-27").verdict),
             Contains("declared for 14 rows, more than the worst case of 10"));
}

TEST_CASE("seam faults: MF-43, the first of a gathered list, is named by CONS with who is lost") {
  CHECK_THAT(said_by("CONS", {.dp = 2}, "MF-43"), Contains("token 0 of rank 1 never reached"));
}

TEST_CASE("seam faults: MF-54, in place, is named by ALIAS with the input") {
  CHECK_THAT(said_by("ALIAS", {.dp = 1, .tp = 2}, "MF-54:rank=1", "no_ep"),
             Contains("rank 1") && Contains("input hidden_states [7, 96] bf16"));
}

TEST_CASE("seam faults: MF-61, a gather too many, is named by BYTES with the budget") {
  CHECK_THAT(said_by("BYTES", {.dp = 2}, "MF-61"),
             Contains("in 3 collectives; its budget is") && Contains("in 2 collectives"));
}

TEST_CASE("seam faults: an untrimmed width is named by SHAPE with both widths") {
  CHECK_THAT(said_by("SHAPE", {.dp = 2}, "untrimmed_width"),
             Contains("experts to finalize: expert_output is [10, 128] bf16") &&
                 Contains("[10, 96] bf16"));
}

TEST_CASE("seam faults: sizes below their smallest are bad input") {
  CHECK_THROWS_WITH(outcome_of({.dp = 2}, "MF-23:block=1"), Contains("at least 2"));
  CHECK_THROWS_WITH(outcome_of({.dp = 2}, "untrimmed_width:multiple=0"), Contains("at least 2"));
}

TEST_CASE("seam faults: what the fault's own check found is told first") {
  const Outcome outcome = outcome_of({.dp = 2, .tp = 2}, "MF-01");
  REQUIRE(outcome.checks.at("BYTES") != "ok");  // another check found something as early
  CHECK(outcome.details.at(0).starts_with("PART: step 0, layer 0, rank 0"));
}
