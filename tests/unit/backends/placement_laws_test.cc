// Laws of placement over small worlds (distribution-layer.md, 13 and I18): experts are partitioned,
// counts differ by at most one and the first ranks have more, tables undo each other; and the
// deployments that get round robin, each rule alone.

#include <algorithm>
#include <numeric>

#include "backends/placement/expert_placement.h"
#include "backends/placement/placement_strategy.h"
#include "backends/placement/routing_tables.h"
#include "tests/catch.h"

using namespace moe;
using Ints = std::vector<int>;

namespace {

// The experts of a rank by slot.
Ints owned(const ExpertMap& map, int rank) {
  Ints experts(static_cast<std::size_t>(map.num_local_experts[static_cast<std::size_t>(rank)]), -1);
  for (std::size_t expert = 0; expert < map.rank_of.size(); ++expert) {
    if (map.rank_of[expert] == rank) {
      experts.at(static_cast<std::size_t>(map.local_of[expert])) = static_cast<int>(expert);
    }
  }
  return experts;
}

// Every expert on one rank, slots ascending, the first num_experts % ranks of them with one more.
void check_partition(int num_experts, const ExpertMap& map) {
  const int num_ranks = map.num_ranks();
  Ints all;
  for (int rank = 0; rank < num_ranks; ++rank) {
    const Ints experts = owned(map, rank);
    CHECK(std::ssize(experts) == num_experts / num_ranks + (rank < num_experts % num_ranks));
    CHECK(std::ranges::is_sorted(experts));
    all.insert(all.end(), experts.begin(), experts.end());
  }
  std::ranges::sort(all);
  Ints expected(static_cast<std::size_t>(num_experts));
  std::iota(expected.begin(), expected.end(), 0);
  CHECK(all == expected);
}

PlacementRequest asking_for_round_robin() {
  return {.asked = Placement::round_robin, .num_expert_group = 2};
}

}  // namespace

TEST_CASE("I18: experts over 1 to 8 ranks are a partition, the first ranks have the rest") {
  for (int num_experts = 1; num_experts <= 17; ++num_experts) {
    for (int num_ranks = 1; num_ranks <= 8; ++num_ranks) {
      check_partition(num_experts, determine_expert_map(num_experts, num_ranks, Placement::linear));
      check_partition(num_experts,
                      determine_expert_map(num_experts, num_ranks, Placement::round_robin));
    }
  }
}

TEST_CASE("placement: 9 and 17 experts on 2 ranks") {
  CHECK(owned(determine_expert_map(9, 2, Placement::linear), 0) == Ints{0, 1, 2, 3, 4});
  CHECK(owned(determine_expert_map(9, 2, Placement::linear), 1) == Ints{5, 6, 7, 8});
  CHECK(owned(determine_expert_map(9, 2, Placement::round_robin), 0) == Ints{0, 2, 4, 6, 8});
  CHECK(owned(determine_expert_map(9, 2, Placement::round_robin), 1) == Ints{1, 3, 5, 7});
  CHECK(owned(determine_expert_map(17, 2, Placement::linear), 1).front() == 9);
}

TEST_CASE("I18: the routing tables of 8 experts on 2 ranks, and tables undo each other") {
  using Ids = std::vector<std::int64_t>;
  const RoutingTables eight = round_robin_routing_tables(8, 2, 0);
  CHECK(eight.global_to_physical == Ids{0, 4, 1, 5, 2, 6, 3, 7});
  CHECK(eight.physical_to_global == Ids{0, 2, 4, 6, 1, 3, 5, 7});
  for (const int num_experts : {4, 8, 9, 16, 17}) {
    for (int num_ranks = 1; num_ranks <= 5; ++num_ranks) {
      const RoutingTables tables = round_robin_routing_tables(num_experts, num_ranks, 0);
      for (std::int64_t expert = 0; expert < num_experts; ++expert) {
        const auto physical = tables.global_to_physical.at(static_cast<std::size_t>(expert));
        CHECK(tables.physical_to_global.at(static_cast<std::size_t>(physical)) == expert);
      }
    }
  }
}

TEST_CASE("placement strategy: linear is never refused, round robin is honoured without warning") {
  CHECK(determine_expert_placement_strategy({}).warning.empty());
  const PlacementDecision honoured = determine_expert_placement_strategy(asking_for_round_robin());
  CHECK(honoured.placement == Placement::round_robin);
  CHECK(honoured.warning.empty());
}

TEST_CASE("placement strategy: each rule alone turns round robin into linear and says why") {
  using Change = void (*)(PlacementRequest&);
  const std::vector<std::pair<Change, std::string>> rules = {
      {[](PlacementRequest& r) { r.num_expert_group = 1; }, "more than one expert group"},
      {[](PlacementRequest& r) { r.num_redundant_experts = 2; }, "no redundant experts"},
      {[](PlacementRequest& r) { r.enable_eplb = true; }, "EPLB"},
      {[](PlacementRequest& r) { r.use_all2all_kernels = true; }, "no routing tables"}};
  for (const auto& [change, why] : rules) {
    PlacementRequest request = asking_for_round_robin();
    change(request);
    const PlacementDecision refused = determine_expert_placement_strategy(request);
    INFO(refused.warning);
    CHECK(refused.placement == Placement::linear);
    CHECK(refused.warning.find(why) != std::string::npos);
  }
}

TEST_CASE("placement strategy: all2all kernels with routing tables keep round robin") {
  PlacementRequest request = asking_for_round_robin();
  request.use_all2all_kernels = true;
  request.needs_routing_tables = true;
  CHECK(determine_expert_placement_strategy(request).placement == Placement::round_robin);
}
