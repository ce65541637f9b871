// The loop's rules. With one DP rank nobody votes: the wave ends with the work.
// A late request starts a wave on every rank, since the coordinator tells all of them.

#include "backends/engine/engine_state.h"

#include <algorithm>
#include <utility>

#include "backends/config/era.h"
#include "kernels/base/check.h"

namespace moe {

VoteForm vote_form_of(const Profile& profile) {
  return era_of(profile) < Era::late_2026 ? VoteForm::any_unfinished : VoteForm::sum_with_pause;
}

std::string_view name_of(BatchKind kind) { return kind == BatchKind::real ? "real" : "dummy"; }

BatchProposal proposed_batch(const EngineSettings& settings, const ScheduledBatch& batch) {
  BatchProposal proposal{.num_tokens = batch.num_tokens, .num_tokens_padded = batch.num_tokens};
  proposal.wants_micro_batches =
      proposes_micro_batches(settings.micro_batches, batch.num_tokens, batch.content);
  const auto size = std::ranges::lower_bound(settings.capture_sizes, batch.num_tokens);
  const bool has_graph =
      settings.graph_mode != GraphMode::none && size != settings.capture_sizes.end();
  if (!has_graph) return proposal;
  proposal.num_tokens_padded = *size;
  const bool is_decode = batch.content == BatchContent::uniform_decode;
  proposal.graph_mode =
      is_decode ? settings.graph_mode : std::min(settings.graph_mode, GraphMode::piecewise);
  return proposal;
}

EngineState::EngineState(EngineSettings settings, int dp_rank, int dp_size)
    : settings_(std::move(settings)),
      scheduler_(settings_.requests, dp_rank, settings_.max_num_batched_tokens),
      dp_size_(dp_size) {}

// The first tick from there on at which any rank gets a request.
std::optional<int> EngineState::next_arrival(int from) const {
  std::optional<int> first;
  for (const EngineRequest& request : settings_.requests) {
    if (request.arrives < from) continue;
    first = std::min(first.value_or(request.arrives), request.arrives);
  }
  return first;
}

std::optional<EngineStep> EngineState::next_step() {
  if (is_paused_) return std::nullopt;
  int tick = tick_ + 1;
  if (!is_running_) {
    const std::optional<int> arrival = next_arrival(tick);
    if (!arrival) return std::nullopt;
    tick = *arrival;
    is_running_ = true;
  }
  tick_ = tick;
  ScheduledBatch batch = scheduler_.schedule(tick);
  const BatchKind kind = batch.num_tokens > 0 ? BatchKind::real : BatchKind::dummy;
  if (kind == BatchKind::dummy) batch = {1, BatchContent::uniform_decode};
  return EngineStep{tick, wave_, kind, proposed_batch(settings_, batch)};
}

std::optional<Votes> EngineState::end_step() {
  ++step_counter_;
  const Votes own{scheduler_.has_unfinished(tick_) ? 1 : 0, wants_pause_ ? 1 : 0};
  if (dp_size_ > 1)
    return step_counter_ % steps_between_votes == 0 ? std::optional(own) : std::nullopt;
  voted(own);
  return std::nullopt;
}

void EngineState::voted(const Votes& sum) {
  is_paused_ = settings_.vote_form == VoteForm::sum_with_pause && sum.pausing == dp_size_;
  if (is_paused_) return;
  is_running_ = sum.unfinished > 0;
  if (is_running_) return;
  ++wave_;
  step_counter_ = 0;
}

void EngineState::resume() {
  MOE_CHECK(is_paused_, "an engine that has not paused resumes");
  is_paused_ = false;
  wants_pause_ = false;
}

}  // namespace moe
