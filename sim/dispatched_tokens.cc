// Runs of rows in the order in which a dispatch gathers them: DP first, then the ranks that share a
// DP rank's tokens.

#include "sim/dispatched_tokens.h"

#include <algorithm>

#include "comm/exchange_sum.h"
#include "kernels/base/text.h"

namespace moe::sim {

TpSources tp_sources(const Capabilities& capabilities, const WorldSpec& world) {
  if (capabilities.dispatch_reach != DispatchReach::owner_ranks || world.sequence_parallel) {
    return {};
  }
  return {world.tp, capabilities.tp_replicas == TpReplicas::split};
}

DispatchedTokens::DispatchedTokens(const FusedMoEParallelConfig& parallel,
                                   RowCounts num_tokens_across_dp, bool layer_moves_rows,
                                   TpSources sources, const CallPart* part)
    : first_token_(num_tokens_across_dp.size(), 0),
      num_tokens_(num_tokens_across_dp.begin(), num_tokens_across_dp.end()) {
  if (part != nullptr) {
    first_token_ = part->first_token;
    for (std::size_t rank = 0; rank < num_tokens_.size(); ++rank) {
      num_tokens_[rank] = std::min(part->num_rows[rank], num_tokens_[rank] - first_token_[rank]);
    }
  }
  const std::vector<Count> sizes =
      dispatch_sizes(parallel, part == nullptr ? num_tokens_across_dp : part->num_rows);
  const std::size_t shares = sizes.size() / num_tokens_.size();
  for (std::size_t rank = 0; rank < sizes.size(); ++rank) {
    const auto share = static_cast<Count>(rank % shares);
    const Run run{static_cast<int>(rank / shares), share * sizes[rank], sizes[rank]};
    add_sources(run, sources);
  }
  for (const Run& run : runs_) rows_per_rank_.push_back(run.num_rows);
  if (!layer_moves_rows) rows_per_rank_ = {total_rows(sizes)};
}

void DispatchedTokens::add_sources(const Run& run, TpSources sources) {
  const std::vector<Count> parts = even_split(run.num_rows, sources.replicas);
  for (int replica = 0; replica < sources.replicas; ++replica) {
    Run source = run;
    if (sources.are_split) {
      source.first_row = rows_before(parts, replica);
      source.first_token += source.first_row;
      source.num_rows = parts[static_cast<std::size_t>(replica)];
    }
    runs_.push_back(source);
  }
}

bool DispatchedTokens::contains(std::int64_t tag) const {
  const int rank = rank_of_tag(tag);
  return rank >= 0 && rank < std::ssize(rows_per_rank_) &&
         row_of_tag(tag) < rows_per_rank_[static_cast<std::size_t>(rank)];
}

std::size_t DispatchedTokens::index_of(std::int64_t tag) const {
  return static_cast<std::size_t>(rows_before(rows_per_rank_, rank_of_tag(tag)) + row_of_tag(tag));
}

Count DispatchedTokens::router_row(std::int64_t tag) const {
  const bool is_by_source = rows_per_rank_.size() == runs_.size();
  const Count before =
      is_by_source ? runs_[static_cast<std::size_t>(rank_of_tag(tag))].first_row : 0;
  return before + row_of_tag(tag);
}

std::optional<TokenOf> DispatchedTokens::token_of(std::int64_t tag) const {
  auto row = static_cast<Count>(index_of(tag));
  for (const Run& run : runs_) {
    if (row >= run.num_rows) {
      row -= run.num_rows;
      continue;
    }
    const Count token = run.first_token + row;
    const auto rank = static_cast<std::size_t>(run.dp_rank);
    if (token >= num_tokens_[rank]) return std::nullopt;
    return TokenOf{run.dp_rank, first_token_[rank] + token};
  }
  return std::nullopt;
}

std::string DispatchedTokens::words(std::int64_t tag) const {
  const auto token = contains(tag) ? token_of(tag) : std::nullopt;
  if (token) return text("token ", token->token, " of rank ", token->dp_rank);
  const std::string_view what = contains(tag) ? "padding row " : "no row ";
  return text(what, row_of_tag(tag), " of rank ", rank_of_tag(tag));
}

}  // namespace moe::sim
