// M-BACK: lines of one scenario against each other, exact worlds by their bytes, real ones by both
// bounds together.

#include "sim/back_check.h"

#include "sim/verdict.h"
#include "tests/catch.h"

#include <cmath>

using namespace moe;
using namespace moe::sim;
using Catch::Contains;

namespace {

std::vector<RankOutputs> outputs(double value, double bound, std::uint64_t digest) {
  return {
      {.digest = digest,
       .has_bounds = bound > 0,
       .samples = {{.cell = {1, 0, 0}, .token = 2, .column = 3, .value = value, .bound = bound}}}};
}

Outcome outcome(const std::string& backend, std::vector<RankOutputs> outputs) {
  Outcome made;
  made.scenario = "two lines";
  made.line.backend = backend;
  made.verdict = Passed{};
  made.outputs = std::move(outputs);
  return made;
}

}  // namespace

TEST_CASE("back check: real lines may be as far apart as both bounds together") {
  CHECK(output_difference(outputs(1.0, 0.25, 1), outputs(1.5, 0.25, 2)).empty());
  CHECK_THAT(output_difference(outputs(1.0, 0.25, 1), outputs(1.625, 0.25, 2)),
             Contains("step 1, layer 0, rank 0: token 2, column 3 is 1 here and 1.625 there") &&
                 Contains("bounds of 0.25 and 0.25"));
  CHECK(!output_difference(outputs(std::nan(""), 0.25, 1), outputs(1, 0.25, 1)).empty());
}

TEST_CASE("back check: exact lines differ in a sample, or in bytes between the samples") {
  CHECK(output_difference(outputs(4, 0, 7), outputs(4, 0, 7)).empty());
  CHECK_THAT(output_difference(outputs(4, 0, 7), outputs(5, 0, 8)), Contains("is 4 here and 5"));
  CHECK_THAT(output_difference(outputs(4, 0, 7), outputs(4, 0, 8)),
             Contains("between the sampled"));
  CHECK_THAT(output_difference({}, outputs(4, 0, 8)), Contains("0 ranks here and 1 there"));
}

TEST_CASE("back check: the first line that passed is what the others are held against") {
  BackCheck check;
  Outcome wrong = outcome("no_ep", outputs(9, 0, 9));
  wrong.verdict = Failed{"REF"};
  check.look(wrong);
  CHECK(!wrong.checks.contains("M-BACK"));
  Outcome first = outcome("naive", outputs(4, 0, 7));
  check.look(first);
  CHECK(!first.checks.contains("M-BACK"));
  Outcome same = outcome("skeleton", outputs(4, 0, 7));
  check.look(same);
  CHECK(same.checks.at("M-BACK") == "ok");
  Outcome other = outcome("allgather_reducescatter", outputs(5, 0, 8));
  check.look(other);
  CHECK_THAT(reason_of(other.verdict), Contains("M-BACK: not what naive") && Contains("column 3"));
  CHECK(other.checks.at("M-BACK") != "ok");
}

TEST_CASE("back check: expected ends and other scenarios are left alone") {
  BackCheck check;
  Outcome first = outcome("naive", outputs(4, 0, 7));
  check.look(first);
  Outcome expected = outcome("skeleton", outputs(5, 0, 8));
  expected.judge = Judge::expectation;
  check.look(expected);
  CHECK(word_of(expected.verdict) == "passed");
  Outcome elsewhere = outcome("skeleton", outputs(5, 0, 8));
  elsewhere.scenario = "another";
  check.look(elsewhere);
  CHECK(word_of(elsewhere.verdict) == "passed");
  Outcome real = outcome("skeleton", outputs(5, 1, 8));
  check.look(real);
  CHECK(word_of(real.verdict) == "passed");
}
