// LayerPlacement: what is in force for one layer on one rank, the maps that its router reads and
// the weights in its slots. A seam, so that a commit that gets lost can be seen
// (fault-catalogue.md, F15). Read by routers and experts, committed to by rearrangements.

#pragma once

#include <memory>

#include "backends/placement/replica_maps.h"
#include "backends/standard_experts.h"

namespace moe {

class LayerPlacement {
 public:
  virtual ~LayerPlacement() = default;

  // LIFETIME of both: until the next commit.
  virtual const ReplicaMaps& maps() const = 0;
  virtual const ExpertWeights& weights() const = 0;

  // Grows with each commit: what was made of the weights is stale once it differs.
  virtual int version() const = 0;

  // Maps and weights take effect together.
  virtual void commit(ReplicaMaps maps, ExpertWeights weights) = 0;
};

std::unique_ptr<LayerPlacement> make_layer_placement(ReplicaMaps maps, ExpertWeights weights);

}  // namespace moe
