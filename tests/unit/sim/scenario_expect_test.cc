// The keys expect and defects as they are read.
// Refusals stand in scenario_refusals_test.cc.

#include "sim/scenario_reader.h"
#include "tests/catch.h"
#include "tests/unit/sim/input_files.h"

using namespace moe;
using namespace moe::sim;

namespace {

Scenario with(const std::string& keys) {
  const TemporaryFolder root;
  return read_scenario(root.write("s.yaml", "name: s\nsteps: [[1]]\n" + keys), root.path());
}

}  // namespace

TEST_CASE("scenario: expect as a word, an error, a fallback, a difference") {
  CHECK(std::holds_alternative<std::monostate>(with("expect: same_bytes").end));
  const Scenario error = with("expect: {error: {kind: system, text: gone}}");
  CHECK(std::get<ExpectedError>(error.end).kind == ErrorKind::system);
  CHECK(std::get<ExpectedError>(error.end).text == "gone");
  const Scenario fallback = with("expect: {fallback: deepep_v2}");
  CHECK(std::get<ExpectedFallback>(fallback.end).backend == "deepep_v2");
  const Scenario differs = with("values: real\nexpect: {differs: why}");
  CHECK(std::get<ExpectedDifference>(differs.end).why == "why");
  CHECK(differs.expect == Expectation::derived);
}

TEST_CASE("scenario: defects that are written, none of them, or not a word") {
  CHECK_FALSE(with("").defects.has_value());
  CHECK(with("defects: []").defects == std::vector<std::string>{});
  CHECK(with("defects: [naive-dp-tp]").defects == std::vector<std::string>{"naive-dp-tp"});
}
