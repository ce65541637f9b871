// The judgement of a capture in its order: what is due, what arrived, labels, sums.
// Each part is in a file of its own; what they share is capture_judging.h.

#include "golden/capture.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "golden/capture_judging.h"
#include "kernels/base/text.h"

namespace moe::golden {
namespace {

constexpr std::array<std::string_view, 25> fault_names = {
    "value changed",        "row swapped",          "row lost",
    "row doubled",          "row not due here",     "row from the wrong rank",
    "row never written",    "row scaled",           "row shifted",
    "order broken",         "id changed",           "id shifted",
    "weight changed",       "count changed",        "count shifted",
    "scale changed",        "source row changed",   "source range changed",
    "partial sum missing",  "partial sum doubled",  "partial sum wrong",
    "weight applied twice", "weight never applied", "weight of another",
    "reduction differs"};

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

// Slots that hold another row of this place than their labels say.
std::vector<Count> contradicted_slots(const Judging& judging, std::size_t place) {
  std::vector<Count> slots;
  for (Count slot = 0; slot < judging.places[place].size; ++slot) {
    const DueRow* due = judging.due_at(place, slot);
    if (due == nullptr || !judging.arrivals[place].is_whole[static_cast<std::size_t>(slot)])
      continue;
    if (!labels_claim(judging, place, slot, *due)) slots.push_back(slot);
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
    arrival.is_whole[static_cast<std::size_t>(slot)] = false;
    dues.erase(claimed);
  }
  return arrival;
}

// Rows that changed places and labels that did look alike: the combined rows say which it was.
void settle_contradictions(Judging& judging, std::size_t place) {
  const std::vector<Count> slots = contradicted_slots(judging, place);
  if (slots.size() < 2) return;
  std::optional<Arrival> labelled = labelled_arrival(judging, place, slots);
  if (!labelled) return;
  const Count by_content = num_wrong_tokens(judging, place, slots);
  std::swap(judging.arrivals[place], *labelled);
  const Count by_labels = num_wrong_tokens(judging, place, slots);
  if (by_labels >= by_content) std::swap(judging.arrivals[place], *labelled);
}

}  // namespace

std::string_view name_of(CaptureFault fault) {
  return fault == CaptureFault::input_invalid ? "input invalid"
                                              : fault_names[static_cast<std::size_t>(fault)];
}

std::string row_text(const DueRow& row) { return text("row ", row.row, " of rank ", row.source); }

CaptureFinding finding_at(const Place& place, Count slot, const DueRow* due, std::string tensor) {
  CaptureFinding finding{.tensor = std::move(tensor), .rank = place.rank};
  if (place.local_expert < 0) {
    finding.row = slot;
  } else {
    finding.expert = place.local_expert;
    finding.slot = slot;
  }
  if (due != nullptr) {
    finding.source_rank = due->source;
    finding.source_row = due->row;
  }
  return finding;
}

bool labels_claim(const Judging& judging, std::size_t at, Count slot, const DueRow& due) {
  const Place& place = judging.places[at];
  if (place.local_expert < 0) return choices_claim(judging, place, slot, due);
  const CapturedRank& here = judging.rank(place.rank);
  if (here.source_row &&
      (*here.source_row)[static_cast<std::size_t>(place.first + slot)] != due.row) {
    return false;
  }
  if (!here.source_range) return true;
  const int owner = block_owner(judging, place, slot);
  return owner < 0 || owner == due.source;
}

void judge_inputs(Judging& judging) {
  const int top_k = judging.capture.top_k;
  for (int rank = 0; rank < judging.capture.ep_size(); ++rank) {
    const std::vector<std::int64_t>& ids = judging.rank(rank).topk_ids;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] >= -1 && ids[i] < judging.capture.num_experts) continue;
      judging.result.findings.push_back(
          {.fault = CaptureFault::input_invalid,
           .tensor = "topk_ids",
           .rank = rank,
           .row = static_cast<Count>(i) / top_k,
           .slot = static_cast<Count>(i) % top_k,
           .value = text(ids[i]),
           .expected = text("-1 or an expert below ", judging.capture.num_experts),
           .cause = "no expert has this id; the choice is taken as masked"});
    }
  }
}

void take_arrivals(Judging& judging) {
  for (std::size_t place = 0; place < judging.places.size(); ++place) {
    judging.padding.push_back(padding_of(judging.capture, judging.places[place]));
  }
  for (std::size_t place = 0; place < judging.places.size(); ++place) {
    const ArrivedRows rows = judging.rows_at(place);
    if (judging.capture.contract.order == ReceiveOrder::by_source) {
      judging.arrivals.push_back(arrival_in_order(rows));
      continue;
    }
    judging.arrivals.push_back(arrival_by_content(rows, [&](Count slot, const DueRow& due) {
      return labels_claim(judging, place, slot, due);
    }));
  }
  if (judging.capture.contract.order == ReceiveOrder::by_source) return;
  for (std::size_t place = 0; place < judging.places.size(); ++place) {
    settle_contradictions(judging, place);
  }
}

CaptureJudgement judge(const Capture& capture) {
  Judging judging{capture, expert_map_of(capture)};
  judging.shipped = shipped_rows(capture);
  judging.index = index_of(judging.shipped);
  judging.places = places_of(capture, judging.experts);
  judge_inputs(judging);
  take_arrivals(judging);
  judge_rows(judging);
  judge_scales(judging);
  judge_choices(judging);
  judge_counts(judging);
  judge_sources(judging);
  judge_combined(judging);
  return std::move(judging.result);
}

}  // namespace moe::golden
