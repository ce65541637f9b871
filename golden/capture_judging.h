// One capture on its way through the judgement: what is due, what arrived as what, what was found.
// Internal to golden/capture_*.cc; capture.cc calls the parts in their order.

#pragma once

#include <utility>
#include <vector>

#include "golden/capture_places.h"
#include "golden/capture_quantiser.h"

namespace moe::golden {

// Where each token's rows were brought: [rank][row], by rank or by top-k slot.
struct Location {
  std::size_t place = 0;
  std::size_t due = 0;
  int topk_slot = -1;
};
using Locations = std::vector<std::vector<std::vector<Location>>>;

struct Judging {
  const Capture& capture;
  ExpertMap experts;
  std::vector<ShippedRows> shipped = {};  // of each rank
  RowIndex index = {};
  std::vector<Place> places = {};
  Locations locations = {};                     // of the places' rows
  std::vector<Arrival> arrivals = {};           // of each place
  std::vector<std::vector<bool>> padding = {};  // of each place's slots
  // Of each place: padded standard buffers have one part for each source, of this size; else 0.
  std::vector<Count> part_sizes = {};
  CaptureJudgement result = {};

  const CapturedRank& rank(int number) const {
    return capture.ranks[static_cast<std::size_t>(number)];
  }
  // LIFETIME: until places or padding get another entry.
  ArrivedRows rows_at(std::size_t place) const {
    return {places[place], rank(places[place].rank).dispatched, shipped, padding[place]};
  }
  // The row that a slot stands for; null if none.
  const DueRow* due_at(std::size_t place, Count slot) const {
    const Count due = arrivals[place].due_of[static_cast<std::size_t>(slot)];
    return due < 0 ? nullptr : &places[place].due[static_cast<std::size_t>(due)];
  }
};

// A finding of a tensor that has the dispatched rows' shape, at that slot; due may be null.
CaptureFinding finding_at(const Place& place, Count slot, const DueRow* due, std::string tensor);

// "row 3 of rank 1"
std::string row_text(const DueRow& row);

// Whether a slot's labels say that it holds a row: source_row and source_range where there are
// any, else ids and weights of the choices that this rank owns.
bool labels_claim(const Judging& judging, std::size_t place, Count slot, const DueRow& due);

// The other ways to quantise the row that make these codes; none of rows that travel as they are.
std::vector<const CodeHypothesis*> makers_of(const Judging& judging,
                                             std::span<const std::byte> codes, const DueRow& due);

// Gives slots with equal contents to the rows whose sums they make.
void settle_equal_rows(Judging& judging);

Locations locations_of(const Judging& judging);

void judge_inputs(Judging& judging);    // ids that no router gives
void take_arrivals(Judging& judging);   // fills padding, part_sizes, arrivals
void judge_rows(Judging& judging);      // dispatched_hidden_states
void judge_scales(Judging& judging);    // dispatched_scales
void judge_choices(Judging& judging);   // standard: ids and weights
void judge_counts(Judging& judging);    // expert_num_tokens
void judge_sources(Judging& judging);   // order; source_row, source_range
void judge_combined(Judging& judging);  // combined

// Whether a token's combined row is not what arrivals make of it; false where one of its rows is
// lost.
bool is_wrong(const Judging& judging, DueRow token);

}  // namespace moe::golden
