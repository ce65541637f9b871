// The rank grid against distribution-layer.md 1.1, the table of FusedMoEParallelConfig.make against
// experts-and-oracles.md 1.1, and sequence-parallel sizes against 4.2.

#include "backends/parallel/parallel_config.h"
#include "tests/catch.h"

using namespace moe;

namespace {

using Groups = std::vector<std::vector<int>>;

ParallelSizes sizes(int dp, int pp, int pcp, int tp) {
  return {.dp = dp, .pp = pp, .pcp = pcp, .tp = tp};
}

}  // namespace

TEST_CASE("rank grid: dp 2, tp 2") {
  const ParallelSizes world = sizes(2, 1, 1, 2);
  CHECK(groups_of(GroupKind::tp, world) == Groups{{0, 1}, {2, 3}});
  CHECK(groups_of(GroupKind::dp, world) == Groups{{0, 2}, {1, 3}});
  CHECK(groups_of(GroupKind::ep, world) == Groups{{0, 1, 2, 3}});
}

TEST_CASE("rank grid: dp 2, pp 2, tp 2") {
  const ParallelSizes world = sizes(2, 2, 1, 2);
  CHECK(groups_of(GroupKind::tp, world) == Groups{{0, 1}, {2, 3}, {4, 5}, {6, 7}});
  CHECK(groups_of(GroupKind::dp, world) == Groups{{0, 4}, {2, 6}, {1, 5}, {3, 7}});
  CHECK(groups_of(GroupKind::ep, world) == Groups{{0, 1, 4, 5}, {2, 3, 6, 7}});
  CHECK(groups_of(GroupKind::pp, world) == Groups{{0, 2}, {1, 3}, {4, 6}, {5, 7}});
}

TEST_CASE("rank grid: pcp 2, tp 2") {
  const ParallelSizes world = sizes(1, 1, 2, 2);
  CHECK(groups_of(GroupKind::tp, world) == Groups{{0, 1}, {2, 3}});
  CHECK(groups_of(GroupKind::dp, world) == Groups{{0}, {2}, {1}, {3}});
  CHECK(groups_of(GroupKind::ep, world) == Groups{{0, 1, 2, 3}});
  CHECK(groups_of(GroupKind::pcp, world) == Groups{{0, 2}, {1, 3}});
}

TEST_CASE("rank grid: dp 3, tp 2") {
  const ParallelSizes world = sizes(3, 1, 1, 2);
  CHECK(groups_of(GroupKind::tp, world) == Groups{{0, 1}, {2, 3}, {4, 5}});
  CHECK(groups_of(GroupKind::dp, world) == Groups{{0, 2, 4}, {1, 3, 5}});
  CHECK(groups_of(GroupKind::ep, world) == Groups{{0, 1, 2, 3, 4, 5}});
}

TEST_CASE("rank grid: pp 2, pcp 2, tp 2; PP groups are listed by (t, c), as the table says") {
  const ParallelSizes world = sizes(1, 2, 2, 2);
  CHECK(groups_of(GroupKind::tp, world) == Groups{{0, 1}, {2, 3}, {4, 5}, {6, 7}});
  CHECK(groups_of(GroupKind::ep, world) == Groups{{0, 1, 2, 3}, {4, 5, 6, 7}});
  CHECK(groups_of(GroupKind::pcp, world) == Groups{{0, 2}, {1, 3}, {4, 6}, {5, 7}});
  CHECK(groups_of(GroupKind::pp, world) == Groups{{0, 4}, {2, 6}, {1, 5}, {3, 7}});
}

TEST_CASE("I26: external DP never mixes") {
  const ParallelSizes world{.external_dp = 2, .dp = 2};
  CHECK(groups_of(GroupKind::tp, world) == Groups{{0}, {1}, {2}, {3}});
  CHECK(groups_of(GroupKind::dp, world) == Groups{{0, 1}, {2, 3}});
  CHECK(groups_of(GroupKind::ep, world) == Groups{{0, 1}, {2, 3}});
}

TEST_CASE("I26: every kind of group partitions every small world, in the ranks' own places") {
  for (int code = 0; code < 81; ++code) {
    const ParallelSizes world =
        sizes(1 + code % 3, 1 + code / 3 % 3, 1 + code / 9 % 3, 1 + code / 27);
    for (int rank = 0; rank < world.num_ranks(); ++rank) {
      REQUIRE(rank_at(world, coordinates_of(world, rank)) == rank);
      for (const auto kind :
           {GroupKind::tp, GroupKind::pcp, GroupKind::pp, GroupKind::dp, GroupKind::ep}) {
        const OwnGroup own = own_group(kind, world, rank);
        REQUIRE(own.members[static_cast<std::size_t>(own.rank_in_group)] == rank);
        REQUIRE(groups_of(kind, world)[static_cast<std::size_t>(own.number)] == own.members);
      }
      const RankCoordinates at = coordinates_of(world, rank);
      for (const int member : own_group(GroupKind::ep, world, rank).members) {
        REQUIRE(coordinates_of(world, member).pp == at.pp);  // EP stays within a stage
      }
      REQUIRE(own_group(GroupKind::ep, world, rank).rank_in_group ==
              at.dp * world.pcp * world.tp + at.pcp * world.tp + at.tp);
    }
  }
}

