// Maps are refilled as vLLM does: slots ascending, so that a logical expert's replicas ascend too.
// Called by whoever starts or rearranges a layer, and by routers for each choice.

#include "backends/placement/replica_maps.h"

#include <utility>

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

// Knuth's multiplier; 32-bit, as the CUDA kernel of #40810 computes it.
constexpr std::uint32_t hash_multiplier = 2654435769U;

}  // namespace

std::vector<int> initial_physical_to_logical(int num_logical, int num_redundant) {
  std::vector<int> logical_of;
  for (int slot = 0; slot < num_logical + num_redundant; ++slot) {
    logical_of.push_back(slot < num_logical ? slot : (slot - num_logical) % num_logical);
  }
  return logical_of;
}

ReplicaMaps replica_maps(std::vector<int> physical_to_logical, int num_logical) {
  ReplicaMaps maps{std::move(physical_to_logical), {}};
  maps.logical_to_physical.resize(static_cast<std::size_t>(num_logical));
  for (int slot = 0; slot < maps.num_physical(); ++slot) {
    const int logical = maps.physical_to_logical[static_cast<std::size_t>(slot)];
    MOE_CHECK(logical >= 0 && logical < num_logical,
              text("slot ", slot, " holds expert ", logical, " of ", num_logical));
    maps.logical_to_physical[static_cast<std::size_t>(logical)].push_back(slot);
  }
  for (int logical = 0; logical < num_logical; ++logical) {
    MOE_CHECK(maps.replica_count(logical) > 0, text("no slot holds expert ", logical));
  }
  return maps;
}

int replica_of(ReplicaChoice choice, ChoicePlace place, int replica_count) {
  const auto count = static_cast<Count>(replica_count);
  if (choice == ReplicaChoice::by_position) {
    return static_cast<int>((place.token * place.top_k + place.slot) % count);
  }
  if (choice == ReplicaChoice::by_token_hash) {
    const std::uint32_t hashed = static_cast<std::uint32_t>(place.token) * hash_multiplier;
    return static_cast<int>(hashed % static_cast<std::uint32_t>(replica_count));
  }
  return 0;
}

int physical_id(const ReplicaMaps& maps, ReplicaChoice choice, ChoicePlace place, int logical) {
  if (logical < 0 || logical >= maps.num_logical()) return -1;
  if (choice == ReplicaChoice::identity) return logical;
  const auto& replicas = maps.logical_to_physical[static_cast<std::size_t>(logical)];
  const int replica = replica_of(choice, place, static_cast<int>(replicas.size()));
  return replicas[static_cast<std::size_t>(replica)];
}

}  // namespace moe
