// Linear and round-robin placement.
// The golden vectors of experts-and-oracles.md, 18, are its unit tests.

#include "backends/placement/expert_placement.h"

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {

ExpertMap determine_expert_map(int num_experts, int num_ranks, Placement placement) {
  MOE_CHECK(num_experts >= 0 && num_ranks > 0,
            text(num_experts, " experts dealt to ", num_ranks, " ranks"));
  const int base = num_experts / num_ranks;
  const int remainder = num_experts % num_ranks;
  ExpertMap map;
  for (int rank = 0; rank < num_ranks; ++rank) {
    map.num_local_experts.push_back(base + (rank < remainder ? 1 : 0));
  }
  int rank = 0;
  int local = 0;
  for (int expert = 0; expert < num_experts; ++expert) {
    if (placement == Placement::round_robin) {
      rank = expert % num_ranks;
      local = expert / num_ranks;
    } else {
      while (local == map.num_local_experts[static_cast<std::size_t>(rank)]) {
        ++rank;
        local = 0;
      }
    }
    map.rank_of.push_back(rank);
    map.local_of.push_back(local++);
  }
  return map;
}

}  // namespace moe
