// What a dispatched row must be, by its tag: the experts that its token chose, where they live, and
// its hidden states. From the scenario alone; read by the checks of both activation formats.

#pragma once

#include <functional>

#include "sim/conservation.h"
#include "sim/dispatched_rows.h"

namespace moe::sim {

// The tag of a row that nobody sent.
inline constexpr std::int64_t no_row = -1;

// The choices of one cell. LIFETIME: facts and tokens outlive it.
class RowChoices {
 public:
  RowChoices(const ConservationFacts& facts, golden::Cell cell, const DispatchedTokens& tokens)
      : facts_(facts), cell_(cell), tokens_(tokens) {}

  // -1 masked, as the ids travel. Padding is a row of zeros.
  std::vector<std::int16_t> of(std::int64_t tag) const;

  // The same as this rank sees them in the standard format.
  std::vector<int> as_received(std::int64_t tag) const;

  bool lives_here(int expert) const { return owner_of(expert) == facts_.parallel.ep_rank; }
  // -1 of a masked choice and of an expert on a masked rank.
  int owner_of(int expert) const;

  // What the tag's token holds: its values, or their codes and scales as the judge makes them.
  struct Payload {
    std::vector<std::byte> data;
    std::vector<std::byte> scales;
  };
  Payload payload(const DispatchedRows& rows, Count row, std::int64_t tag) const;

  // The tag's token's row as it is dispatched, `columns` values; of padding zeros.
  std::vector<std::byte> values(Count columns, std::int64_t tag) const;

 private:
  const ConservationFacts& facts_;
  golden::Cell cell_;
  const DispatchedTokens& tokens_;
};

// What the checks of both formats have in common.
class DispatchFindings {
 public:
  DispatchFindings(const ConservationFacts& facts, golden::Cell cell, CheckLedger& ledger)
      : facts_(facts),
        cell_(cell),
        ledger_(ledger),
        tokens_(facts.tokens(cell.step)),
        choices_(facts, cell, tokens_) {}
  DispatchFindings(const DispatchFindings&) = delete;  // choices_ looks at tokens_
  DispatchFindings& operator=(const DispatchFindings&) = delete;

 protected:
  ~DispatchFindings() = default;

  // function(tag) for every row that any rank dispatches, sources ascending.
  template <typename Function>
  void for_each_row(Function function) const {
    const RowCounts rows = tokens_.rows_per_rank();
    for (int rank = 0; rank < static_cast<int>(rows.size()); ++rank) {
      for (Count row = 0; row < rows[static_cast<std::size_t>(rank)]; ++row) {
        function(provenance_tag(rank, row));
      }
    }
  }

  // PROV of a tag, and of the hidden states beside it. where() is "row 3", asked for a finding
  // only.
  using Where = const std::function<std::string()>&;
  bool names_a_token(std::int64_t tag, Where where);
  void check_payload(const DispatchedRows& rows, Count row, std::int64_t tag, Where where);

  // LAYOUT of a scale that all rows share and that follows from them: those of these tags.
  void check_scale_of_all(const DispatchedRows& rows, std::span<const std::int64_t> tags);

  void found(std::string_view check, const std::string& what);

  const ConservationFacts& facts_;
  const golden::Cell cell_;
  CheckLedger& ledger_;
  const DispatchedTokens tokens_;
  const RowChoices choices_;
};

// Of a dispatch to owners: messages that this rank sends to others, and those that others send to
// it, which it answers. A message is a row and a rank, or a choice.
struct MessageCounts {
  Count sent = 0;
  Count answered = 0;
};
MessageCounts message_counts(const ConservationFacts& facts, golden::Cell cell);

}  // namespace moe::sim
