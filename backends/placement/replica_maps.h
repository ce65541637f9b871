// Which logical expert each physical slot of a layer holds, and which slots hold each logical
// expert (vLLM: physical_to_logical_map, logical_to_physical_map, logical_replica_count of
// distributed/eplb/eplb_state.py; distribution-layer.md, 14). Pure data, the same on all ranks.

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/base/tensor.h"

namespace moe {

// Slots of all ranks, rank after rank: rank r of R owns slots [r * P / R, (r + 1) * P / R).
struct ReplicaMaps {
  std::vector<int> physical_to_logical;               // [P]
  std::vector<std::vector<int>> logical_to_physical;  // [L], each its replicas ascending

  int num_physical() const { return static_cast<int>(physical_to_logical.size()); }
  int num_logical() const { return static_cast<int>(logical_to_physical.size()); }
  int replica_count(int logical) const {
    return static_cast<int>(logical_to_physical[static_cast<std::size_t>(logical)].size());
  }
  bool operator==(const ReplicaMaps&) const = default;
};

// Before any rearrangement: the logical experts, then the first ones once more, round and round.
std::vector<int> initial_physical_to_logical(int num_logical, int num_redundant);

// Throws ContractError for a slot that names no expert and for an expert without a slot.
ReplicaMaps replica_maps(std::vector<int> physical_to_logical, int num_logical);

// Which replica a choice gets. identity: ids stay as they are (platforms that are not CUDA-alike,
// which have no EPLB). by_position: vLLM's choice, (token * top_k + slot) mod replicas, which for
// an even top_k binds a slot to a replica. by_token_hash: what #40810 put in its place.
enum class ReplicaChoice { identity, by_position, by_token_hash };

// One choice of a token: its row among the rows that its router sees, and its slot of top_k.
struct ChoicePlace {
  Count token = 0;
  int slot = 0;
  int top_k = 1;
};

// The replica's number, below replica_count. REQUIRES replica_count > 0.
int replica_of(ReplicaChoice choice, ChoicePlace place, int replica_count);

// The slot that a choice of a logical expert goes to, -1 for one that names no expert.
int physical_id(const ReplicaMaps& maps, ReplicaChoice choice, ChoicePlace place, int logical);

}  // namespace moe
