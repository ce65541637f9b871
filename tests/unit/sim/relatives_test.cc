// Rows of two worlds against each other, on every rank that holds them, and which worlds a change
// of same_under has with a backend.

#include "sim/relatives.h"

#include "tests/catch.h"

using namespace moe;
using namespace moe::sim;
using Catch::Contains;

namespace {

// A rank's rows of one cell: token numbers and what stands in them.
RankOutputs rank_with(int rank, const std::vector<std::pair<Count, std::uint64_t>>& rows) {
  RankOutputs outputs;
  for (const auto& [number, digest] : rows) {
    outputs.rows.push_back({.cell = {0, 0, rank},
                            .token = std::ssize(outputs.rows),
                            .number = number,
                            .digest = digest,
                            .first = static_cast<double>(digest)});
  }
  return outputs;
}

// Two DP ranks with two tokens and one.
std::vector<RankOutputs> two_dp_ranks() {
  return {rank_with(0, {{0, 10}, {1, 11}}), rank_with(1, {{2, 12}})};
}

// The same tokens on both ranks of a TP group.
std::vector<RankOutputs> two_tp_ranks() {
  const RankOutputs all = rank_with(0, {{0, 10}, {1, 11}, {2, 12}});
  return {all, all};
}

Scenario with_groups() {
  Scenario scenario;
  scenario.world.dp = 2;
  scenario.model.num_experts = 8;
  scenario.model.num_expert_groups = 4;
  return scenario;
}

}  // namespace

TEST_CASE("relatives: the same rows on other factorings are the same") {
  CHECK(row_difference({two_dp_ranks(), 1}, {two_tp_ranks(), 2}).empty());
  CHECK(row_difference({two_tp_ranks(), 2}, {two_dp_ranks(), 1}).empty());
}

TEST_CASE("relatives: a row that differs on any rank of a TP group is found, in either world") {
  std::vector<RankOutputs> wrong = two_tp_ranks();
  wrong[1].rows[2].digest = 13;
  CHECK_THAT(row_difference({two_dp_ranks(), 1}, {wrong, 2}),
             Contains("token 0 of rank 1 has other bytes there, as token 2 of rank 1"));
  CHECK_THAT(row_difference({wrong, 2}, {two_dp_ranks(), 1}),
             Contains("token 2 of rank 1 has other bytes there, as token 0 of rank 1"));
}

TEST_CASE("relatives: a row that a rank lacks is found, in either world") {
  std::vector<RankOutputs> short_of_one = two_tp_ranks();
  short_of_one[0].rows.pop_back();
  CHECK_THAT(row_difference({two_dp_ranks(), 1}, {short_of_one, 2}),
             Contains("token 0 of rank 1 has rows on ranks [1] there, due are 2"));
  CHECK_THAT(row_difference({short_of_one, 2}, {two_dp_ranks(), 1}),
             Contains("token 2 of rank 1 has rows on ranks [1] here, due are 2"));
  std::vector<RankOutputs> without = two_dp_ranks();
  without[1].rows.clear();
  CHECK_THAT(row_difference({two_tp_ranks(), 2}, {without, 1}),
             Contains("token 2 of rank 0 has no row there"));
  CHECK_THAT(row_difference({without, 1}, {two_tp_ranks(), 2}),
             Contains("of the other world") && Contains("token 2 of rank 0 has no row here"));
}

TEST_CASE("relatives: a placement that the backend does not get is no other world") {
  const Capabilities without_tables;
  const Capabilities with_tables{.needs_routing_tables = true};
  CHECK(relatives_of(with_groups(), "placement", without_tables).empty());
  Scenario without_groups = with_groups();
  without_groups.model.num_expert_groups = 1;
  CHECK(relatives_of(without_groups, "placement", with_tables).empty());
  const auto others = relatives_of(with_groups(), "placement", with_tables);
  REQUIRE(others.size() == 1);
  CHECK(others[0].scenario.model.placement == Placement::round_robin);
  CHECK(others[0].words == "with experts placed round robin");
  Scenario round_robin = with_groups();
  round_robin.model.placement = Placement::round_robin;
  CHECK(relatives_of(round_robin, "placement", with_tables).at(0).scenario.model.placement ==
        Placement::linear);
}
