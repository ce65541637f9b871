// Which arrived row stands for which due row. A damaged row is still somebody's: what matches
// nothing takes the place that its labels or its likeness point at.

#include <algorithm>
#include <map>
#include <tuple>

#include "golden/capture_places.h"

namespace moe::golden {
namespace {

constexpr Count aligned_max = 4096;      // rows of a table that an alignment may have on each side
constexpr Count compared_pairs = 40000;  // of what is left, by likeness

Arrival empty_arrival(const ArrivedRows& rows) {
  Arrival arrival;
  arrival.due_of.assign(static_cast<std::size_t>(rows.place.size), -1);
  arrival.is_whole.assign(static_cast<std::size_t>(rows.place.size), false);
  arrival.slot_of.assign(rows.place.due.size(), -1);
  return arrival;
}

// Slots that can hold a row: the valid ones, and where the count is too small or cannot be, those
// that a right count would have made valid.
Count num_slots(const Place& place) {
  const Count due = std::min(place.size, std::ssize(place.due));
  return place.valid > place.size ? due : std::max(place.valid, due);
}

bool is_equal(std::span<const std::byte> one, std::span<const std::byte> other) {
  return key_of(one) == key_of(other);
}

void assign(Arrival& arrival, const ArrivedRows& rows, Count slot, Count due) {
  const DueRow& row = rows.place.due[static_cast<std::size_t>(due)];
  arrival.due_of[static_cast<std::size_t>(slot)] = due;
  arrival.slot_of[static_cast<std::size_t>(due)] = slot;
  arrival.is_whole[static_cast<std::size_t>(slot)] =
      is_equal(rows.content(slot), rows.content_of(row));
}

// Slots that may hold a row although its content matches none: valid ones, no padding.
std::vector<Count> free_slots(const Arrival& arrival, const ArrivedRows& rows) {
  std::vector<Count> slots;
  for (Count slot = 0; slot < std::min(rows.place.size, rows.place.valid); ++slot) {
    const auto at = static_cast<std::size_t>(slot);
    if (arrival.due_of[at] < 0 && !rows.is_padding[at]) slots.push_back(slot);
  }
  return slots;
}

std::vector<Count> free_dues(const Arrival& arrival) {
  std::vector<Count> dues;
  for (Count due = 0; due < std::ssize(arrival.slot_of); ++due) {
    if (arrival.slot_of[static_cast<std::size_t>(due)] < 0) dues.push_back(due);
  }
  return dues;
}

Count differing_bytes(std::span<const std::byte> one, std::span<const std::byte> other) {
  Count differing = 0;
  for (std::size_t i = 0; i < one.size(); ++i) differing += static_cast<Count>(one[i] != other[i]);
  return differing;
}

// The rest in pairs: claimed ones first, then the most alike; in order where there are too many.
void assign_rest(Arrival& arrival, const ArrivedRows& rows, const Claims& claims) {
  const std::vector<Count> slots = free_slots(arrival, rows);
  const std::vector<Count> dues = free_dues(arrival);
  const bool is_compared = std::ssize(slots) * std::ssize(dues) <= compared_pairs;
  std::vector<std::tuple<bool, Count, Count, Count>> pairs;  // not claimed, difference, slot, due
  for (std::size_t i = 0; i < slots.size(); ++i) {
    for (std::size_t j = 0; j < dues.size(); ++j) {
      if (!is_compared && i != j) continue;
      const DueRow& due = rows.place.due[static_cast<std::size_t>(dues[j])];
      const Count difference = differing_bytes(rows.content(slots[i]), rows.content_of(due));
      pairs.emplace_back(!claims(slots[i], due), difference, slots[i], dues[j]);
    }
  }
  std::sort(pairs.begin(), pairs.end());
  for (const auto& [not_claimed, difference, slot, due] : pairs) {
    if (arrival.due_of[static_cast<std::size_t>(slot)] >= 0) continue;
    if (arrival.slot_of[static_cast<std::size_t>(due)] >= 0) continue;
    assign(arrival, rows, slot, due);
  }
}

using DueByContent = std::map<std::string_view, std::vector<Count>>;

DueByContent due_by_content(const ArrivedRows& rows) {
  DueByContent dues;
  for (Count due = 0; due < std::ssize(rows.place.due); ++due) {
    dues[key_of(rows.content_of(rows.place.due[static_cast<std::size_t>(due)]))].push_back(due);
  }
  return dues;
}

// Slots whose content is due, to the first due row of that content that is free and claimed.
void assign_equal(Arrival& arrival, const ArrivedRows& rows, const Claims& claims) {
  const DueByContent dues = due_by_content(rows);
  for (Count slot = 0; slot < num_slots(rows.place); ++slot) {
    if (arrival.due_of[static_cast<std::size_t>(slot)] >= 0) continue;
    const auto found = dues.find(key_of(rows.content(slot)));
    if (found == dues.end()) continue;
    for (const Count due : found->second) {
      if (arrival.slot_of[static_cast<std::size_t>(due)] >= 0) continue;
      if (!claims(slot, rows.place.due[static_cast<std::size_t>(due)])) continue;
      assign(arrival, rows, slot, due);
      break;
    }
  }
}

bool claims_all(Count, const DueRow&) { return true; }

// The longest common sequence of slots and due rows, by dynamic programming from the end.
void assign_aligned(Arrival& arrival, const ArrivedRows& rows) {
  const Count slots = rows.place.size;
  const Count dues = std::ssize(rows.place.due);
  const Count width = dues + 1;
  std::vector<std::int32_t> length(static_cast<std::size_t>((slots + 1) * width), 0);
  const auto at = [&](Count slot, Count due) -> std::int32_t& {
    return length[static_cast<std::size_t>(slot * width + due)];
  };
  const auto equal = [&](Count slot, Count due) {
    return is_equal(rows.content(slot),
                    rows.content_of(rows.place.due[static_cast<std::size_t>(due)]));
  };
  for (Count slot = slots - 1; slot >= 0; --slot) {
    for (Count due = dues - 1; due >= 0; --due) {
      at(slot, due) = equal(slot, due) ? at(slot + 1, due + 1) + 1
                                       : std::max(at(slot + 1, due), at(slot, due + 1));
    }
  }
  for (Count slot = 0, due = 0; slot < slots && due < dues;) {
    if (equal(slot, due)) {
      assign(arrival, rows, slot++, due++);
    } else if (at(slot + 1, due) >= at(slot, due + 1)) {
      ++slot;
    } else {
      ++due;
    }
  }
}

}  // namespace

Arrival arrival_in_order(const ArrivedRows& rows) {
  Arrival arrival = empty_arrival(rows);
  const Count dues = std::ssize(rows.place.due);
  if (rows.place.size == dues) {
    for (Count slot = 0; slot < dues; ++slot) assign(arrival, rows, slot, slot);
    return arrival;
  }
  if (rows.place.size <= aligned_max && dues <= aligned_max) assign_aligned(arrival, rows);
  assign_equal(arrival, rows, claims_all);
  assign_rest(arrival, rows, claims_all);
  return arrival;
}

Arrival arrival_by_content(const ArrivedRows& rows, const Claims& claims) {
  Arrival arrival = empty_arrival(rows);
  assign_equal(arrival, rows, claims);
  assign_equal(arrival, rows, claims_all);
  assign_rest(arrival, rows, claims);
  return arrival;
}

}  // namespace moe::golden
