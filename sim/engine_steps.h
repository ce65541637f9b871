// EngineSteps: a rank's engine around its layers (backends/engine). Where a scenario has requests
// each rank's own loop decides which batch a step is and agrees on it with its DP group; elsewhere
// the scenario's steps are run as they are. Called by rank_program.cc.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backends/engine/lockstep_engine.h"
#include "sim/rank_groups.h"
#include "sim/rank_program.h"

namespace moe::sim {

class EngineSteps {
 public:
  // Collective where there are requests. LIFETIME: the references outlive it.
  EngineSteps(const RankJob& job, RankGroups& ranks, const RankCoordinates& at,
              const FusedMoEParallelConfig& parallel);

  // Before a step's layers. RETURNS whether this rank runs them, which only a seeded fault denies.
  // Throws DisagreementError where ranks do not agree (GROUP), or where the engine comes to another
  // step than its requests need (PROG).
  bool begin(int step);
  // After them.
  void end();

  // Whether the ranks have agreed to cut a step's batch.
  bool in_micro_batches(int step) const;

  // Rows of every DP rank, as the engine has them; without one as the scenario says.
  RowCounts tokens(int step) const;

 private:
  bool skips(int step) const;
  void check_group() const;
  void patch_own_count();

  const RankJob& job_;
  RankGroups& ranks_;
  RankCoordinates at_;
  std::vector<int> dp_members_;
  std::optional<LockstepEngine> engine_;  // none: no requests
  std::vector<PlannedStep> plan_;
  std::vector<Count> tokens_;  // of the step that runs
  int step_ = -1;
  bool has_skipped_ = false;
};

// The engine's settings of a line: those of the scenario in the forms of the line's profile.
EngineSettings engine_settings(const Scenario& scenario, const RunLine& line);

// Why a line's DP chunks cannot hold the micro-batches that its ranks agree on; empty: they can.
std::string micro_batch_refusal(const Scenario& scenario, const RunLine& line);

// Why a line cannot run the scenario's engine for its graph mode, empty where it can.
std::string engine_refusal(const Scenario& scenario, const RunLine& line);

}  // namespace moe::sim
