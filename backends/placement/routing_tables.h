// Round-robin's routing tables (vLLM: fused_moe/layer.py; experts-and-oracles.md, 2.2). A batched
// all2all library takes expert p to live on rank p / (experts each): ids are translated before it.

#pragma once

#include <cstdint>
#include <vector>

namespace moe {

struct RoutingTables {
  std::vector<std::int64_t> global_to_physical;       // [num_experts]
  std::vector<std::int64_t> physical_to_global;       // its inverse
  std::vector<std::int64_t> local_expert_global_ids;  // of the rank, by slot
};

// Tables of experts dealt round robin to num_ranks. REQUIRES 0 <= rank < num_ranks.
RoutingTables round_robin_routing_tables(int num_experts, int num_ranks, int rank);

}  // namespace moe
