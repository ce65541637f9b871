// Maps between logical experts and slots, the choice of a replica with the golden vectors of
// experts-and-oracles.md, 18, and EPLB's statistics.

#include "backends/placement/replica_maps.h"

#include "backends/placement/expert_load.h"
#include "kernels/base/check.h"
#include "tests/catch.h"

using namespace moe;
using Ints = std::vector<int>;
using Loads = std::vector<std::vector<double>>;

namespace {

Ints replicas_by_hash(int count) {
  Ints chosen;
  for (Count token = 0; token < 12; ++token) {
    chosen.push_back(replica_of(ReplicaChoice::by_token_hash, {.token = token}, count));
  }
  return chosen;
}

}  // namespace

TEST_CASE("replicas: redundant slots hold the first experts again, round and round") {
  CHECK(initial_physical_to_logical(4, 0) == Ints{0, 1, 2, 3});
  CHECK(initial_physical_to_logical(4, 2) == Ints{0, 1, 2, 3, 0, 1});
  CHECK(initial_physical_to_logical(2, 5) == Ints{0, 1, 0, 1, 0, 1, 0});
}

TEST_CASE("replicas: maps are each other's inverse, slots ascending") {
  const ReplicaMaps maps = replica_maps({2, 0, 1, 2}, 3);
  CHECK(maps.logical_to_physical == std::vector<Ints>{{1}, {2}, {0, 3}});
  CHECK(maps.replica_count(2) == 2);
  CHECK_THROWS_AS(replica_maps({0, 3}, 3), ContractError);
  CHECK_THROWS_AS(replica_maps({0, 0}, 2), ContractError);
}

TEST_CASE("replicas: by position, two choices and two replicas bind each slot to a replica") {
  for (Count token = 0; token < 5; ++token) {
    for (int slot = 0; slot < 2; ++slot) {
      CHECK(replica_of(ReplicaChoice::by_position, {token, slot, 2}, 2) == slot);
    }
  }
  CHECK(replica_of(ReplicaChoice::by_position, {3, 1, 2}, 3) == 1);
}

TEST_CASE("replicas: by the token's hash, the golden vectors") {
  CHECK(replicas_by_hash(2) == Ints{0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1});
  CHECK(replicas_by_hash(3) == Ints{0, 0, 2, 2, 1, 0, 0, 2, 2, 1, 0, 0});
}

TEST_CASE("replicas: a choice becomes its replica's slot, a masked one stays masked") {
  const ReplicaMaps maps = replica_maps({2, 0, 1, 2}, 3);
  CHECK(physical_id(maps, ReplicaChoice::by_position, {0, 0, 1}, 2) == 0);
  CHECK(physical_id(maps, ReplicaChoice::by_position, {1, 0, 1}, 2) == 3);
  CHECK(physical_id(maps, ReplicaChoice::identity, {1, 0, 1}, 2) == 2);
  CHECK(physical_id(maps, ReplicaChoice::by_position, {1, 0, 1}, -1) == -1);
  CHECK(physical_id(maps, ReplicaChoice::by_position, {1, 0, 1}, 3) == -1);
}

TEST_CASE("load: the first rearrangement comes after a quarter of the interval") {
  RearrangementClock clock({.window_size = 2, .step_interval = 8});
  Ints due;
  Ints recorded;
  for (int step = 0; step < 20; ++step) {
    if (clock.is_recording()) recorded.push_back(step);
    if (clock.end_step()) due.push_back(step);
  }
  CHECK(due == Ints{1, 9, 17});
  CHECK(recorded == Ints{0, 1, 8, 9, 16, 17});
}

TEST_CASE("load: an interval of 1 rearranges after every step") {
  RearrangementClock clock({.window_size = 1, .step_interval = 1});
  CHECK(clock.end_step());
  CHECK(clock.end_step());
}

TEST_CASE("load: the window forgets its oldest pass") {
  LoadWindow window(1, 2, 2);
  for (int pass = 0; pass < 3; ++pass) {
    for (int i = 0; i <= pass; ++i) window.count(0, pass % 2);
    window.end_pass();
  }
  CHECK(window.sum() == LayerLoads{{3, 2}});
  window.count(0, 1);  // of a pass that runs
  CHECK(window.sum() == LayerLoads{{3, 2}});
}

TEST_CASE("load: replicas of one expert add up") {
  const ReplicaMaps maps = replica_maps({2, 0, 1, 2}, 3);
  CHECK(logical_loads(maps, std::vector<double>{1, 2, 3, 4}) == std::vector<double>{2, 3, 5});
  CHECK_THROWS_AS(logical_loads(maps, std::vector<double>{1}), ContractError);
}

TEST_CASE("load: balancedness over ranks, and over layers as it shipped") {
  const Loads loads = {{4, 0}, {4, 0}};  // all on rank 0: as unbalanced as can be
  CHECK(balancedness(loads, BalancednessAxis::over_ranks) == 0.5);
  CHECK(balancedness(loads, BalancednessAxis::over_layers) == 1.0);
  CHECK(balancedness(Loads{{3, 1}, {0, 2}}, BalancednessAxis::over_ranks) == 0.6);
  CHECK(balancedness(Loads{{0, 0}}, BalancednessAxis::over_ranks) == 0);
  CHECK(balancedness({}, BalancednessAxis::over_layers) == 0);
}
