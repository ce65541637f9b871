// The seeded faults of placement and EPLB: names of the table to decorators and maps. Called by
// whoever builds a rank's maps, and by its balance.

#pragma once

#include <memory>
#include <vector>

#include "backends/moe_layer.h"
#include "backends/placement/expert_placement.h"
#include "backends/placement/layer_placement.h"
#include "comm/communicator.h"
#include "sim/scenario.h"

namespace moe::sim {

// MF-17: the map of routers and weights alike.
ExpertMap with_faults(ExpertMap map, int rank, const std::vector<FaultSpec>& faults);

// MF-18: the map by which a rank loads its weights, where routers go by the given one.
ExpertMap loading_map(const ExpertMap& map, Placement placement, int rank,
                      const std::vector<FaultSpec>& faults);

// MF-58, MF-59: the dead ranks of the EP group, as a rank of the world knows them.
std::vector<int> masked_ranks_known_to(int rank, const WorldSpec& world,
                                       const std::vector<FaultSpec>& faults);

// Where a placement's faults go on one rank.
struct PlacementSite {
  int rank = 0;  // of the world
  int layer = 0;
  LayerPlacement* earlier = nullptr;  // of the layer before; null: none on this rank
  Memory& memory;
};

std::unique_ptr<LayerPlacement> with_faults(std::unique_ptr<LayerPlacement> inner,
                                            const PlacementSite& site,
                                            const std::vector<FaultSpec>& faults);

// The group over which experts move.
std::unique_ptr<Communicator> with_move_faults(std::unique_ptr<Communicator> group, int rank,
                                               const std::vector<FaultSpec>& faults);

std::unique_ptr<Router> with_pick_faults(std::unique_ptr<Router> inner,
                                         const LayerPlacement& placement, const PlacementSite& site,
                                         const std::vector<FaultSpec>& faults);

}  // namespace moe::sim
