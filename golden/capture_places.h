// Which row is due in which place, and which of the arrived rows stands for which: the ground that
// the judgement of a capture stands on. Internal to golden/capture_*.cc.

#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "golden/capture.h"
#include "kernels/base/expert_map.h"

namespace moe::golden {

// A row of a rank; topk_slot is the choice that brings it to an expert, -1 in standard formats.
struct DueRow {
  int source = 0;
  Count row = 0;
  int topk_slot = -1;
};

// Rows that arrive together: those of a rank (standard), or of one of its experts (batched).
struct Place {
  int rank = 0;
  int local_expert = -1;    // batched only
  Count first = 0;          // its first row in the rank's tensors
  Count size = 0;           // slots there
  Count valid = 0;          // of them, as the counts say; all of them in the standard format
  std::vector<DueRow> due;  // in the order by_source
};

// Which slot of a place holds which row.
struct Arrival {
  std::vector<Count> due_of;   // of each slot: an index of due, -1 for none
  std::vector<Count> slot_of;  // of each due row: -1 where it is lost
  std::vector<bool> is_whole;  // of each slot: the row in it is the one due, bit for bit
};

// What travels of each row of a rank.
struct ShippedRows {
  CapturedRows rows;          // as they are, or as codes
  std::vector<float> scales;  // [rows, groups] where quantised
};

ExpertMap expert_map_of(const Capture& capture);

// The choice's expert; -1 for a masked one and for ids that no expert has.
int expert_of(const Capture& capture, int rank, Count row, int topk_slot);

std::vector<ShippedRows> shipped_rows(const Capture& capture);

// Ranks ascending, in each the local experts ascending.
std::vector<Place> places_of(const Capture& capture, const ExpertMap& experts);

// The rank whose rows travel for this one: itself, or its TP group's first.
int sender_of(const Capture& capture, int rank);

bool is_due_in(const Place& place, const DueRow& row);

// Bytes as a key.
inline std::string_view key_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Where each content is among the shipped rows. Looks into shipped.
using RowIndex = std::unordered_map<std::string_view, std::vector<DueRow>>;
RowIndex index_of(const std::vector<ShippedRows>& shipped);

// Whether a slot's labels (source row, or ids and weights) say that it holds that row.
using Claims = std::function<bool(Count slot, const DueRow& due)>;

// LIFETIME: looks into what it was made of.
struct ArrivedRows {
  const Place& place;
  const CapturedRows& dispatched;  // of the place's rank
  const std::vector<ShippedRows>& shipped;
  const std::vector<bool>& is_padding;  // of each slot

  std::span<const std::byte> content(Count slot) const {
    return dispatched.row(place.first + slot);
  }
  std::span<const std::byte> content_of(const DueRow& due) const {
    return shipped[static_cast<std::size_t>(due.source)].rows.row(due.row);
  }
};

// ORDER: slot i holds the i-th due row; where their numbers differ, by the longest common sequence.
Arrival arrival_in_order(const ArrivedRows& rows);

// In one whole block for each source, blocks in any order; nothing where the contents are not that.
// Between equal contents claims decide.
std::optional<Arrival> arrival_in_blocks(const ArrivedRows& rows, const Claims& claims);

// By content, where two are equal by claims, and what is left by claims and likeness.
Arrival arrival_by_content(const ArrivedRows& rows, const Claims& claims);

}  // namespace moe::golden
