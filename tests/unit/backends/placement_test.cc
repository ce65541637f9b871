// Placement: the golden vectors of experts-and-oracles.md, 18, and the rule for the remainder.
// Literals are the specification's.

#include "backends/placement/expert_placement.h"

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

TEST_CASE("placement: fewer experts than ranks leave the last ranks without any") {
  const ExpertMap map = determine_expert_map(2, 4, Placement::linear);
  CHECK(map.num_local_experts == Ints{1, 1, 0, 0});
  CHECK(map.rank_of == Ints{0, 1});
}

TEST_CASE("placement: no rank at all is refused") {
  CHECK_THROWS_AS(determine_expert_map(4, 0, Placement::linear), ContractError);
}
