// The tensor of the sum is [rows, DP] i32, as vLLM sends it; a rank that fills another's column, or
// a group that is not DP's, adds up to counts that nobody has.

#include "backends/engine/batch_coordination.h"

#include <algorithm>
#include <array>

#include "backends/config/era.h"
#include "kernels/base/buffer.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

constexpr int rows_max = 4;

int rows_of_form(SyncForm form) { return form == SyncForm::four_rows ? 4 : 2; }

std::array<std::int32_t, rows_max> column_of(const BatchProposal& own, SyncForm form) {
  const auto padded = static_cast<std::int32_t>(own.num_tokens_padded);
  const std::int32_t flag = own.wants_micro_batches ? 1 : 0;
  if (form == SyncForm::two_rows) return {padded, flag, 0, 0};
  return {static_cast<std::int32_t>(own.num_tokens), padded, flag,
          static_cast<std::int32_t>(own.graph_mode)};
}

BatchProposal proposal_of(const std::array<std::int32_t, rows_max>& column, SyncForm form) {
  if (form == SyncForm::two_rows) return {column[0], column[0], column[1] == 1};
  return {column[0], column[1], column[2] == 1, static_cast<GraphMode>(std::min(column[3], 2))};
}

}  // namespace

std::string_view name_of(GraphMode mode) {
  constexpr std::array<std::string_view, 3> words = {"none", "piecewise", "full"};
  return words[static_cast<std::size_t>(mode)];
}

SyncForm sync_form_of(const Profile& profile) {
  return era_of(profile) < Era::post_33724 ? SyncForm::two_rows : SyncForm::four_rows;
}

bool last_micro_batch_is_empty(Count fewest_tokens, Count most_padded, int num_micro_batches) {
  return most_padded / num_micro_batches * (num_micro_batches - 1) >= fewest_tokens;
}

BatchDecision decided_batch(std::span<const BatchProposal> proposals, int own,
                            const CoordinationSettings& settings) {
  const auto fewest = std::ranges::min(proposals, {}, &BatchProposal::num_tokens).num_tokens;
  const auto most =
      std::ranges::max(proposals, {}, &BatchProposal::num_tokens_padded).num_tokens_padded;
  const bool all_want = std::ranges::all_of(proposals, &BatchProposal::wants_micro_batches);
  const bool is_four = settings.form == SyncForm::four_rows;
  BatchDecision decision;
  decision.micro_batches =
      all_want && !last_micro_batch_is_empty(fewest, most, settings.num_micro_batches);
  decision.graph_mode = is_four
                            ? std::ranges::min(proposals, {}, &BatchProposal::graph_mode).graph_mode
                            : proposals[static_cast<std::size_t>(own)].graph_mode;
  const bool is_graphed =
      is_four ? decision.graph_mode != GraphMode::none : settings.allow_dp_padding;
  for (const BatchProposal& proposal : proposals) {
    const bool is_padded = is_graphed || decision.micro_batches;
    decision.num_tokens_across_dp.push_back(is_padded ? most : proposal.num_tokens_padded);
  }
  return decision;
}

BatchDecision coordinate_batch_across_dp(Communicator& dp, DpPlace place, const BatchProposal& own,
                                         const CoordinationSettings& settings) {
  if (place.size == 1) return {.graph_mode = own.graph_mode};
  MOE_CHECK(own.num_tokens_padded >= own.num_tokens,
            text(own.num_tokens, " tokens padded to ", own.num_tokens_padded));
  const int rows = rows_of_form(settings.form);
  const auto size = static_cast<std::size_t>(place.size);
  std::vector<std::int32_t> sums(static_cast<std::size_t>(rows) * size, 0);
  const auto column = column_of(own, settings.form);
  const auto at = [&](std::size_t row, std::size_t rank) -> std::int32_t& {
    return sums[row * size + rank];
  };
  for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
    at(row, static_cast<std::size_t>(place.rank)) = column[row];
  }
  const Tensor host{sums.data(), rows, place.size, DType::i32, {}};
  const Buffer buffer(dp.memory(), {rows, place.size, DType::i32});
  dp.memory().copy_from_host(host, buffer.tensor());
  dp.all_reduce(buffer.tensor(), ReduceOp::sum, buffer.tensor());
  dp.memory().copy_to_host(buffer.tensor(), host);
  std::vector<BatchProposal> proposals;
  for (std::size_t rank = 0; rank < size; ++rank) {
    std::array<std::int32_t, rows_max> seen{};
    for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row)
      seen[row] = at(row, rank);
    proposals.push_back(proposal_of(seen, settings.form));
  }
  return decided_batch(proposals, place.rank, settings);
}

bool proposes_micro_batches(const MicroBatchThresholds& thresholds, Count num_tokens,
                            BatchContent content) {
  const bool is_decode = content == BatchContent::uniform_decode;
  return thresholds.enabled &&
         num_tokens >= (is_decode ? thresholds.decode_tokens : thresholds.prefill_tokens);
}

std::vector<RowRange> micro_batch_ranges(Count num_tokens, int num_micro_batches) {
  const Count width = num_tokens / num_micro_batches;
  std::vector<RowRange> ranges;
  for (int i = 0; i < num_micro_batches; ++i) {
    const bool is_last = i + 1 == num_micro_batches;
    ranges.push_back({i * width, is_last ? num_tokens : (i + 1) * width});
  }
  return ranges;
}

}  // namespace moe
