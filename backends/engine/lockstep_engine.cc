// The wires of the engine's machine: sums of a few integers over the DP group.
// Nothing here looks at a token.

#include "backends/engine/lockstep_engine.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>

#include "comm/gathered_numbers.h"
#include "comm/operation.h"
#include "kernels/base/buffer.h"
#include "kernels/base/check.h"
#include "kernels/base/digest.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

// The reduction of a few i32 over the group.
template <std::size_t N>
std::array<std::int32_t, N> reduced(Communicator& group, std::array<std::int32_t, N> values,
                                    ReduceOp op) {
  const Tensor host{values.data(), 1, static_cast<Count>(N), DType::i32, {}};
  const Buffer buffer(group.memory(), {1, static_cast<Count>(N), DType::i32});
  group.memory().copy_from_host(host, buffer.tensor());
  group.all_reduce(buffer.tensor(), op, buffer.tensor());
  group.memory().copy_to_host(buffer.tensor(), host);
  return values;
}

Votes counted(Communicator& dp, const Votes& own, VoteForm form) {
  if (form == VoteForm::any_unfinished) {
    return {reduced<1>(dp, {own.unfinished}, ReduceOp::max)[0], 0};
  }
  const auto sums = reduced<2>(dp, {own.unfinished, own.pausing}, ReduceOp::sum);
  return {sums[0], sums[1]};
}

Count own_tokens(const BatchDecision& decision, const BatchProposal& own, int dp_rank) {
  if (decision.num_tokens_across_dp.empty()) return own.num_tokens_padded;
  return decision.num_tokens_across_dp.at(static_cast<std::size_t>(dp_rank));
}

}  // namespace

LockstepEngine::LockstepEngine(Communicator& dp, DpPlace place, const EngineSettings& settings)
    : dp_(dp), place_(place), settings_(settings), state_(settings, place.rank, place.size) {}

std::optional<AgreedStep> LockstepEngine::next_step() {
  const std::optional<EngineStep> step = state_.next_step();
  if (!step) return std::nullopt;
  AgreedStep agreed{
      *step, coordinate_batch_across_dp(dp_, place_, step->proposal, settings_.coordination)};
  agreed.num_tokens = own_tokens(agreed.decision, step->proposal, place_.rank);
  return agreed;
}

void LockstepEngine::end_step() {
  const std::optional<Votes> own = state_.end_step();
  if (own) state_.voted(counted(dp_, *own, settings_.vote_form));
}

void LockstepEngine::skip_step() {
  state_.next_step();
  state_.end_step();
}

std::vector<PlannedStep> planned_steps(const EngineSettings& settings, int dp_size,
                                       std::size_t steps_max) {
  std::vector<EngineState> ranks;
  for (int rank = 0; rank < dp_size; ++rank) ranks.emplace_back(settings, rank, dp_size);
  std::vector<PlannedStep> plan;
  while (plan.size() < steps_max) {
    PlannedStep planned;
    std::vector<BatchProposal> proposals;
    for (EngineState& rank : ranks) {
      const std::optional<EngineStep> step = rank.next_step();
      if (!step) return plan;  // the same on all ranks
      planned.of_rank.push_back(*step);
      proposals.push_back(step->proposal);
    }
    if (dp_size > 1) {
      planned.decision = decided_batch(proposals, 0, settings.coordination);
    } else {
      planned.decision.graph_mode = proposals[0].graph_mode;
    }
    for (int rank = 0; rank < dp_size; ++rank) {
      const BatchProposal& own = proposals[static_cast<std::size_t>(rank)];
      planned.tokens.push_back(own_tokens(planned.decision, own, rank));
    }
    plan.push_back(planned);
    Votes sum;
    std::size_t num_votes = 0;
    for (EngineState& rank : ranks) {
      const std::optional<Votes> own = rank.end_step();
      if (!own) continue;
      ++num_votes;
      sum.unfinished += own->unfinished;
      sum.pausing += own->pausing;
    }
    if (num_votes == 0) continue;
    for (EngineState& rank : ranks) rank.voted(sum);
  }
  return plan;
}

void check_same_config(Communicator& dp, std::string_view config) {
  const std::uint64_t digest = digest_of(std::as_bytes(std::span(config)));
  const std::int64_t own[] = {static_cast<std::int64_t>(digest)};
  const std::vector<std::int64_t> all = gathered_numbers(own, dp);
  std::map<std::int64_t, std::vector<int>> camps;
  for (int rank = 0; rank < dp.size(); ++rank) {
    camps[all[static_cast<std::size_t>(rank)]].push_back(rank);
  }
  if (camps.size() == 1) return;
  std::vector<std::string> said;
  for (const auto& [hash, ranks] : camps) said.push_back(ranks_text(ranks));
  throw SystemError(text("DP ranks have different configurations: ", joined(said, " against "),
                         "; rank ", dp.rank(), " has ", config));
}

}  // namespace moe
