// The tables follow from the placement's map: a physical number counts slots rank after rank.
// Called by whoever builds a batched backend.

#include "backends/placement/routing_tables.h"

#include "backends/placement/expert_placement.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {

RoutingTables round_robin_routing_tables(int num_experts, int num_ranks, int rank) {
  const ExpertMap map = determine_expert_map(num_experts, num_ranks, Placement::round_robin);
  MOE_CHECK(rank >= 0 && rank < num_ranks, text("rank ", rank, " of ", num_ranks));
  std::vector<std::int64_t> first_of_rank = {0};
  for (const int count : map.num_local_experts) {
    first_of_rank.push_back(first_of_rank.back() + count);
  }
  RoutingTables tables;
  tables.physical_to_global.resize(static_cast<std::size_t>(num_experts));
  for (std::size_t expert = 0; expert < map.rank_of.size(); ++expert) {
    const auto owner = static_cast<std::size_t>(map.rank_of[expert]);
    const std::int64_t physical = first_of_rank[owner] + map.local_of[expert];
    tables.global_to_physical.push_back(physical);
    tables.physical_to_global[static_cast<std::size_t>(physical)] =
        static_cast<std::int64_t>(expert);
    if (map.rank_of[expert] == rank) {
      tables.local_expert_global_ids.push_back(static_cast<std::int64_t>(expert));
    }
  }
  return tables;
}

}  // namespace moe
