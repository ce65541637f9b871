// LockstepEngine: what keeps a DP rank in step with the others around the layer: the agreed batch
// before a step, the vote after it (distribution-layer.md, 5). And the same for all ranks at once
// without a wire, for whoever needs to know beforehand what they will do.

#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "backends/engine/engine_state.h"

namespace moe {

// A step as one rank runs it.
struct AgreedStep {
  EngineStep step;
  BatchDecision decision;
  Count num_tokens = 0;  // of this rank, padding included
};

class LockstepEngine {
 public:
  // dp: the group of those ranks. LIFETIME: it outlives the engine.
  LockstepEngine(Communicator& dp, DpPlace place, const EngineSettings& settings);

  // Collective. Nothing: no step is left.
  std::optional<AgreedStep> next_step();
  // Collective where the step is one of votes.
  void end_step();

  // Leaves out the rank's next step as an early return does: no collective, no batch (#43547).
  void skip_step();

  EngineState& state() { return state_; }

 private:
  Communicator& dp_;
  DpPlace place_;
  EngineSettings settings_;
  EngineState state_;
};

// Every step of every rank, in order.
struct PlannedStep {
  std::vector<EngineStep> of_rank;  // by DP rank
  BatchDecision decision;
  std::vector<Count> tokens;  // of each DP rank, padding included
};
// Stops after steps_max of them.
std::vector<PlannedStep> planned_steps(const EngineSettings& settings, int dp_size,
                                       std::size_t steps_max);

// DP ranks compare their configuration before the first step: a wrong one fails at once where it
// would hang. Collective. Throws SystemError with who says what.
void check_same_config(Communicator& dp, std::string_view config);

}  // namespace moe
