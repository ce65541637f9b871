// The check of one cell: tags are read once, then rows, ids, weights and choices are counted.
// A tag that names no token of the step is a finding of its own and counts for nothing else.

#include "sim/conservation.h"

#include <algorithm>
#include <cstring>

#include "kernels/base/bits.h"
#include "kernels/base/text.h"
#include "sim/host_copy.h"

namespace moe::sim {
namespace {

class DispatchCheck {
 public:
  DispatchCheck(const ConservationFacts& facts, golden::Cell cell, CheckLedger& ledger)
      : facts_(facts), cell_(cell), ledger_(ledger), tokens_(facts.inputs.tokens(cell.step)) {
    arrivals_.resize(static_cast<std::size_t>(total_rows(tokens_)));
  }

  void count(const Dispatched& dispatched) {
    ledger_.looked("COUNT");
    Count expected = 0;
    for_each_token([&](int rank, Count token) { expected += must_arrive(rank, token) ? 1 : 0; });
    if (dispatched.hidden_states.rows != expected) {
      found("COUNT", text(dispatched.hidden_states.rows, " rows arrived, ", expected,
                          " must: the ranks hold ", joined(tokens_)));
    }
  }

  void rows(const Dispatched& dispatched, Memory& memory) {
    ledger_.looked("PROV");
    const HostCopy tags(dispatched.provenance, memory);
    const HostCopy ids(dispatched.routing.topk_ids, memory);
    const HostCopy weights(dispatched.routing.topk_weights, memory);
    const auto tag_of = elements_of<std::int64_t>(tags.tensor());
    for (Count row = 0; row < dispatched.hidden_states.rows; ++row) {
      const std::int64_t tag = tag_of[static_cast<std::size_t>(row)];
      if (!names_a_token(tag)) {
        found("PROV", text("row ", row, " carries tag ", hex16(static_cast<std::uint64_t>(tag)),
                           ", which names no token of this step"));
        continue;
      }
      ++arrivals_[index_of(tag)];
      ids_of_row(row, tag, rows_of(ids.tensor(), row, 1));
    }
    check_payload(dispatched, tag_of, memory);
  }

  void conservation() {
    ledger_.looked("CONS");
    for_each_token([&](int rank, Count token) {
      const std::int64_t tag = provenance_tag(rank, token);
      const int times = arrivals_[index_of(tag)];
      const int expected = must_arrive(rank, token) ? 1 : 0;
      if (times != expected) conservation_broken(tag, times);
    });
  }

 private:
  template <typename Function>
  void for_each_token(Function function) const {
    for (int rank = 0; rank < static_cast<int>(tokens_.size()); ++rank) {
      for (Count token = 0; token < tokens_[static_cast<std::size_t>(rank)]; ++token) {
        function(rank, token);
      }
    }
  }

  bool lives_here(int expert) const {
    return expert >= 0 && facts_.expert_map.rank_of[static_cast<std::size_t>(expert)] == cell_.rank;
  }

  std::span<const std::int16_t> chosen_by(std::int64_t tag) const {
    return facts_.inputs.topk_ids(cell_.step, cell_.layer, rank_of_tag(tag), row_of_tag(tag));
  }

  bool must_arrive(int rank, Count token) const {
    switch (facts_.capabilities.dispatch_reach) {
      case DispatchReach::every_rank:
        return true;
      case DispatchReach::own_rank:
        return rank == cell_.rank;
      default:
        return std::ranges::any_of(chosen_by(provenance_tag(rank, token)),
                                   [this](int expert) { return lives_here(expert); });
    }
  }

  bool names_a_token(std::int64_t tag) const {
    const int rank = rank_of_tag(tag);
    return rank >= 0 && rank < static_cast<int>(tokens_.size()) &&
           row_of_tag(tag) < tokens_[static_cast<std::size_t>(rank)];
  }

  std::size_t index_of(std::int64_t tag) const {
    return static_cast<std::size_t>(rows_before(tokens_, rank_of_tag(tag)) + row_of_tag(tag));
  }

  void ids_of_row(Count row, std::int64_t tag, const Tensor& row_ids) {
    const auto received = elements_of<std::int32_t>(row_ids);
    if (!std::ranges::equal(received, chosen_by(tag))) {
      found("PROV", text("row ", row, " is ", token_text(tag), " but came with experts [",
                         joined(received), "], that token chose [", joined(chosen_by(tag)), "]"));
    }
  }

  // The first and the last row of every source's run, byte for byte.
  void check_payload(const Dispatched& dispatched, std::span<const std::int64_t> tags,
                     Memory& memory) {
    const HostCopy hidden(dispatched.hidden_states, memory);
    std::vector<std::byte> expected(static_cast<std::size_t>(row_bytes(hidden.tensor())));
    for (std::size_t row = 0; row < tags.size(); ++row) {
      const bool is_edge = row == 0 || row + 1 == tags.size() ||
                           rank_of_tag(tags[row - 1]) != rank_of_tag(tags[row]) ||
                           rank_of_tag(tags[row + 1]) != rank_of_tag(tags[row]);
      if (!is_edge || !names_a_token(tags[row])) continue;
      const int source = rank_of_tag(tags[row]);
      facts_.inputs.hidden_row({cell_.step, cell_.layer, source}, row_of_tag(tags[row]), expected);
      const auto* actual = row_at(hidden.tensor(), static_cast<Count>(row));
      if (std::memcmp(actual, expected.data(), expected.size()) != 0) {
        found("PROV", text("row ", row, " is tagged ", token_text(tags[row]),
                           " but does not hold its hidden states"));
      }
    }
  }

  void conservation_broken(std::int64_t tag, int times) {
    std::vector<int> here;
    for (const int expert : chosen_by(tag)) {
      if (lives_here(expert)) here.push_back(expert);
    }
    const std::string where =
        here.empty() ? text("rank ", cell_.rank) : text("expert ", joined(here));
    if (times == 0) {
      found("CONS", text(token_text(tag), " never reached ", where));
    } else {
      found("CONS", text(token_text(tag), " reached ", where, " ", times, " times"));
    }
  }

  void found(std::string_view check, const std::string& what) {
    ledger_.found(check, moment_of(cell_, 0), text(place_text(cell_), ", dispatch: ", what));
  }

  const ConservationFacts& facts_;
  golden::Cell cell_;
  CheckLedger& ledger_;
  RowCounts tokens_;
  std::vector<int> arrivals_;
};

}  // namespace

std::string token_text(std::int64_t tag) {
  return text("token ", row_of_tag(tag), " of rank ", rank_of_tag(tag));
}

void check_dispatched(const ConservationFacts& facts, golden::Cell cell,
                      const Dispatched& dispatched, Memory& memory, CheckLedger& ledger) {
  DispatchCheck check(facts, cell, ledger);
  check.count(dispatched);
  const Tensor& tags = dispatched.provenance;
  if (tags.columns != 1 || tags.rows != dispatched.hidden_states.rows) return;
  check.rows(dispatched, memory);
  check.conservation();
}

}  // namespace moe::sim
