// ExpertIdMap: the step from the ids that travel to the slots of this rank. A seam of its own, so
// that skipping it can be seen (fault-catalogue.md, F5). Called by experts before they group rows.

#pragma once

#include <vector>

#include "kernels/kernels.h"

namespace moe {

class ExpertIdMap {
 public:
  virtual ~ExpertIdMap() = default;

  // dispatched: ids of all ranks' experts. RETURNS topk_ids [rows, top_k] in the local space, -1
  // for a choice that is masked or lives elsewhere; no weights. Throws ContractError for ids that
  // are local already and for one that the map does not have.
  virtual RoutingBuffers local_ids(const Routing& dispatched) = 0;
};

// expert_map: of each global expert its slot on this rank, -1 elsewhere.
std::unique_ptr<ExpertIdMap> make_expert_id_map(Kernels& kernels,
                                                const std::vector<int>& expert_map);

}  // namespace moe
