// The plan of messages, and the sum. Nothing here asks the dispatch which message a choice waits
// for: a plan that goes wrong there is what this looks for.

#include "sim/message_replay.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <iterator>
#include <numeric>

#include "comm/exchange_sum.h"
#include "kernels/base/bits.h"
#include "kernels/base/text.h"
#include "sim/host_copy.h"

namespace moe::sim {
namespace {

// One row that comes home.
struct Message {
  int rank = 0;      // where it comes from
  int slot = 0;      // of the owner, where each choice has its own message
  Count row = 0;     // of this rank's
  int choice = 0;    // k of the choice; with one message a rank its first
  float weight = 1;  // that the source applies

  auto place() const { return std::array<Count, 4>{rank, slot, row, choice}; }
};

bool sums_slots(const ReductionRecipe& recipe) {
  return recipe.back().operands == Operands::all_slots;
}

// Messages in the order in which they leave: ranks ascending, there the owner's experts, then rows.
std::vector<Message> planned_messages(const WatchedCombine& combine, const OwnersCombine& owners,
                                      bool is_by_slot) {
  std::vector<Message> messages;
  for (Count row = owners.first_row; row < owners.first_row + owners.num_rows; ++row) {
    std::vector<bool> has_message(static_cast<std::size_t>(owners.expert_map.num_ranks()));
    for (int k = 0; k < combine.top_k; ++k) {
      const auto at = static_cast<std::size_t>(row * combine.top_k + k);
      const int expert = combine.topk_ids[at];
      if (expert < 0) continue;
      const int rank = owners.expert_map.rank_of[static_cast<std::size_t>(expert)];
      if (is_by_slot) {
        const float weight = owners.weight_on_input ? 1 : combine.topk_weights[at];
        const int slot = owners.expert_map.local_of[static_cast<std::size_t>(expert)];
        messages.push_back({rank, slot, row, k, weight});
      } else if (!has_message[static_cast<std::size_t>(rank)]) {
        messages.push_back({rank, 0, row, k, 1});
      }
      has_message[static_cast<std::size_t>(rank)] = true;
    }
  }
  std::ranges::sort(messages, {}, &Message::place);
  return messages;
}

// What the owners gave for this rank's messages, in their order.
Buffer fetched(const WatchedCombine& combine, Communicator& group) {
  const Tensor& given = combine.expert_output.tensor();
  Memory& memory = group.memory();
  const Count num_answered = total_rows(combine.messages_from);
  const auto host = make_host_memory(Poison::on);
  const Buffer rows(*host, {num_answered, given.columns, given.dtype});
  for (Count row = 0; row < num_answered; ++row) {
    const bool is_placed = !combine.received_at.empty();
    const Count from = is_placed ? combine.received_at[static_cast<std::size_t>(row)] : row;
    host->copy(rows_of(given, from, 1), rows_of(rows.tensor(), row, 1));
  }
  const Buffer sent = copy_of(rows.tensor(), memory);
  Buffer returned(memory, {total_rows(combine.messages_to), given.columns, given.dtype});
  group.all_to_all_v({&sent.tensor(), 1}, combine.messages_from, combine.messages_to,
                     {&returned.tensor(), 1});
  return returned;
}

// One of a row's terms: the message's number, and what it is multiplied by.
struct Term {
  Count message = 0;
  Message of;
};

// Of each row that was sent its terms in the order of the recipe: ranks ascending, or choices.
using RowTerms = std::vector<std::vector<Term>>;

RowTerms terms_by_row(const std::vector<Message>& messages, const OwnersCombine& owners,
                      bool is_by_slot) {
  RowTerms of_row(static_cast<std::size_t>(owners.num_rows));
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const auto row = static_cast<std::size_t>(messages[i].row - owners.first_row);
    of_row[row].push_back({static_cast<Count>(i), messages[i]});
  }
  if (!is_by_slot) return of_row;
  for (std::vector<Term>& terms : of_row) {
    std::ranges::sort(terms, {}, [](const Term& term) { return term.of.choice; });
  }
  return of_row;
}

std::string term_words(const std::vector<Term>& terms, bool is_by_slot) {
  std::vector<std::string> words;
  for (const Term& term : terms) {
    words.push_back(is_by_slot ? text("slot ", term.of.choice, " (rank ", term.of.rank, ") times ",
                                      term.of.weight)
                               : text("rank ", term.of.rank));
  }
  return joined(words);
}

template <typename T>
std::string row_difference(const Tensor& returned, const std::vector<Term>& terms, Count row,
                           const Tensor& output, bool is_by_slot) {
  const auto* actual = reinterpret_cast<const T*>(row_at(output, row));
  for (Count column = 0; column < output.columns; ++column) {
    const auto value_of = [&](const Term& term) {
      return to_float(reinterpret_cast<const T*>(row_at(returned, term.message))[column]);
    };
    float sum = 0;
    for (const Term& term : terms) {
      const float value = value_of(term);
      sum = is_by_slot ? std::fma(value, term.of.weight, sum) : sum + value;
    }
    T expected;
    round_to(sum, expected);
    if (std::memcmp(&expected, &actual[column], sizeof(T)) == 0) continue;
    std::vector<double> values;
    for (const Term& term : terms) values.push_back(static_cast<double>(value_of(term)));
    return text("row ", row, ", column ", column, ": the rows of ", term_words(terms, is_by_slot),
                " are [", joined(values), "], whose sum in this order is ", to_float(expected),
                ", combine says ", to_float(actual[column]));
  }
  return {};
}

std::string first_difference(const Tensor& returned, const RowTerms& terms,
                             const OwnersCombine& owners, const Tensor& output, bool is_by_slot) {
  std::string sentence;
  for_row_type(output.dtype, [&](auto element) {
    using T = decltype(element);
    for (std::size_t i = 0; i < terms.size() && sentence.empty(); ++i) {
      const Count row = owners.first_row + static_cast<Count>(i);
      sentence = row_difference<T>(returned, terms[i], row, output, is_by_slot);
    }
  });
  return sentence;
}

// Of one row the first choice whose rows combine does not take as its id says; empty: none. In
// which order it takes them is not asked.
std::string wrong_lookup(const WatchedCombine& combine, const std::vector<Term>& terms, Count row,
                         Count first_row) {
  std::vector<std::int32_t> due;
  for (const Term& term : terms) due.push_back(static_cast<std::int32_t>(term.message));
  const auto begin = combine.message_of.begin() + (row - first_row) * combine.top_k;
  std::vector<std::int32_t> taken;
  std::copy_if(begin, begin + combine.top_k, std::back_inserter(taken),
               [](std::int32_t message) { return message >= 0; });
  std::ranges::sort(due);
  std::ranges::sort(taken);
  if (taken == due) return {};
  for (const Term& term : terms) {
    const auto message = static_cast<std::int32_t>(term.message);
    if (std::ranges::count(taken, message) == 1) continue;
    const auto at = static_cast<std::size_t>(row * combine.top_k + term.of.choice);
    return text("row ", row, ", slot ", term.of.choice, ": the row of expert ",
                combine.topk_ids[at], " (rank ", term.of.rank, ", message ", message, ") is taken ",
                std::ranges::count(taken, message), " times; combine looks up messages [",
                joined(taken), "], due are [", joined(due), "]");
  }
  return text("row ", row, ": combine looks up messages [", joined(taken), "], due are [",
              joined(due), "]");
}

void check_lookups(const WatchedCombine& combine, const RowTerms& terms,
                   const OwnersCombine& owners, MessageLedger to) {
  to.ledger.looked("IDS");
  if (std::ssize(combine.message_of) != owners.num_rows * combine.top_k) return;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    const Count row = owners.first_row + static_cast<Count>(i);
    const std::string sentence = wrong_lookup(combine, terms[i], row, owners.first_row);
    if (sentence.empty()) continue;
    return to.ledger.found("IDS", moment_of(to.cell, 1),
                           text(place_text(to.cell), ", combine: ", sentence));
  }
}

}  // namespace

