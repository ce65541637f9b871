// What DP ranks decide from the sum of their proposals: graph mode, micro-batches, padding, in both
// forms of the tensor.

#include "backends/engine/batch_coordination.h"

#include "kernels/base/check.h"
#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"

using namespace moe;
using namespace moe::test;

namespace {

using Proposals = std::vector<BatchProposal>;

BatchDecision decided(const Proposals& proposals, CoordinationSettings settings = {}) {
  return decided_batch(proposals, 0, settings);
}

}  // namespace

TEST_CASE("batch coordination: the last micro-batch of the smallest rank") {
  CHECK(last_micro_batch_is_empty(1, 64, 2));
  CHECK(last_micro_batch_is_empty(32, 64, 2));
  CHECK(!last_micro_batch_is_empty(33, 64, 2));
  CHECK(!last_micro_batch_is_empty(64, 64, 2));
}

TEST_CASE("batch coordination: the graph mode is the smallest, and its padding the largest") {
  const auto none = GraphMode::none;
  const auto piecewise = GraphMode::piecewise;
  const auto full = GraphMode::full;
  const BatchDecision graphed = decided({{5, 8, false, full}, {3, 4, false, piecewise}});
  CHECK(graphed.graph_mode == piecewise);
  CHECK(graphed.num_tokens_across_dp == std::vector<Count>{8, 8});
  const BatchDecision eager = decided({{5, 8, false, full}, {3, 4, false, none}});
  CHECK(eager.graph_mode == none);
  CHECK(eager.num_tokens_across_dp == std::vector<Count>{8, 4});
}

TEST_CASE("batch coordination: micro-batches where all want them and each has rows for its last") {
  const BatchDecision both = decided({{64, 64, true}, {33, 33, true}});
  CHECK(both.micro_batches);
  CHECK(both.num_tokens_across_dp == std::vector<Count>{64, 64});
  const BatchDecision one_refuses = decided({{64, 64, true}, {64, 64, false}});
  CHECK(!one_refuses.micro_batches);
  const BatchDecision too_few = decided({{64, 64, true}, {32, 32, true}});
  CHECK(!too_few.micro_batches);
  CHECK(too_few.num_tokens_across_dp == std::vector<Count>{64, 32});
}

TEST_CASE("batch coordination: the form before knows padded tokens and flags alone") {
  const CoordinationSettings two{.form = SyncForm::two_rows};
  const Proposals proposals = {{5, 8, false, GraphMode::full}, {3, 4, false, GraphMode::none}};
  const BatchDecision plain = decided_batch(proposals, 0, two);
  CHECK(plain.graph_mode == GraphMode::full);  // each rank keeps its own
  CHECK(decided_batch(proposals, 1, two).graph_mode == GraphMode::none);
  CHECK(plain.num_tokens_across_dp == std::vector<Count>{8, 4});
  const CoordinationSettings padding{.form = SyncForm::two_rows, .allow_dp_padding = true};
  CHECK(decided_batch(proposals, 0, padding).num_tokens_across_dp == std::vector<Count>{8, 8});
  CHECK(sync_form_of(profile_named("pre-33724")) == SyncForm::two_rows);
  CHECK(sync_form_of(profile_named("post-33724")) == SyncForm::four_rows);
}

TEST_CASE("batch coordination: a rank proposes micro-batches from its thresholds on") {
  const MicroBatchThresholds dbo{.enabled = true};
  const auto decode = BatchContent::uniform_decode;
  CHECK(!proposes_micro_batches(dbo, 31, decode));
  CHECK(proposes_micro_batches(dbo, 32, decode));
  CHECK(!proposes_micro_batches(dbo, 511, BatchContent::mixed));
  CHECK(proposes_micro_batches(dbo, 512, BatchContent::mixed));
  CHECK(!proposes_micro_batches({}, 512, decode));
}

TEST_CASE("batch coordination: micro-batches are contiguous, the last takes the rest") {
  CHECK(micro_batch_ranges(64, 2) == std::vector<RowRange>{{0, 32}, {32, 64}});
  CHECK(micro_batch_ranges(7, 2) == std::vector<RowRange>{{0, 3}, {3, 7}});
  CHECK(micro_batch_ranges(8, 3) == std::vector<RowRange>{{0, 2}, {2, 4}, {4, 8}});
}

TEST_CASE("batch coordination: one rank asks nobody") {
  const auto outcomes = run_world({.size = 1}, [](Communicator& dp) {
    return coordinate_batch_across_dp(dp, {dp.rank(), dp.size()}, {5, 8, true, GraphMode::full},
                                      {});
  });
  REQUIRE(outcomes[0].value);
  CHECK(outcomes[0].value->num_tokens_across_dp.empty());
  CHECK(!outcomes[0].value->micro_batches);
  CHECK(outcomes[0].value->graph_mode == GraphMode::full);
}

TEST_CASE("batch coordination: ranks of two versions cannot talk (T38)") {
  const auto outcomes = run_owned({.size = 2}, [](std::unique_ptr<Communicator> wire) {
    TracedCommunicator dp(std::move(wire), Agreement::checked);
    const auto form = dp.rank() == 0 ? SyncForm::two_rows : SyncForm::four_rows;
    return coordinate_batch_across_dp(dp, {dp.rank(), dp.size()}, {5, 5}, {.form = form})
        .micro_batches;
  });
  for (const auto& outcome : outcomes) {
    CHECK(outcome.kind == "COUNT");
    CHECK(contains(outcome.error, "rank 0 says rows [2], rank 1 says [4]"));
  }
}
