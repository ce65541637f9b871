// Placement: the golden vectors of experts-and-oracles.md, 18, and the rule for the remainder.
// Literals are the specification's.

#include "backends/placement/expert_placement.h"

#include "backends/placement/routing_tables.h"
#include "kernels/base/check.h"
#include "tests/catch.h"

using namespace moe;
using Ints = std::vector<int>;

TEST_CASE("placement: 10 experts on 4 ranks, linear") {
  const ExpertMap map = determine_expert_map(10, 4, Placement::linear);
  CHECK(map.num_local_experts == Ints{3, 3, 2, 2});
  CHECK(map.rank_of == Ints{0, 0, 0, 1, 1, 1, 2, 2, 3, 3});
  CHECK(map.local_of == Ints{0, 1, 2, 0, 1, 2, 0, 1, 0, 1});
}

TEST_CASE("placement: 10 experts on 4 ranks, round robin") {
  const ExpertMap map = determine_expert_map(10, 4, Placement::round_robin);
  CHECK(map.num_local_experts == Ints{3, 3, 2, 2});
  CHECK(map.rank_of == Ints{0, 1, 2, 3, 0, 1, 2, 3, 0, 1});
  CHECK(map.local_of == Ints{0, 0, 0, 0, 1, 1, 1, 1, 2, 2});
}

TEST_CASE("placement: the routing tables of 10 experts on 4 ranks") {
  using Ids = std::vector<std::int64_t>;
  const RoutingTables tables = round_robin_routing_tables(10, 4, 1);
  CHECK(tables.global_to_physical == Ids{0, 3, 6, 8, 1, 4, 7, 9, 2, 5});
  CHECK(tables.physical_to_global == Ids{0, 4, 8, 1, 5, 9, 2, 6, 3, 7});
  CHECK(tables.local_expert_global_ids == Ids{1, 5, 9});
  CHECK(round_robin_routing_tables(10, 4, 3).local_expert_global_ids == Ids{3, 7});
  CHECK_THROWS_AS(round_robin_routing_tables(10, 4, 4), ContractError);
}

TEST_CASE("placement: fewer experts than ranks leave the last ranks without any") {
  const ExpertMap map = determine_expert_map(2, 4, Placement::linear);
  CHECK(map.num_local_experts == Ints{1, 1, 0, 0});
  CHECK(map.rank_of == Ints{0, 1});
}

TEST_CASE("placement: no rank at all is refused") {
  CHECK_THROWS_AS(determine_expert_map(4, 0, Placement::linear), ContractError);
}
