// Ends that a scenario expects: what meets them, what does not, and what they leave alone. And the
// backend that a line gets from its profile, its platform and the registry.

#include "sim/expectation.h"

#include <algorithm>

#include "kernels/base/check.h"
#include "sim/backend_choice.h"
#include "sim/registry.h"
#include "tests/catch.h"

using namespace moe;
using namespace moe::sim;
using Catch::Contains;

namespace {

std::string held(const ExpectedEnd& end, Outcome outcome) {
  hold_to_expected_end(end, outcome);
  return std::string(word_of(outcome.verdict));
}

Outcome with(Verdict verdict) {
  Outcome outcome;
  outcome.verdict = std::move(verdict);
  return outcome;
}

}  // namespace

TEST_CASE("expectation: an error of its kind, with its words, and nothing else") {
  const ExpectedError expected{ErrorKind::scenario, "no gather"};
  CHECK(held(expected, with(Errored{"cpu: no gather here", 2})) == "passed");
  CHECK(held(expected, with(Errored{"cpu: no gather here", 3})) == "failed");
  CHECK(held(expected, with(Errored{"another", 2})) == "failed");
  CHECK(held(expected, with(Passed{})) == "failed");
  CHECK(held(expected, with(Failed{"no gather"})) == "failed");
  CHECK(held(expected, with(Skipped{"no gloo"})) == "skipped");
  CHECK(held(expected, with(Errored{"interrupted", 130})) == "error");
  CHECK(held(ExpectedError{ErrorKind::system, "x"}, with(Errored{"x", 3})) == "passed");
  CHECK(held(ExpectedError{ErrorKind::contract, "x"}, with(Errored{"x", 4})) == "passed");
}

TEST_CASE("expectation: a fallback has its name and exactly one warning") {
  Outcome outcome = with(Passed{});
  outcome.line.backend = "naive";
  outcome.resolved_backend = "allgather_reducescatter";
  outcome.warnings = {"falling back"};
  const ExpectedFallback expected{"allgather_reducescatter"};
  CHECK(held(expected, outcome) == "passed");
  CHECK(held(ExpectedFallback{"skeleton"}, outcome) == "failed");
  outcome.warnings.push_back("twice");
  CHECK(held(expected, outcome) == "failed");
  outcome.warnings.clear();
  CHECK(held(expected, outcome) == "failed");
  outcome.warnings = {"no fallback at all"};
  outcome.line.backend = "allgather_reducescatter";
  CHECK(held(expected, outcome) == "failed");
  CHECK(held(expected, with(Errored{"a wire broke", 3})) == "error");
}

TEST_CASE("expectation: a defect must show in the outputs") {
  const ExpectedDifference expected{"the defect"};
  Outcome differing = with(Failed{"REF"});
  differing.mismatches = 3;
  CHECK(held(expected, differing) == "passed");
  CHECK(held(expected, with(Passed{})) == "failed");
  CHECK(held(expected, with(Failed{"a check, but no output"})) == "failed");
  CHECK(held(expected, with(Errored{"crashed", 4})) == "error");
  CHECK(held(std::monostate{}, differing) == "failed");
}

TEST_CASE("backend choice: every backend of the registry is in the profiles' table") {
  const std::vector<std::string_view> known = all_backend_names();
  for (const RegistryRow& row : registry()) {
    CAPTURE(row.name);
    CHECK(std::ranges::count(known, row.name) == 1);
  }
}

TEST_CASE("backend choice: names that vLLM has and nobody built are known, others are not") {
  Scenario scenario;
  scenario.world.dp = 2;
  RunLine line;
  line.backend = "deepep_v2";
  line.profile = "late-2026";
  const BackendChoice choice = backend_choice(scenario, line);
  CHECK(choice.backend == nullptr);
  CHECK_THAT(choice.absence, Contains("deepep_v2") && Contains("not emulated yet"));
  CHECK_NOTHROW(check_backend_name("pplx"));
  CHECK_THROWS_WITH(check_backend_name("naiv"), Contains("did you mean 'naive'"));
}

TEST_CASE("backend choice: a scenario's defects stand in the place of the profile's") {
  Scenario scenario;
  RunLine line;
  line.backend = "naive";
  line.profile = "pre-33724";
  CHECK(backend_choice(scenario, line).naive_form == NaiveForm::ep_group_as_shipped);
  scenario.defects.emplace();
  CHECK(backend_choice(scenario, line).naive_form == NaiveForm::ep_group);
}
