// What happened to a row that is not the one due: each likely fault is tried against the data. A
// row is doubled or lost only if it stands twice or nowhere.

#include <algorithm>
#include <bit>
#include <cmath>

#include "golden/capture_rows.h"
#include "golden/capture_values.h"
#include "kernels/base/text.h"

namespace moe::golden {
namespace {

constexpr Count likened_max = 100;  // findings, before rows are no more compared with all others

std::string place_text(const Place& place, Count slot) {
  if (place.local_expert < 0) return text("row ", slot, " of rank ", place.rank);
  return text("slot ", slot, " of rank ", place.rank, "'s expert ", place.local_expert);
}

bool is_all(const DamagedRow& row, bool (*test)(float)) {
  return std::ranges::all_of(floats_of(row.arrived, row.arrived_row), test);
}

// "1 element differs (column 7, bit 0)"
std::string differences_text(const DamagedRow& row, const CapturedRows& one, Count one_row,
                             const CapturedRows& other, Count other_row) {
  const std::vector<Count> columns = differing_columns(one, one_row, other, other_row);
  const Count column = columns.front();
  const std::uint32_t bits = bits_at(one, one_row, column) ^ bits_at(other, other_row, column);
  if (columns.size() == 1 && std::has_single_bit(bits)) {
    return text("1 element differs (column ", column, ", bit ", std::countr_zero(bits), ")");
  }
  return text(columns.size(), " of ", row.arrived.columns, " elements differ, from column ", column,
              " on");
}

// Whether a row is another one but for a few columns, or whole.
bool is_near(const CapturedRows& one, Count row, const CapturedRows& other, Count other_row) {
  return std::ssize(differing_columns(one, row, other, other_row)) * 4 <= one.columns;
}

const CapturedRows& shipped_of(const DamagedRow& row, int rank) {
  return row.judging.shipped[static_cast<std::size_t>(rank)].rows;
}

// The row changed places with another: the slot where this one's content is due holds that of this
// one, and of the two at most a few elements differ. RETURNS whether it did.
bool name_swapped(const DamagedRow& row, const DueRow& held, const DamagedSlots& damaged,
                  CaptureFinding& finding) {
  const CapturedRows& sent = shipped_of(row, held.source);
  const auto wanted_elsewhere = damaged.find(key_of(sent.row(held.row)));
  if (wanted_elsewhere == damaged.end()) return false;
  for (const SlotAt& other : wanted_elsewhere->second) {
    const ArrivedRows there = row.judging.rows_at(other.place);
    const Count other_row = there.place.first + other.slot;
    if (!is_near(there.dispatched, other_row, row.shipped, row.due.row)) continue;
    finding.fault = CaptureFault::row_swapped;
    finding.cause = text("holds what is due in ", place_text(there.place, other.slot),
                         ", which holds this one's: the two are swapped");
    if (!differing_columns(row.arrived, row.arrived_row, sent, held.row).empty()) {
      finding.cause +=
          text(", and here ", differences_text(row, row.arrived, row.arrived_row, sent, held.row));
    }
    if (!differing_columns(there.dispatched, other_row, row.shipped, row.due.row).empty()) {
      finding.cause += text(", and there ", differences_text(row, there.dispatched, other_row,
                                                             row.shipped, row.due.row));
    }
    return true;
  }
  return false;
}

// A slot of the place with that content that stands for another; -1 if there is none.
Count slot_with(const DamagedRow& row, std::string_view content) {
  const ArrivedRows rows = row.judging.rows_at(row.at.place);
  for (Count slot = 0; slot < row.place.size; ++slot) {
    const DueRow* due = row.judging.due_at(row.at.place, slot);
    if (due == nullptr || key_of(rows.content(slot)) != content) continue;
    if (key_of(rows.content_of(*due)) != content) return slot;
  }
  return -1;
}

// A content that is due in another slot of the same place.
void name_of_same_place(const DamagedRow& row, const DueRow& held, CaptureFinding& finding) {
  const ArrivedRows rows = row.judging.rows_at(row.at.place);
  const std::string_view wanted = key_of(rows.content_of(row.due));
  const bool is_doubled = surplus_of(rows, key_of(rows.content(row.at.slot))) > 0;
  const Count own = slot_with(row, wanted);
  finding.fault = is_doubled ? CaptureFault::row_doubled
                  : own >= 0 ? CaptureFault::order_broken
                             : CaptureFault::row_lost;
  finding.cause = text("holds ", row_text(held), ", which is due in another slot here");
  if (is_doubled) finding.cause += ": that row is doubled";
  if (own >= 0) {
    finding.cause += text(", ", row_text(row.due), " stands in ", place_text(row.place, own));
  } else if (surplus_of(rows, wanted) < 0) {
    finding.cause += text(", ", row_text(row.due), " is lost");
  }
}

// A content that some rank did send: swapped, doubled, or gone astray.
void name_known_row(const DamagedRow& row, const std::vector<DueRow>& known,
                    const DamagedSlots& damaged, CaptureFinding& finding) {
  if (name_swapped(row, known.front(), damaged, finding)) return;
  for (const DueRow& one : known) {
    if (is_due_in(row.place, one)) return name_of_same_place(row, one, finding);
  }
  const DueRow& found = known.front();
  const bool has_number = std::ranges::any_of(known, [&](const DueRow& one) {
    return one.row == row.due.row && one.source != row.due.source;
  });
  finding.fault = has_number || found.source != row.due.source ? CaptureFault::row_from_wrong_rank
                                                               : CaptureFault::row_not_due;
  finding.cause = text("holds ", row_text(found), " whole, where ", row_text(row.due), " is due: ",
                       has_number ? "the right number from the wrong rank"
                                  : "a token that did not choose this place");
}

// The sent row that agrees with the damaged one in most columns; of equals the one that is due.
struct Likeness {
  DueRow row;
  Count equal = 0;
  bool is_due = false;
};

Likeness most_alike(const DamagedRow& row) {
  Likeness best{row.due, row.arrived.columns - std::ssize(differing_columns(row)), true};
  for (int rank = 0; rank < std::ssize(row.judging.shipped); ++rank) {
    const CapturedRows& rows = row.judging.shipped[static_cast<std::size_t>(rank)].rows;
    for (Count other = 0; other < rows.rows; ++other) {
      const Count equal =
          rows.columns - std::ssize(differing_columns(row.arrived, row.arrived_row, rows, other));
      if (equal > best.equal) best = {{rank, other}, equal, false};
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

// The bits that differ in every one of the columns, where they are the same ones; else 0.
std::uint32_t common_bits(const DamagedRow& row, const std::vector<Count>& columns) {
  const auto bits_of = [&](Count column) {
    return bits_at(row.arrived, row.arrived_row, column) ^
           bits_at(row.shipped, row.due.row, column);
  };
  const std::uint32_t bits = bits_of(columns.front());
  const bool is_common =
      std::ranges::all_of(columns, [&](Count column) { return bits_of(column) == bits; });
  return is_common ? bits : 0;
}

std::string few_columns_text(const DamagedRow& row, const std::vector<Count>& columns) {
  int bits = 0;
  for (const Count column : columns) {
    bits += std::popcount(bits_at(row.arrived, row.arrived_row, column) ^
                          bits_at(row.shipped, row.due.row, column));
  }
  const std::uint32_t common = common_bits(row, columns);
  if (columns.size() > 1 && std::has_single_bit(common)) {
    return text(columns.size(), " elements, columns ", columns.front(), " to ", columns.back(),
                ", bit ", std::countr_zero(common), " of each");
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
                      const DamagedSlots& damaged, CaptureFinding& finding) {
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
  const auto makers = makers_of(row.judging, row.arrived.row(row.arrived_row), row.due);
  if (!makers.empty()) {
    finding.fault = CaptureFault::quantiser_differs;
    finding.cause = makers.front()->words;
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
  if (common_bits(row, columns) != 0) return;
  finding.cause += "; no rank sent such a row: stale, torn or overwritten";
  if (std::ssize(row.judging.result.findings) > likened_max) return;
  const Likeness alike = most_alike(row);
  if (alike.is_due) {
    if (alike.equal * 2 <= row.arrived.columns) return;
    finding.cause =
        text(few_columns_text(row, columns), "; agrees with the row that is due in ", alike.equal,
             " of ", row.arrived.columns, " columns: torn or overwritten in part");
    return;
  }
  if ((row.arrived.columns - alike.equal) * 4 <= row.arrived.columns &&
      name_swapped(row, alike.row, damaged, finding)) {
    return;
  }
  if (alike.equal * 2 > row.arrived.columns) {
    finding.fault = CaptureFault::row_not_due;
    finding.cause = text("agrees with ", row_text(alike.row), " in ", alike.equal, " of ",
                         row.arrived.columns, " columns: torn, stale, or damaged too");
  }
}

}  // namespace

Count surplus_of(const ArrivedRows& rows, std::string_view content) {
  Count surplus = 0;
  for (Count slot = 0; slot < std::min(rows.place.size, rows.place.valid); ++slot) {
    surplus += static_cast<Count>(key_of(rows.content(slot)) == content);
  }
  for (const DueRow& due : rows.place.due) {
    surplus -= static_cast<Count>(key_of(rows.content_of(due)) == content);
  }
  return surplus;
}

std::vector<Count> differing_columns(const CapturedRows& one, Count row, const CapturedRows& other,
                                     Count other_row) {
  std::vector<Count> columns;
  for (Count column = 0; column < one.columns; ++column) {
    if (bits_at(one, row, column) != bits_at(other, other_row, column)) columns.push_back(column);
  }
  return columns;
}

std::vector<Count> differing_columns(const DamagedRow& row) {
  return differing_columns(row.arrived, row.arrived_row, row.shipped, row.due.row);
}

void name_row(const DamagedRow& row, const DamagedSlots& damaged, const std::vector<Count>& columns,
              CaptureFinding& finding) {
  const auto known = row.judging.index.find(key_of(row.arrived.row(row.arrived_row)));
  if (known != row.judging.index.end()) {
    name_known_row(row, known->second, damaged, finding);
  } else {
    name_unknown_row(row, columns, damaged, finding);
  }
}

}  // namespace moe::golden
