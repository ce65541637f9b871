// One expert's room at a time. The order within it is free, so rows are known by their tags.
// Called by conservation.cc.

#include "sim/batched_check.h"

#include <algorithm>
#include <map>

#include "kernels/base/text.h"
#include "sim/host_copy.h"
#include "sim/row_choices.h"

namespace moe::sim {
namespace {

class BatchedCheck final : public DispatchFindings {
 public:
  BatchedCheck(const ConservationFacts& facts, golden::Cell cell, CheckLedger& ledger)
      : DispatchFindings(facts, cell, ledger) {
    const std::vector<int>& rank_of = facts.expert_map.rank_of;
    for (int expert = 0; expert < std::ssize(rank_of); ++expert) {
      if (rank_of[static_cast<std::size_t>(expert)] != facts.parallel.ep_rank) continue;
      const int local = facts.expert_map.local_of[static_cast<std::size_t>(expert)];
      expert_of_[local] = expert;
    }
    for_each_row([this](std::int64_t tag) { want(tag); });
  }

  // Nobody sends to a rank that is masked, and none of its rows comes.
  void masked_ranks(const ReturnPath& path) {
    ledger_.looked("FT");
    for (int rank = 0; rank < std::ssize(path.messages_to); ++rank) {
      const bool is_dead = facts_.inputs.is_masked(rank);
      const bool is_self_dead = facts_.inputs.is_masked(facts_.parallel.ep_rank);
      const Count sent = path.messages_to[static_cast<std::size_t>(rank)];
      const Count came = path.messages_from[static_cast<std::size_t>(rank)];
      if (is_dead && sent > 0) {
        found("FT",
              text(sent, " rows go to rank ", rank, ", which is masked: its answers would be ",
                   "added to tokens of this rank"));
      }
      if ((is_dead || is_self_dead) && came > 0) {
        found("FT", text(came, " rows came from rank ", rank, " although rank ",
                         is_dead ? rank : facts_.parallel.ep_rank,
                         " is masked: the ranks disagree on who is dead"));
      }
    }
  }

  void counts(const Dispatched& dispatched, Memory& memory) {
    ledger_.looked("COUNT");
    const HostCopy copy(dispatched.expert_num_tokens, memory);
    const auto counts = elements_of<std::int32_t>(copy.tensor());
    for (int local = 0; local < std::ssize(counts); ++local) {
      const auto expected = std::ssize(wanted_[expert_of_[local]]);
      const std::int32_t count = counts[static_cast<std::size_t>(local)];
      if (count == expected) continue;
      found("COUNT", text("expert ", expert_of_[local], " (local ", local, ") has ", count,
                          " rows, its choices are ", expected));
    }
  }

  void rows(const Dispatched& dispatched, Memory& memory) {
    ledger_.looked("PROV");
    ledger_.looked("CONS");
    const HostCopy tags(dispatched.provenance, memory);
    const DispatchedRows hidden(dispatched, memory);
    const auto tag_of = elements_of<std::int64_t>(tags.tensor());
    const std::vector<ValidRows> valid = valid_rows(dispatched, memory);
    std::vector<std::int64_t> all;
    for (int local = 0; local < std::ssize(valid); ++local) {
      const auto [first, count] = valid[static_cast<std::size_t>(local)];
      std::vector<std::int64_t> arrived;
      for (Count row = first; row < first + count; ++row) {
        const std::int64_t tag = tag_of[static_cast<std::size_t>(row)];
        const auto where = [&, first = first] {
          return text("row ", row - first, " of expert ", expert_of_[local]);
        };
        if (!names_a_token(tag, where)) continue;
        arrived.push_back(tag);
        all.push_back(tag);
        check_payload(hidden, row, tag, where);
      }
      conserved(expert_of_[local], std::move(arrived));
    }
    check_scale_of_all(hidden, all);
  }

 private:
  void want(std::int64_t tag) {
    for (const int expert : choices_.of(tag)) {
      if (choices_.lives_here(expert)) wanted_[expert].push_back(tag);
    }
  }

  void conserved(int expert, std::vector<std::int64_t> arrived) {
    std::map<std::int64_t, Count> balance;
    for (const std::int64_t tag : wanted_[expert]) --balance[tag];
    for (const std::int64_t tag : arrived) ++balance[tag];
    for (const auto& [tag, surplus] : balance) {
      if (surplus == 0) continue;
      const Count times = std::ranges::count(arrived, tag);
      const std::string how = times == 0 ? text("never reached expert ", expert)
                                         : text("reached expert ", expert, " ", times, " times");
      found("CONS", text(tokens_.words(tag), " ", how));
    }
  }

  std::map<int, int> expert_of_;                     // of each local expert
  std::map<int, std::vector<std::int64_t>> wanted_;  // tags, by expert
};

}  // namespace

std::vector<ValidRows> valid_rows(const Dispatched& dispatched, Memory& memory) {
  const HostCopy copy(dispatched.expert_num_tokens, memory);
  const auto counts = elements_of<std::int32_t>(copy.tensor());
  std::vector<ValidRows> valid;
  if (counts.empty()) return valid;
  const Count capacity = dispatched.hidden_states.rows / std::ssize(counts);
  for (const std::int32_t count : counts) {
    valid.push_back({std::ssize(valid) * capacity, std::clamp<Count>(count, 0, capacity)});
  }
  return valid;
}

void check_batched(const ConservationFacts& facts, golden::Cell cell, const Dispatched& dispatched,
                   Memory& memory, CheckLedger& ledger) {
  BatchedCheck check(facts, cell, ledger);
  check.masked_ranks(dispatched.handle.return_path);
  check.counts(dispatched, memory);
  const Tensor& tags = dispatched.provenance;
  if (tags.columns == 1 && tags.rows == dispatched.hidden_states.rows) {
    check.rows(dispatched, memory);
  }
}

}  // namespace moe::sim