bool has_ordered_messages(const ReductionRecipe& recipe) {
  if (has_ordered_sum(recipe)) return true;
  if (recipe.empty()) return false;
  const ReductionStage& last = recipe.back();
  return last.operands == Operands::all_slots && last.weighting == Weighting::whole &&
         last.ordered && last.accumulator == DType::f32;
}

void check_message_order(const WatchedCombine& combine, const OwnersCombine& owners,
                         const ReductionRecipe& recipe, Communicator& group, MessageLedger to) {
  MOE_CHECK(has_ordered_messages(recipe), "a combine is replayed whose recipe promises no order");
  to.ledger.looked("ORDER");
  const bool is_by_slot = sums_slots(recipe);
  const Buffer returned = fetched(combine, group);
  const HostCopy on_host(returned.tensor(), group.memory());
  const std::vector<Message> messages = planned_messages(combine, owners, is_by_slot);
  const RowTerms terms = terms_by_row(messages, owners, is_by_slot);
  check_lookups(combine, terms, owners, to);
  const std::string sentence =
      std::ssize(messages) == on_host.tensor().rows
          ? first_difference(on_host.tensor(), terms, owners, combine.output.tensor(), is_by_slot)
          : text(on_host.tensor().rows, " rows come home, its choices wait for ", messages.size());
  if (sentence.empty()) return;
  to.ledger.found("ORDER", moment_of(to.cell, 1),
                  text(place_text(to.cell), ", combine: ", sentence));
}

}  // namespace moe::sim
