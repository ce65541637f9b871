// Choices looked up by tag, and counted over all rows of a cell.
// Padding counts as its router would choose for it.

#include "sim/row_choices.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "kernels/base/bits.h"
#include "kernels/base/text.h"

namespace moe::sim {

RowChoices::RowChoices(const ConservationFacts& facts, golden::Cell cell,
                       const DispatchedTokens& tokens)
    : facts_(facts), cell_(cell), tokens_(tokens) {
  for (int expert = 0; expert < facts.inputs.top_k(); ++expert) {
    padding_choice_.push_back(static_cast<std::int16_t>(expert));
  }
}

std::vector<std::int16_t> RowChoices::of(std::int64_t tag) const {
  const auto token = tokens_.token_of(tag);
  std::span<const std::int16_t> chosen = padding_choice_;
  if (token) {
    chosen = facts_.inputs.topk_ids(cell_.step, cell_.layer, token->dp_rank, token->token);
  }
  if (facts_.travelling == nullptr) return {chosen.begin(), chosen.end()};
  return facts_.travelling->travelling(cell_.layer, tokens_.router_row(tag), chosen);
}

int RowChoices::owner_of(int expert) const {
  if (expert < 0) return -1;
  const int owner = facts_.expert_map.rank_of[static_cast<std::size_t>(expert)];
  return facts_.inputs.is_masked(owner) ? -1 : owner;
}

std::vector<int> RowChoices::as_received(std::int64_t tag) const {
  const std::vector<std::int16_t> chosen = of(tag);
  std::vector<int> ids(chosen.begin(), chosen.end());
  if (facts_.capabilities.foreign_choices == ForeignChoices::as_sent) return ids;
  const int last = facts_.expert_map.num_experts() - 1;
  const int elsewhere = lives_here(0) ? last : 0;
  const int replacement = lives_here(elsewhere) ? -1 : elsewhere;
  for (int& id : ids) {
    if (!lives_here(id)) id = replacement;
  }
  return ids;
}

bool RowChoices::holds(const Tensor& row, std::int64_t tag) const {
  std::vector<std::byte> expected(static_cast<std::size_t>(row_bytes(row)));
  if (const auto token = tokens_.token_of(tag)) {
    facts_.inputs.dispatched_row({cell_.step, cell_.layer, token->dp_rank}, token->token, expected);
  }
  return std::memcmp(row.data, expected.data(), expected.size()) == 0;
}

bool DispatchFindings::names_a_token(std::int64_t tag, Where where) {
  if (tokens_.contains(tag)) return true;
  found("PROV", text(where(), " carries tag ", hex16(static_cast<std::uint64_t>(tag)),
                     ", which names no token of this step"));
  return false;
}

void DispatchFindings::check_payload(const Tensor& row, std::int64_t tag, Where where) {
  if (choices_.holds(row, tag)) return;
  found("PROV",
        text(where(), " is tagged ", tokens_.words(tag), " but does not hold its hidden states"));
}

void DispatchFindings::found(std::string_view check, const std::string& what) {
  ledger_.found(check, moment_of(cell_, 0), text(place_text(cell_), ", dispatch: ", what));
}

MessageCounts message_counts(const ConservationFacts& facts, golden::Cell cell) {
  const DispatchedTokens tokens = facts.tokens(cell.step);
  const RowChoices choices(facts, cell, tokens);
  const bool is_by_rank = facts.capabilities.dispatch_move == DispatchMove::rank_messages;
  const int self = facts.parallel.ep_rank;
  MessageCounts counts;
  const RowCounts rows = tokens.rows_per_rank();
  for (int source = 0; source < std::ssize(rows); ++source) {
    for (Count row = 0; row < rows[static_cast<std::size_t>(source)]; ++row) {
      std::multiset<int> owners;
      for (const int expert : choices.of(provenance_tag(source, row))) {
        const int owner = choices.owner_of(expert);
        if (owner >= 0 && (!is_by_rank || owners.count(owner) == 0)) owners.insert(owner);
      }
      const auto own = static_cast<Count>(owners.count(self));
      if (source == self) counts.sent += std::ssize(owners) - own;
      if (source != self) counts.answered += own;
    }
  }
  return counts;
}

}  // namespace moe::sim
