// Who waits for whom, as PROG says it after a run in which ranks failed.
// The reports are made here: nothing runs.

#include "sim/progress_check.h"

#include "tests/catch.h"

namespace moe::sim {
namespace {

RankReport failed(int rank, FailureKind kind, std::int64_t at_ns, const std::string& last) {
  return {.rank = rank, .last_operation = last, .failure = {kind, "what happened", at_ns}};
}

// What PROG says of each rank's report.
std::vector<std::string> said(std::vector<RankReport> reports) {
  check_progress(reports);
  std::vector<std::string> sentences;
  for (const RankReport& report : reports) {
    for (const CheckFinding& finding : report.ledger.findings()) {
      sentences.push_back(finding.check + ": " + finding.sentence);
    }
  }
  return sentences;
}

}  // namespace

TEST_CASE("PROG: the first to fail waits, the others are where they were") {
  CHECK(said({failed(0, FailureKind::system, 20, "operation 4"),
              failed(1, FailureKind::system, 10, "operation 5")}) ==
        std::vector<std::string>{"PROG: rank 1 waits in operation 5: what happened; then rank 0 at "
                                 "operation 4"});
}

TEST_CASE("PROG: a rank that died waits for nobody") {
  CHECK(said({failed(0, FailureKind::system, 20, "operation 4"),
              failed(1, FailureKind::system, 0, "")}) ==
        std::vector<std::string>{"PROG: rank 0 waits in operation 4: what happened; then rank 1 "
                                 "without a word"});
}

TEST_CASE("PROG: nobody waits where no rank had an operation, or all were refused") {
  CHECK(said({failed(0, FailureKind::system, 20, ""), failed(1, FailureKind::system, 0, "")})
            .empty());
  CHECK(said({failed(0, FailureKind::refused, 20, "operation 4"),
              failed(1, FailureKind::refused, 10, "operation 4")})
            .empty());
}

}  // namespace moe::sim
