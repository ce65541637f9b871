// EngineState: one DP rank's engine loop as a machine without a wire (vLLM: v1/engine/core.py;
// distribution-layer.md, 5.2): real and dummy batches, votes every 32nd step, waves, pause.
// lockstep_engine.h gives it a communicator; a plan of all ranks runs it without one.

#pragma once

#include <optional>
#include <vector>

#include "backends/engine/rank_scheduler.h"

namespace moe {

constexpr int steps_between_votes = 32;

enum class VoteForm { any_unfinished, sum_with_pause };
VoteForm vote_form_of(const Profile& profile);

struct EngineSettings {
  std::vector<EngineRequest> requests;  // of all ranks: what the coordinator hears of
  Count max_num_batched_tokens = 2048;
  MicroBatchThresholds micro_batches = {};
  CoordinationSettings coordination = {};
  VoteForm vote_form = VoteForm::any_unfinished;
  GraphMode graph_mode = GraphMode::none;  // the best that a batch may get
  std::vector<Count> capture_sizes = {};   // ascending; a batch above the largest has no graph
};

// Padded to the next size that was captured.
BatchProposal proposed_batch(const EngineSettings& settings, const ScheduledBatch& batch);

enum class BatchKind { real, dummy };
std::string_view name_of(BatchKind kind);

struct EngineStep {
  int tick = 0;
  int wave = 0;
  BatchKind kind = BatchKind::real;
  BatchProposal proposal;

  bool operator==(const EngineStep& other) const {
    return tick == other.tick && wave == other.wave && kind == other.kind;
  }
};

// What ranks say in a vote, and what all said together.
struct Votes {
  int unfinished = 0;
  int pausing = 0;
};

class EngineState {
 public:
  EngineState(EngineSettings settings, int dp_rank, int dp_size);

  // The rank's next batch; nothing where no wave runs and none will: no request is left, or all
  // have paused. A rank without tokens runs a dummy batch of one while the wave runs.
  std::optional<EngineStep> next_step();

  // Ends the step. RETURNS what the rank has to say where the step is one of votes; REQUIRES then
  // that voted follows.
  std::optional<Votes> end_step();
  void voted(const Votes& sum);

  // Takes effect when all ranks ask for it, at a vote.
  void request_pause() { wants_pause_ = true; }
  void resume();

  bool is_running() const { return is_running_; }
  bool is_paused() const { return is_paused_; }
  int wave() const { return wave_; }
  int step_counter() const { return step_counter_; }

 private:
  std::optional<int> next_arrival(int from) const;

  EngineSettings settings_;
  RankScheduler scheduler_;
  int dp_size_;
  int tick_ = -1;
  int wave_ = 0;
  int step_counter_ = 0;  // of the wave
  bool is_running_ = false;
  bool is_paused_ = false;
  bool wants_pause_ = false;
};

}  // namespace moe
