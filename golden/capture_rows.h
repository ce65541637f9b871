// Arrived rows that are not the due ones, and the naming of what happened to each.
// Internal to golden/capture_row*.cc and capture_codes.cc.

#pragma once

#include <compare>
#include <map>
#include <set>
#include <string_view>
#include <vector>

#include "golden/capture_judging.h"

namespace moe::golden {

struct SlotAt {
  std::size_t place = 0;
  Count slot = 0;

  auto operator<=>(const SlotAt&) const = default;
};

// Damaged slots that a finding tells of already.
using ToldSlots = std::set<SlotAt>;

// Slots that hold another content than the row they stand for, by the content that is due there.
using DamagedSlots = std::map<std::string_view, std::vector<SlotAt>>;

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

// REQUIRES a slot that stands for a due row.
DamagedRow damaged_row(const Judging& judging, SlotAt at);

// Its finding, at the first column that differs; without fault and cause. REQUIRES one.
CaptureFinding row_finding(const DamagedRow& row);

// Codes of a rank that are made in another way than declared. RETURNS the slots whose codes are.
ToldSlots judge_codes(Judging& judging, int rank);

// How often a content stands in a place's slots beyond how often it is due there: above 0 it is
// doubled, below 0 lost.
Count surplus_of(const ArrivedRows& rows, std::string_view content);

// Columns whose bits differ.
std::vector<Count> differing_columns(const CapturedRows& one, Count row, const CapturedRows& other,
                                     Count other_row);
std::vector<Count> differing_columns(const DamagedRow& row);

// Names the likely fault of a row whose columns differ.
void name_row(const DamagedRow& row, const DamagedSlots& damaged, const std::vector<Count>& columns,
              CaptureFinding& finding);

}  // namespace moe::golden
