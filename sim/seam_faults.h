// Which of the faults that spoil ids, rows, workspaces and collectives a fault is, and its
// decorator. Called by faults.cc; the decorators stand beside their seams in backends/.

#pragma once

#include "sim/faults.h"

namespace moe::sim {

// The seam as it is where the fault is none of its own.
std::unique_ptr<PrepareFinalize> with_dispatch_fault(std::unique_ptr<PrepareFinalize> inner,
                                                     const FaultSite& site, const FaultSpec& fault);
std::unique_ptr<Experts> with_workspace_fault(std::unique_ptr<Experts> inner, const FaultSite& site,
                                              const FaultSpec& fault);

}  // namespace moe::sim
