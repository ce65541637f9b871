// Whether the rows that arrived are those that were due; runs of rows that moved together are one
// finding.

#include <algorithm>

#include "golden/capture_rows.h"
#include "golden/capture_values.h"
#include "kernels/base/text.h"

namespace moe::golden {
namespace {

constexpr const char* rows_tensor = "dispatched_hidden_states";

DamagedSlots damaged_slots(const Judging& judging) {
  DamagedSlots damaged;
  for (std::size_t place = 0; place < judging.places.size(); ++place) {
    const ArrivedRows rows = judging.rows_at(place);
    for (Count slot = 0; slot < rows.place.size; ++slot) {
      const DueRow* due = judging.due_at(place, slot);
      if (due == nullptr || judging.arrivals[place].is_whole[static_cast<std::size_t>(slot)])
        continue;
      damaged[key_of(rows.content_of(*due))].push_back({place, slot});
    }
  }
  return damaged;
}

void judge_row(Judging& judging, SlotAt at, const DamagedSlots& damaged) {
  const DamagedRow row = damaged_row(judging, at);
  CaptureFinding finding = row_finding(row);
  name_row(row, damaged, differing_columns(row), finding);
  judging.result.findings.push_back(finding);
}

// A slot with a row in it that is not due.
void judge_surplus(Judging& judging, SlotAt at) {
  const Place& place = judging.places[at.place];
  const ArrivedRows rows = judging.rows_at(at.place);
  const bool is_batched = place.local_expert >= 0;
  if (is_batched && at.slot >= std::ssize(place.due)) return;  // the count's finding tells of it
  if (at.slot >= place.valid || rows.is_padding[static_cast<std::size_t>(at.slot)]) return;
  const auto known = judging.index.find(key_of(rows.content(at.slot)));
  CaptureFinding finding = finding_at(place, at.slot, nullptr, rows_tensor);
  finding.fault = CaptureFault::row_not_due;
  finding.expected = text(place.due.size(), " rows here");
  if (known == judging.index.end()) {
    finding.cause = "a row that nobody sent: no token of any rank has it";
    judging.result.findings.push_back(finding);
    return;
  }
  finding.source_rank = known->second.front().source;
  finding.source_row = known->second.front().row;
  finding.cause = text("holds ", row_text(known->second.front()),
                       ", which did not choose this "
                       "place");
  if (is_due_in(place, known->second.front())) {
    finding.fault = CaptureFault::row_doubled;
    finding.cause = text("holds ", row_text(known->second.front()), " once more");
  }
  judging.result.findings.push_back(finding);
}

void judge_lost(Judging& judging, std::size_t at) {
  const Place& place = judging.places[at];
  for (std::size_t due = 0; due < place.due.size(); ++due) {
    if (judging.arrivals[at].slot_of[due] >= 0) continue;
    CaptureFinding finding = finding_at(place, -1, &place.due[due], rows_tensor);
    finding.fault = CaptureFault::row_lost;
    const bool overflows = std::ssize(place.due) > place.size && place.local_expert >= 0;
    finding.cause =
        text(row_text(place.due[due]), " is due here and is in no slot",
             overflows ? text(": ", place.due.size(), " rows are due, the capacity is ", place.size)
                       : "");
    judging.result.findings.push_back(finding);
  }
}

// Whether the slots hold each other's rows, all of them.
bool is_permutation(const Judging& judging, SlotAt begin, Count end) {
  const ArrivedRows rows = judging.rows_at(begin.place);
  std::vector<std::string_view> held;
  std::vector<std::string_view> due;
  for (Count slot = begin.slot; slot < end; ++slot) {
    held.push_back(key_of(rows.content(slot)));
    due.push_back(key_of(rows.content_of(*judging.due_at(begin.place, slot))));
  }
  std::ranges::sort(held);
  std::ranges::sort(due);
  return held == due;
}

struct Run {
  std::size_t place = 0;
  Count begin = 0;
  Count end = 0;
};

// Slots whose rows are each the one before (by 1) or after (by -1).
void name_moved_run(const Judging& judging, const Run& run, Count by, CaptureFinding& finding) {
  const ArrivedRows rows = judging.rows_at(run.place);
  const Count last = run.end - 1;
  const DueRow& pushed_out = *judging.due_at(run.place, by > 0 ? last : run.begin);
  const DueRow& let_in = *judging.due_at(run.place, by > 0 ? run.begin - 1 : run.end);
  const bool is_doubled = surplus_of(rows, key_of(rows.content_of(let_in))) > 0;
  const bool is_lost = surplus_of(rows, key_of(rows.content_of(pushed_out))) < 0;
  finding.fault = is_doubled && by > 0 ? CaptureFault::row_doubled
                  : is_lost            ? CaptureFault::row_lost
                  : is_doubled         ? CaptureFault::row_doubled
                                       : CaptureFault::order_broken;
  finding.cause = text("rows ", run.begin, " to ", last, " are each the one ",
                       by > 0 ? "before: " : "after: ", row_text(pushed_out),
                       is_lost ? " is lost" : " stands elsewhere",
                       is_doubled ? text(", ", row_text(let_in), " stands twice") : "");
}

// A run of slots whose rows are each other's, or their neighbours': one finding for all of it.
// RETURNS the first slot after it, or begin where there is no such run.
Count judge_run(Judging& judging, SlotAt begin, Count end) {
  const ArrivedRows rows = judging.rows_at(begin.place);
  const auto due_key = [&](Count slot) {
    return key_of(rows.content_of(*judging.due_at(begin.place, slot)));
  };
  const auto is_moved = [&](Count slot, Count by) {
    const Count from = slot - by;
    return from >= 0 && from < rows.place.size && judging.due_at(begin.place, from) != nullptr &&
           key_of(rows.content(slot)) == due_key(from);
  };
  if (end - begin.slot > 2 && is_permutation(judging, begin, end)) {
    CaptureFinding finding =
        finding_at(rows.place, begin.slot, judging.due_at(begin.place, begin.slot), rows_tensor);
    finding.fault = CaptureFault::order_broken;
    finding.elements = end - begin.slot;
    finding.cause = text("slots ", begin.slot, " to ", end - 1, " hold each other's rows");
    judging.result.findings.push_back(finding);
    return end;
  }
  for (const Count by : {1, -1}) {
    Count stop = begin.slot;
    while (stop < end && is_moved(stop, by)) ++stop;
    if (stop - begin.slot < 2) continue;
    CaptureFinding finding =
        finding_at(rows.place, begin.slot, judging.due_at(begin.place, begin.slot), rows_tensor);
    name_moved_run(judging, {begin.place, begin.slot, stop}, by, finding);
    finding.elements = stop - begin.slot;
    judging.result.findings.push_back(finding);
    return stop;
  }
  return begin.slot;
}

void judge_place(Judging& judging, std::size_t at, const DamagedSlots& damaged,
                 const ToldSlots& told) {
  const Place& place = judging.places[at];
  const auto is_damaged = [&](Count slot) {
    return slot < place.size && judging.due_at(at, slot) != nullptr &&
           !judging.arrivals[at].is_whole[static_cast<std::size_t>(slot)] &&
           !told.contains({at, slot});
  };
  for (Count slot = 0; slot < place.size; ++slot) {
    if (judging.due_at(at, slot) == nullptr) judge_surplus(judging, {at, slot});
    if (!is_damaged(slot)) continue;
    Count end = slot;
    while (is_damaged(end)) ++end;
    const Count after = judge_run(judging, {at, slot}, end);
    if (after > slot) {
      slot = after - 1;
      continue;
    }
    judge_row(judging, {at, slot}, damaged);
  }
  judge_lost(judging, at);
}

}  // namespace

DamagedRow damaged_row(const Judging& judging, SlotAt at) {
  const Place& place = judging.places[at.place];
  const DueRow& due = *judging.due_at(at.place, at.slot);
  return {judging,
          at,
          place,
          judging.rank(place.rank).dispatched,
          place.first + at.slot,
          due,
          judging.shipped[static_cast<std::size_t>(due.source)].rows};
}

CaptureFinding row_finding(const DamagedRow& row) {
  CaptureFinding finding = finding_at(row.place, row.at.slot, &row.due, rows_tensor);
  const std::vector<Count> columns = differing_columns(row);
  finding.column = columns.front();
  finding.elements = std::ssize(columns);
  finding.value =
      value_text(bits_at(row.arrived, row.arrived_row, finding.column), row.arrived.dtype);
  finding.expected =
      value_text(bits_at(row.shipped, row.due.row, finding.column), row.shipped.dtype);
  return finding;
}

void judge_rows(Judging& judging) {
  const DamagedSlots damaged = damaged_slots(judging);
  for (int rank = 0; rank < judging.capture.ep_size(); ++rank) {
    const ToldSlots told = judge_codes(judging, rank);
    for (std::size_t place = 0; place < judging.places.size(); ++place) {
      if (judging.places[place].rank != rank) continue;
      judging.result.rows_delivered += std::ssize(judging.places[place].due);
      judge_place(judging, place, damaged, told);
    }
  }
}

}  // namespace moe::golden