TEST_CASE("rank grid: layers that do not divide go to the last stages but the very last") {
  const auto lengths = [](int num_layers, int pp) {
    std::vector<int> found;
    int next = 0;
    for (int stage = 0; stage < pp; ++stage) {
      const LayerRange range = layers_of_stage(num_layers, pp, stage);
      CHECK(range.first == next);
      found.push_back(range.last - range.first);
      next = range.last;
    }
    CHECK(next == num_layers);
    return found;
  };
  CHECK(lengths(3, 2) == std::vector<int>{2, 1});
  CHECK(lengths(6, 4) == std::vector<int>{1, 2, 2, 1});
  CHECK(lengths(5, 1) == std::vector<int>{5});
}

TEST_CASE("parallel config: the table of make") {
  struct Row {
    int tp, dp;
    bool ep;
    std::vector<std::vector<int>> per_rank;  // tp size, rank, dp size, rank, ep size, rank
  };
  const std::vector<Row> table = {
      {1, 1, false, {{1, 0, 1, 0, 1, 0}}},
      {1, 1, true, {{1, 0, 1, 0, 1, 0}}},
      {2, 1, false, {{2, 0, 1, 0, 1, 0}, {2, 1, 1, 0, 1, 0}}},
      {1, 2, false, {{2, 0, 2, 0, 1, 0}, {2, 1, 2, 1, 1, 0}}},
      {2,
       2,
       false,
       {{4, 0, 2, 0, 1, 0}, {4, 1, 2, 0, 1, 0}, {4, 2, 2, 1, 1, 0}, {4, 3, 2, 1, 1, 0}}},
      {2, 1, true, {{1, 0, 1, 0, 2, 0}, {1, 0, 1, 0, 2, 1}}},
      {1, 2, true, {{1, 0, 2, 0, 2, 0}, {1, 0, 2, 1, 2, 1}}},
      {2,
       2,
       true,
       {{1, 0, 2, 0, 4, 0}, {1, 0, 2, 0, 4, 1}, {1, 0, 2, 1, 4, 2}, {1, 0, 2, 1, 4, 3}}},
  };
  for (const Row& row : table) {
    const Deployment deployment{sizes(row.dp, 1, 1, row.tp), row.ep, false};
    for (std::size_t rank = 0; rank < row.per_rank.size(); ++rank) {
      const auto made = make_parallel_config(deployment, static_cast<int>(rank));
      CHECK(std::vector<int>{made.tp_size, made.tp_rank, made.dp_size, made.dp_rank, made.ep_size,
                             made.ep_rank} == row.per_rank[rank]);
      CHECK(made.use_ep == (row.ep && row.per_rank.size() > 1));
      CHECK_FALSE(made.is_sequence_parallel());
    }
  }
}

TEST_CASE("parallel config: pipeline stages are outside, PCP is inside the flattened ranks") {
  const Deployment deployment{sizes(1, 2, 2, 2), true, false};
  const auto made = make_parallel_config(deployment, 7);
  CHECK(made.ep_size == 4);
  CHECK(made.ep_rank == 3);
  CHECK(made.pcp_rank == 1);
}

TEST_CASE("sp_sizes: the goldens") {
  const auto of = [](std::vector<Count> tokens, int sp) { return sp_sizes(tokens, sp); };
  CHECK(of({7, 4}, 2) == std::vector<Count>{4, 4, 2, 2});
  CHECK(of({1, 5, 0}, 4) == std::vector<Count>{1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 0});
  CHECK(of({3}, 4) == std::vector<Count>{1, 1, 1, 1});
  CHECK(of({500, 200, 256}, 2) == std::vector<Count>{250, 250, 100, 100, 128, 128});
}

TEST_CASE("dispatch sizes: one for each rank of the group that rows travel over") {
  const std::vector<Count> tokens = {7, 4};
  CHECK(dispatch_sizes({.dp_size = 2}, tokens) == tokens);
  CHECK(dispatch_sizes({.dp_size = 2, .sp_size = 2}, tokens) == std::vector<Count>{4, 4, 2, 2});
  CHECK(dispatch_sizes({.pcp_size = 3}, std::vector<Count>{7}) == std::vector<Count>{3, 3, 3});
}
