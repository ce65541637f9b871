// Each fault of the table once. MF-48 is a question of what a router records: expert_balance.cc
// asks has_fault where it says which rows count.

#include "sim/placement_faults.h"

#include <algorithm>
#include <utility>

#include "backends/faulty_placement.h"
#include "comm/faulty_communicator.h"
#include "sim/faults.h"

namespace moe::sim {

bool has_fault(std::string_view name, const std::vector<FaultSpec>& faults) {
  return std::ranges::count(faults, name, &FaultSpec::name) > 0;
}

ExpertMap with_faults(ExpertMap map, const std::vector<FaultSpec>& faults) {
  if (!has_fault("MF-17", faults)) return map;
  return map_with_remainder_last(map.num_experts(), map.num_ranks());
}

ExpertMap loading_map(const ExpertMap& map, Placement placement,
                      const std::vector<FaultSpec>& faults) {
  if (!has_fault("MF-18", faults)) return map;
  const Placement other =
      placement == Placement::linear ? Placement::round_robin : Placement::linear;
  return determine_expert_map(map.num_experts(), map.num_ranks(), other);
}

std::vector<int> masked_ranks_known_to(int rank, const WorldSpec& world,
                                       const std::vector<FaultSpec>& faults) {
  for (const FaultSpec& fault : faults) {
    if (fault.name == "MF-58") return {};
    if (fault.name == "MF-59" && fault_is_on_rank(fault, rank)) return {};
  }
  return world.masked_ranks;
}

std::unique_ptr<LayerPlacement> with_faults(std::unique_ptr<LayerPlacement> inner,
                                            const PlacementSite& site,
                                            const std::vector<FaultSpec>& faults) {
  for (const FaultSpec& fault : faults) {
    const bool is_lost = fault.name == "MF-46" || fault.name == "MF-47";
    if (is_lost && fault_is_on_rank(fault, site.rank)) inner = with_commit_lost(std::move(inner));
    const bool is_next = fault.name == "MF-45" && site.earlier != nullptr &&
                         fault_parameter(fault, "layer") == site.layer - 1;
    if (is_next && fault_is_on_rank(fault, site.rank)) {
      inner = with_buffer_overwritten(std::move(inner), *site.earlier, site.memory);
    }
  }
  return inner;
}

std::unique_ptr<Communicator> with_move_faults(std::unique_ptr<Communicator> group, int rank,
                                               const std::vector<FaultSpec>& faults) {
  for (const FaultSpec& fault : faults) {
    if (fault.name == "MF-55" && fault_is_on_rank(fault, rank)) {
      group = with_strided_send(std::move(group));
    }
  }
  return group;
}

std::unique_ptr<Router> with_pick_faults(std::unique_ptr<Router> inner,
                                         const LayerPlacement& placement, const PlacementSite& site,
                                         const std::vector<FaultSpec>& faults) {
  if (!has_fault("MF-64", faults)) return inner;
  return with_pick_by_rank(std::move(inner), placement, site.rank, site.memory);
}

}  // namespace moe::sim
