// Each fault of the table once. MF-48 is a question of what a router records: expert_balance.cc
// asks find_fault where it says which rows count.

#include "sim/placement_faults.h"

#include <utility>

#include "backends/faulty_placement.h"
#include "comm/faulty_communicator.h"
#include "sim/faults.h"

namespace moe::sim {

ExpertMap with_faults(ExpertMap map, int rank, const std::vector<FaultSpec>& faults) {
  if (find_fault(faults, "MF-17", rank) == nullptr) return map;
  return map_with_remainder_last(map.num_experts(), map.num_ranks());
}

ExpertMap loading_map(const ExpertMap& map, Placement placement, int rank,
                      const std::vector<FaultSpec>& faults) {
  if (find_fault(faults, "MF-18", rank) == nullptr) return map;
  const Placement other =
      placement == Placement::linear ? Placement::round_robin : Placement::linear;
  return determine_expert_map(map.num_experts(), map.num_ranks(), other);
}

std::vector<int> masked_ranks_known_to(int rank, const WorldSpec& world,
                                       const std::vector<FaultSpec>& faults) {
  const bool knows_none = find_fault(faults, "MF-58", rank) || find_fault(faults, "MF-59", rank);
  return knows_none ? std::vector<int>() : world.masked_ranks;
}

std::unique_ptr<LayerPlacement> with_faults(std::unique_ptr<LayerPlacement> inner,
                                            const PlacementSite& site,
                                            const std::vector<FaultSpec>& faults) {
  for (const FaultSpec& fault : faults) {
    if (is_fault_on(fault, "MF-46", site.rank) || is_fault_on(fault, "MF-47", site.rank)) {
      inner = with_commit_lost(std::move(inner));
    }
    const bool is_next = is_fault_on(fault, "MF-45", site.rank) && site.earlier != nullptr &&
                         fault_parameter(fault, "layer") == site.layer - 1;
    if (is_next) {
      inner = with_buffer_overwritten(std::move(inner), *site.earlier, site.memory);
    }
  }
  return inner;
}

std::unique_ptr<Communicator> with_move_faults(std::unique_ptr<Communicator> group, int rank,
                                               const std::vector<FaultSpec>& faults) {
  for (const FaultSpec& fault : faults) {
    if (is_fault_on(fault, "MF-55", rank)) group = with_strided_send(std::move(group));
  }
  return group;
}

std::unique_ptr<Router> with_pick_faults(std::unique_ptr<Router> inner,
                                         const LayerPlacement& placement, const PlacementSite& site,
                                         const std::vector<FaultSpec>& faults) {
  if (find_fault(faults, "MF-64", site.rank) == nullptr) return inner;
  return with_pick_by_rank(std::move(inner), placement, site.rank, site.memory);
}

}  // namespace moe::sim
