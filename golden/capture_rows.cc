// Whether the rows that arrived are those that were due, and what happened to those that are not:
// each likely fault is tried against the data.

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

#include "golden/capture_judging.h"
#include "golden/capture_quantiser.h"
#include "golden/capture_values.h"
#include "kernels/base/text.h"

namespace moe::golden {
namespace {

constexpr const char* rows_tensor = "dispatched_hidden_states";

constexpr Count likened_max = 100;  // findings, before rows are no more compared with all others

struct SlotAt {
  std::size_t place = 0;
  Count slot = 0;
};

// Slots that hold another content than the row they stand for, by the content that is due there.
using DamagedSlots = std::map<std::string_view, std::vector<SlotAt>>;

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

std::string place_text(const Place& place, Count slot) {
  if (place.local_expert < 0) return text("row ", slot, " of rank ", place.rank);
  return text("slot ", slot, " of rank ", place.rank, "'s expert ", place.local_expert);
}

// Columns whose bits differ.
std::vector<Count> differing_columns(const CapturedRows& one, Count row, const CapturedRows& other,
                                     Count other_row) {
  std::vector<Count> columns;
  for (Count column = 0; column < one.columns; ++column) {
    if (bits_at(one, row, column) != bits_at(other, other_row, column)) columns.push_back(column);
  }
  return columns;
}

// One damaged slot: where it is, what is in it and what should be.
struct DamagedRow {
  const Judging& judging;
  SlotAt at;
  const Place& place;
  const CapturedRows& arrived;
  Count arrived_row;
  const DueRow& due;
  const CapturedRows& shipped;
};

bool is_all(const DamagedRow& row, bool (*test)(float)) {
  return std::ranges::all_of(floats_of(row.arrived, row.arrived_row), test);
}

// A content that some rank did send: swapped, doubled, or gone astray.
void name_known_row(const DamagedRow& row, const std::vector<DueRow>& known,
                    const DamagedSlots& damaged, CaptureFinding& finding) {
  const auto content = row.arrived.row(row.arrived_row);
  const ArrivedRows here = row.judging.rows_at(row.at.place);
  const auto wanted_elsewhere = damaged.find(key_of(content));
  if (wanted_elsewhere != damaged.end()) {
    for (const SlotAt& other : wanted_elsewhere->second) {
      const ArrivedRows there = row.judging.rows_at(other.place);
      if (key_of(there.content(other.slot)) != key_of(here.content_of(row.due))) continue;
      finding.fault = CaptureFault::row_swapped;
      finding.cause = text("holds what is due in ", place_text(there.place, other.slot),
                           ", which holds this one's: the two are swapped");
      return;
    }
  }
  const DueRow& found = known.front();
  const std::string holds = text("holds ", row_text(found), " whole, where ", row_text(row.due));
  for (const DueRow& one : known) {
    if (!is_due_in(row.place, one)) continue;
    finding.fault = CaptureFault::row_doubled;
    finding.cause = text("holds ", row_text(one),
                         ", which is due in another slot here: that row "
                         "is doubled, ",
                         row_text(row.due), " is lost");
    return;
  }
  const bool has_number = std::ranges::any_of(known, [&](const DueRow& one) {
    return one.row == row.due.row && one.source != row.due.source;
  });
  finding.fault = has_number || found.source != row.due.source ? CaptureFault::row_from_wrong_rank
                                                               : CaptureFault::row_not_due;
  finding.cause = text(holds, " is due: ",
                       has_number ? "the right number from the wrong rank"
                                  : "a token that did not choose this place");
}

// The sent row that agrees with the damaged one in most columns.
struct Likeness {
  DueRow row;
  Count equal = -1;
};

Likeness most_alike(const DamagedRow& row) {
  Likeness best;
  for (int rank = 0; rank < std::ssize(row.judging.shipped); ++rank) {
    const CapturedRows& rows = row.judging.shipped[static_cast<std::size_t>(rank)].rows;
    for (Count other = 0; other < rows.rows; ++other) {
      const Count equal =
          rows.columns - std::ssize(differing_columns(row.arrived, row.arrived_row, rows, other));
      if (equal > best.equal) best = {{rank, other}, equal};
    }
  }
  return best;
}

// By how many columns the row moved; 0 if it did not.
Count column_shift(const DamagedRow& row) {
  const Count columns = row.arrived.columns;
  for (const Count shift : {1, -1, 2, -2, 4, -4, 8, -8, 16, -16, 32, -32, 64, -64, 128, -128}) {
    if (std::abs(shift) * 2 > columns) continue;
    Count equal = 0;
    for (Count column = 0; column < columns; ++column) {
      const Count from = (column - shift + columns) % columns;
      equal += static_cast<Count>(bits_at(row.arrived, row.arrived_row, column) ==
                                  bits_at(row.shipped, row.due.row, from));
    }
    if (equal >= columns - std::abs(shift)) return shift;
  }
  return 0;
}

// The way in which a row was quantised, if it is another than the declared one.
const char* other_quantiser(const DamagedRow& row) {
  if (row.shipped.dtype != DType::f8e4m3) return nullptr;
  const std::vector<float> values =
      floats_of(row.judging.rank(row.due.source).hidden_states, row.due.row);
  for (const auto& [form, name] :
       {std::pair(QuantiserForm::division, "codes of x / scale, not of x times 448 / amax"),
        std::pair(QuantiserForm::power_of_two, "codes under scales rounded up to powers of two")}) {
    const QuantisedRow other = quantised_block128(values, form);
    if (key_of(other.codes) == key_of(row.arrived.row(row.arrived_row))) return name;
  }
  return nullptr;
}

std::string few_columns_text(const DamagedRow& row, const std::vector<Count>& columns) {
  int bits = 0;
  for (const Count column : columns) {
    bits += std::popcount(bits_at(row.arrived, row.arrived_row, column) ^
                          bits_at(row.shipped, row.due.row, column));
  }
  if (columns.size() == 1) return text("one element, ", bits, bits == 1 ? " bit" : " bits");
  return text(columns.size(), " elements, columns ", columns.front(), " to ", columns.back(), ", ",
              bits, " bits");
}

// The constant between the row and the one that is due; 0 if there is none.
float factor_of(const DamagedRow& row) {
  std::vector<Range> arrived;
  std::vector<Range> due;
  for (Count column = 0; column < row.arrived.columns; ++column) {
    arrived.push_back(
        rounding_range(bits_at(row.arrived, row.arrived_row, column), row.arrived.dtype));
    const double value =
        static_cast<double>(float_of(bits_at(row.shipped, row.due.row, column), row.shipped.dtype));
    due.push_back({value, value});
  }
  return common_factor(arrived, due);
}

// What happened to a row that is nobody's as it is.
void name_unknown_row(const DamagedRow& row, const std::vector<Count>& columns,
                      CaptureFinding& finding) {
  const bool has_many = std::ssize(columns) * 4 > row.arrived.columns;
  finding.fault = CaptureFault::value_changed;
  finding.cause = few_columns_text(row, columns);
  if (columns.size() == 1) return;
  if (is_all(row, [](float value) { return value == 0; }) ||
      is_all(row, [](float value) { return std::isnan(value); })) {
    finding.fault = CaptureFault::row_unwritten;
    finding.cause = "every element is the same zero or NaN: the row was never written";
    return;
  }
  if (const char* quantiser = other_quantiser(row)) {
    finding.fault = CaptureFault::quantiser_differs;
    finding.cause = quantiser;
    return;
  }
  if (!has_many) return;
  const float factor = factor_of(row);
  if (factor != 0) {
    finding.fault = CaptureFault::row_scaled;
    finding.cause = text("the row times ", factor);
    return;
  }
  if (const Count shift = column_shift(row)) {
    finding.fault = CaptureFault::row_shifted;
    finding.cause = text("the row moved by ", shift, " columns");
    return;
  }
  finding.cause += "; no rank sent such a row: stale, torn or overwritten";
  if (std::ssize(row.judging.result.findings) > likened_max) return;
  const Likeness alike = most_alike(row);
  if (alike.equal * 2 > row.arrived.columns) {
    finding.fault = CaptureFault::row_not_due;
    finding.cause = text("agrees with ", row_text(alike.row), " in ", alike.equal, " of ",
                         row.arrived.columns, " columns: torn, stale, or damaged too");
  }
}

void judge_row(Judging& judging, SlotAt at, const DamagedSlots& damaged) {
  const Place& place = judging.places[at.place];
  const DueRow& due = *judging.due_at(at.place, at.slot);
  const DamagedRow row{judging,
                       at,
                       place,
                       judging.rank(place.rank).dispatched,
                       place.first + at.slot,
                       due,
                       judging.shipped[static_cast<std::size_t>(due.source)].rows};
  CaptureFinding finding = finding_at(place, at.slot, &due, rows_tensor);
  const std::vector<Count> columns =
      differing_columns(row.arrived, row.arrived_row, row.shipped, due.row);
  finding.column = columns.front();
  finding.elements = std::ssize(columns);
  finding.value =
      value_text(bits_at(row.arrived, row.arrived_row, finding.column), row.arrived.dtype);
  finding.expected = value_text(bits_at(row.shipped, due.row, finding.column), row.shipped.dtype);
  const auto known = judging.index.find(key_of(row.arrived.row(row.arrived_row)));
  if (known != judging.index.end()) {
    name_known_row(row, known->second, damaged, finding);
  } else {
    name_unknown_row(row, columns, finding);
  }
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
    const Count last = stop - 1;
    CaptureFinding finding =
        finding_at(rows.place, begin.slot, judging.due_at(begin.place, begin.slot), rows_tensor);
    finding.fault = by > 0 ? CaptureFault::row_doubled : CaptureFault::row_lost;
    finding.elements = stop - begin.slot;
    finding.cause = by > 0 ? text("rows ", begin.slot, " to ", last, " are each the one before: ",
                                  row_text(*judging.due_at(begin.place, begin.slot - 1)),
                                  " stands twice, or another row was put before, and ",
                                  row_text(*judging.due_at(begin.place, last)), " is lost")
                           : text("rows ", begin.slot, " to ", last, " are each the one after: ",
                                  row_text(*judging.due_at(begin.place, begin.slot)), " is lost");
    judging.result.findings.push_back(finding);
    return stop;
  }
  return begin.slot;
}

void judge_place(Judging& judging, std::size_t at, const DamagedSlots& damaged) {
  const Place& place = judging.places[at];
  const auto is_damaged = [&](Count slot) {
    return slot < place.size && judging.due_at(at, slot) != nullptr &&
           !judging.arrivals[at].is_whole[static_cast<std::size_t>(slot)];
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

void judge_rows(Judging& judging) {
  const DamagedSlots damaged = damaged_slots(judging);
  for (std::size_t place = 0; place < judging.places.size(); ++place) {
    judging.result.rows_delivered += std::ssize(judging.places[place].due);
    judge_place(judging, place, damaged);
  }
}

}  // namespace moe::golden
