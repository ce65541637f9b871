// MAP: experts live where the placement rule says, all ranks hold the same maps, and the weights in
// each slot are those of the expert that the maps send there (fault-catalogue.md, 2).

#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "backends/placement/expert_placement.h"
#include "backends/placement/layer_placement.h"
#include "comm/communicator.h"
#include "sim/check_ledger.h"
#include "sim/world_inputs.h"

namespace moe::sim {

// Checksums of experts' weights as the scenario makes them, each made once.
class ExpertDigests {
 public:
  ExpertDigests(const WorldInputs& inputs, Memory& memory) : inputs_(inputs), memory_(memory) {}

  std::uint64_t of(int layer, int expert);
  Memory& memory() { return memory_; }

 private:
  const WorldInputs& inputs_;
  Memory& memory_;
  std::map<std::pair<int, int>, std::uint64_t> known_;
};

// The experts of one rank, by slot, as a map has them.
std::vector<int> experts_of_rank(const ExpertMap& map, int rank);

// When a map is looked at, for the ledger and in words: "as loaded", "after step 3".
struct MapMoment {
  Moment moment;
  std::string when;
};

// The map against the rule of distribution-layer.md, 13, worked out once more from the numbers.
void check_placement(const ExpertMap& map, Placement placement, const MapMoment& at,
                     CheckLedger& ledger);

// A rank's slots of one layer. experts: the logical expert of each, as the router's map says.
struct LoadedSlots {
  int layer = 0;
  int rank = 0;  // of the world
  std::span<const int> experts;
  const ExpertWeights& weights;
};

// Which slots are looked at: all, or the first and the last where making weights is dear.
enum class SlotsLookedAt { all, ends };

// Each slot's weights against its expert's.
void check_slots(const LoadedSlots& slots, SlotsLookedAt which, ExpertDigests& digests,
                 const MapMoment& at, CheckLedger& ledger);

// Whether all ranks of the group hold the same maps of layers first_layer and on, each a bijection
// of replicas onto slots. Collective.
void check_same_maps(std::span<const ReplicaMaps* const> maps, int first_layer, Communicator& group,
                     const MapMoment& at, CheckLedger& ledger);

}  // namespace moe::sim
