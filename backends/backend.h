// Backend: one row of registry.def as a value, and what a backend is built from.
// Each backend's file defines one constant of this type under its own name.

#pragma once

#include "backends/capabilities.h"
#include "backends/moe_layer.h"
#include "comm/communicator.h"
#include "kernels/base/expert_map.h"

namespace moe {

enum class Provenance { off, travels };

// LIFETIME: the references outlive the PrepareFinalize.
struct PrepareFinalizeConfig {
  Communicator& group;  // the EP group of this rank
  Memory& memory;
  const ExpertMap& expert_map;  // over the ranks of the group
  Provenance provenance = Provenance::off;
};

struct Backend {
  Capabilities capabilities;
  std::unique_ptr<PrepareFinalize> (*make)(const PrepareFinalizeConfig& config);
};

}  // namespace moe
