// Which arrived row is whose, where the order does not say it: content first, then labels, and
// where the two contradict each other the combined rows decide.

#include <algorithm>
#include <bit>
#include <optional>
#include <utility>

#include "golden/capture_judging.h"

namespace moe::golden {
namespace {

using WrongTokens = std::vector<std::vector<bool>>;  // [rank][row]

constexpr std::size_t pairs_tried = 64;  // wrong slots of a place, at most

// Rows without an id, where the backend may leave room between those that arrived.
std::vector<bool> padding_of(const Capture& capture, const Place& place) {
  std::vector<bool> padding(static_cast<std::size_t>(place.size), false);
  if (!capture.contract.may_pad || place.local_expert >= 0) return padding;
  const auto& ids = capture.ranks[static_cast<std::size_t>(place.rank)].dispatched_topk_ids;
  for (Count row = 0; row < place.size; ++row) {
    const auto first = ids.begin() + row * capture.top_k;
    padding[static_cast<std::size_t>(row)] =
        std::all_of(first, first + capture.top_k, [](std::int64_t id) { return id == -1; });
  }
  return padding;
}

Count part_size(const Judging& judging, std::size_t at) {
  const Place& place = judging.places[at];
  const Count parts = judging.capture.ep_size();
  const bool has_padding = std::ranges::count(judging.padding[at], true) > 0;
  if (judging.capture.contract.order != ReceiveOrder::source_blocks || !has_padding) return 0;
  if (place.size % parts != 0) return 0;
  const bool holds_all = std::ranges::all_of(judging.capture.ranks, [&](const CapturedRank& rank) {
    return rank.hidden_states.rows <= place.size / parts;
  });
  return holds_all ? place.size / parts : 0;
}

// The rank whose block a slot lies in; -1 where no block or more than one has it.
int block_owner(const Judging& judging, const Place& place, Count slot) {
  const CapturedRank& here = judging.rank(place.rank);
  int owner = -1;
  for (int source = 0; source < judging.capture.ep_size(); ++source) {
    const auto index =
        static_cast<std::size_t>(place.local_expert * judging.capture.ep_size() + source);
    const std::int64_t range = (*here.source_range)[index];
    const Count begin = range >> 32;
    const Count count = range & 0xFFFFFFFF;
    if (slot < begin || slot >= begin + count) continue;
    if (owner >= 0) return -1;
    owner = source;
  }
  return owner;
}

bool choices_claim(const Judging& judging, const Place& place, Count slot, const DueRow& due) {
  const CapturedRank& here = judging.rank(place.rank);
  const CapturedRank& source = judging.rank(due.source);
  for (int choice = 0; choice < judging.capture.top_k; ++choice) {
    const int expert = expert_of(judging.capture, due.source, due.row, choice);
    if (expert < 0) continue;
    const auto at = static_cast<std::size_t>(expert);
    if (judging.experts.rank_of[at] != place.rank) continue;
    const auto arrived = static_cast<std::size_t>(slot * judging.capture.top_k + choice);
    const auto given = static_cast<std::size_t>(due.row * judging.capture.top_k + choice);
    const std::int64_t id = judging.capture.id_space == IdSpace::local
                                ? judging.experts.local_of[at]
                                : static_cast<std::int64_t>(expert);
    if (here.dispatched_topk_ids[arrived] != id ||
        std::bit_cast<std::uint32_t>(here.dispatched_topk_weights[arrived]) !=
            std::bit_cast<std::uint32_t>(source.topk_weights[given])) {
      return false;
    }
  }
  return true;
}

// Where there are no labels: quantised rows that are the due one, or made of it in another way.
bool codes_claim(const Judging& judging, const ArrivedRows& rows, Count slot, const DueRow& due) {
  if (judging.capture.quantization == Quantization::none) return true;
  if (rows.place.local_expert < 0 || judging.rank(rows.place.rank).source_row) return true;
  return key_of(rows.content(slot)) == key_of(rows.content_of(due)) ||
         !makers_of(judging, rows.content(slot), due).empty();
}

// Slots that stand for another row of this place than their labels say.
std::vector<Count> contradicted_slots(const Judging& judging, std::size_t place) {
  std::vector<Count> slots;
  for (Count slot = 0; slot < judging.places[place].size; ++slot) {
    const DueRow* due = judging.due_at(place, slot);
    if (due != nullptr && !labels_claim(judging, place, slot, *due)) slots.push_back(slot);
  }
  return slots;
}

// The arrival in which the contradicted slots hold what their labels say; nothing where the labels
// are not a permutation of what is there.
std::optional<Arrival> labelled_arrival(const Judging& judging, std::size_t place,
                                        const std::vector<Count>& slots) {
  Arrival arrival = judging.arrivals[place];
  std::vector<Count> dues;
  for (const Count slot : slots) {
    dues.push_back(arrival.due_of[static_cast<std::size_t>(slot)]);
  }
  for (const Count slot : slots) {
    const auto claimed = std::ranges::find_if(dues, [&](Count due) {
      return labels_claim(judging, place, slot,
                          judging.places[place].due[static_cast<std::size_t>(due)]);
    });
    if (claimed == dues.end()) return std::nullopt;
    arrival.due_of[static_cast<std::size_t>(slot)] = *claimed;
    arrival.slot_of[static_cast<std::size_t>(*claimed)] = slot;
    const DueRow& row = judging.places[place].due[static_cast<std::size_t>(*claimed)];
    const ArrivedRows rows = judging.rows_at(place);
    arrival.is_whole[static_cast<std::size_t>(slot)] =
        key_of(rows.content(slot)) == key_of(rows.content_of(row));
    dues.erase(claimed);
  }
  return arrival;
}

// How many of the slots' tokens have a combined row that the arrivals do not make.
Count num_wrong(const Judging& judging, std::size_t place, const std::vector<Count>& slots) {
  return std::ranges::count_if(slots, [&](Count slot) {
    const DueRow* due = judging.due_at(place, slot);
    return due != nullptr && is_wrong(judging, *due);
  });
}

// Rows that changed places and labels that did look alike: the combined rows say which it was.
void settle_labels(Judging& judging, std::size_t place, const std::vector<Count>& slots) {
  std::optional<Arrival> labelled = labelled_arrival(judging, place, slots);
  if (!labelled) return;
  const Count by_content = num_wrong(judging, place, slots);
  std::swap(judging.arrivals[place], *labelled);
  const Count by_labels = num_wrong(judging, place, slots);
  if (by_labels >= by_content) std::swap(judging.arrivals[place], *labelled);
}

void exchange(Judging& judging, std::size_t place, Count one, Count other) {
  Arrival& arrival = judging.arrivals[place];
  Count& first = arrival.due_of[static_cast<std::size_t>(one)];
  Count& second = arrival.due_of[static_cast<std::size_t>(other)];
  std::swap(first, second);
  arrival.slot_of[static_cast<std::size_t>(first)] = one;
  arrival.slot_of[static_cast<std::size_t>(second)] = other;
  const ArrivedRows rows = judging.rows_at(place);
  for (const Count slot : {one, other}) {
    arrival.is_whole[static_cast<std::size_t>(slot)] =
        key_of(rows.content(slot)) == key_of(rows.content_of(*judging.due_at(place, slot)));
  }
}

// Without labels only the combined rows say that two rows changed places after their results' were
// fixed: both tokens are wrong, and right when the slots are exchanged.
void settle_pairs(Judging& judging, std::size_t place, const WrongTokens& tokens) {
  std::vector<Count> wrong;
  for (Count slot = 0; slot < judging.places[place].size; ++slot) {
    const DueRow* due = judging.due_at(place, slot);
    if (due == nullptr) continue;
    const auto& of_rank = tokens[static_cast<std::size_t>(due->source)];
    if (of_rank[static_cast<std::size_t>(due->row)]) wrong.push_back(slot);
  }
  for (std::size_t i = 0; i < wrong.size() && wrong.size() <= pairs_tried; ++i) {
    for (std::size_t j = i + 1; j < wrong.size(); ++j) {
      exchange(judging, place, wrong[i], wrong[j]);
      if (num_wrong(judging, place, {wrong[i], wrong[j]}) > 0) {
        exchange(judging, place, wrong[i], wrong[j]);
      }
    }
  }
}

WrongTokens wrong_tokens(const Judging& judging) {
  WrongTokens tokens;
  for (int rank = 0; rank < judging.capture.ep_size(); ++rank) {
    std::vector<bool>& of_rank = tokens.emplace_back();
    for (Count row = 0; row < judging.rank(rank).combined.rows; ++row) {
      of_rank.push_back(is_wrong(judging, {rank, row}));
    }
  }
  return tokens;
}

void settle(Judging& judging) {
  bool has_labels = true;
  for (std::size_t place = 0; place < judging.places.size(); ++place) {
    const std::vector<Count> slots = contradicted_slots(judging, place);
    if (slots.size() >= 2) settle_labels(judging, place, slots);
    has_labels &= judging.rank(judging.places[place].rank).source_row.has_value();
  }
  settle_equal_rows(judging);
  if (has_labels || judging.capture.contract.delivery != Delivery::experts) return;
  const WrongTokens tokens = wrong_tokens(judging);
  for (std::size_t place = 0; place < judging.places.size(); ++place) {
    settle_pairs(judging, place, tokens);
  }
}

}  // namespace

bool labels_claim(const Judging& judging, std::size_t at, Count slot, const DueRow& due) {
  const Place& place = judging.places[at];
  if (place.local_expert < 0) {
    const Count part = judging.part_sizes[at];
    return (part == 0 || due.source == slot / part) && choices_claim(judging, place, slot, due);
  }
  const CapturedRank& here = judging.rank(place.rank);
  if (here.source_row &&
      (*here.source_row)[static_cast<std::size_t>(place.first + slot)] != due.row) {
    return false;
  }
  if (!here.source_range) return true;
  const int owner = block_owner(judging, place, slot);
  return owner < 0 || owner == due.source;
}

void take_arrivals(Judging& judging) {
  for (std::size_t place = 0; place < judging.places.size(); ++place) {
    judging.padding.push_back(padding_of(judging.capture, judging.places[place]));
    judging.part_sizes.push_back(part_size(judging, place));
  }
  for (std::size_t place = 0; place < judging.places.size(); ++place) {
    const ArrivedRows rows = judging.rows_at(place);
    if (judging.capture.contract.order == ReceiveOrder::by_source) {
      judging.arrivals.push_back(arrival_in_order(rows));
      continue;
    }
    const Claims claims = [&](Count slot, const DueRow& due) {
      return labels_claim(judging, place, slot, due) && codes_claim(judging, rows, slot, due);
    };
    std::optional<Arrival> arrival;
    if (judging.capture.contract.order == ReceiveOrder::source_blocks &&
        judging.part_sizes[place] == 0) {
      arrival = arrival_in_blocks(rows, claims);
    }
    judging.arrivals.push_back(arrival ? *arrival : arrival_by_content(rows, claims));
  }
  if (judging.capture.contract.order != ReceiveOrder::by_source) settle(judging);
}

}  // namespace moe::golden
