// PrepareFinalize decorators that move too much, too little or the wrong rows, for seeded faults
// (fault-catalogue.md, 4). Made by the program when a run asks for a fault.

#pragma once

#include "backends/backend.h"

namespace moe {

// What these decorators need of their rank. LIFETIME: the references outlive them.
struct FaultyDispatchSite {
  const ParallelGroups& groups;
  FusedMoEParallelConfig parallel;
  Memory& memory;
};

// MF-01: an all-reduce over TP after combine, beside the runner's own (vllm-ascend#6710: a model
// file reduces what the layer has reduced).
std::unique_ptr<PrepareFinalize> with_extra_all_reduce(std::unique_ptr<PrepareFinalize> inner,
                                                       const FaultyDispatchSite& site);

// MF-21: a masked choice is dispatched as one of expert 0 (vllm#35161 pads with 0 instead of -1).
std::unique_ptr<PrepareFinalize> with_pads_to_expert_0(std::unique_ptr<PrepareFinalize> inner,
                                                       const FaultyDispatchSite& site);

// MF-25: dispatched ids are handed on as 16-bit ones, as many times more as fit into the same bytes
// (vllm#20166: a dtype of ids flips).
std::unique_ptr<PrepareFinalize> with_reinterpreted_ids(std::unique_ptr<PrepareFinalize> inner);

// MF-43: of the list of the ranks' rows only element 0 is used (sglang#28216).
std::unique_ptr<PrepareFinalize> with_first_of_gather(std::unique_ptr<PrepareFinalize> inner);

// MF-15: of a dispatch with one message a choice, combine takes for each choice the row that waits
// under its dispatched id (the expert's number among the slots of all ranks) read as an expert's:
// another choice's of the same token, or none.
std::unique_ptr<PrepareFinalize> with_dispatched_ids_in_combine(
    std::unique_ptr<PrepareFinalize> inner, const FaultyDispatchSite& site,
    const ExpertMap& experts);

// MF-56 of rows that owners send home: the source adds its own rank's first and goes round the
// ranks from there, whatever its recipe says (the order by ownership of F18).
std::unique_ptr<PrepareFinalize> with_own_messages_first(std::unique_ptr<PrepareFinalize> inner,
                                                         const FaultyDispatchSite& site);

// MF-61: the residual, as large as the hidden states, is gathered beside them and thrown away
// (vllm#48763).
std::unique_ptr<PrepareFinalize> with_extra_gather(std::unique_ptr<PrepareFinalize> inner,
                                                   const FaultyDispatchSite& site);

}  // namespace moe
