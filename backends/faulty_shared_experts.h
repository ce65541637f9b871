// Shared experts that lie, for seeded faults (fault-catalogue.md, F1): added once a rank, fed the
// wrong rows, or lost. Decorators; made by the program when a run asks for a fault.

#pragma once

#include "backends/shared_experts.h"
#include "comm/communicator.h"

namespace moe {

// MF-02: what is complete already is added before the reduction: every rank of the TP group gives
// the whole sum as its part of one (vllm#49122, TensorRT-LLM#15922).
std::unique_ptr<SharedExperts> with_shared_sum_before_reduce(std::unique_ptr<SharedExperts> inner,
                                                             Communicator& tp);

// MF-03: the name of the rank's own rows was taken by the gathered ones, so that each rank's shared
// experts see the first rows of the group's (vllm#24530, #28740). Rows beyond them are zeros.
std::unique_ptr<SharedExperts> with_gathered_shared_input(std::unique_ptr<SharedExperts> inner,
                                                          Communicator& dispatch_group);

// MF-05: the shared experts' output is dropped: zeros come in its place (vllm#36061).
std::unique_ptr<SharedExperts> with_shared_dropped(std::unique_ptr<SharedExperts> inner,
                                                   Memory& memory);

}  // namespace moe
