// What may have gone wrong with the scales of quantised rows in one way: laid out, ordered, rounded
// or made otherwise than declared. One is said only if it makes every scale as it arrived.
// Internal to golden/capture_scale*.cc.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "golden/capture_judging.h"

namespace moe::golden {

// A slot of a rank that holds a row, with the scales that arrived and those that are due.
struct SlotScales {
  std::size_t place = 0;
  Count slot = 0;
  DueRow due;
  std::span<const float> arrived;
  std::span<const float> expected;

  bool is_right() const;
};

struct ScaleFault {
  CaptureFault fault = CaptureFault::scale_changed;
  std::string cause;
};

// What makes all of these rows' scales from the rows themselves; nothing if nothing known does, or
// if all are right. REQUIRES at least one slot.
std::optional<ScaleFault> fault_of_rows(const Judging& judging,
                                        const std::vector<SlotScales>& slots);

// The order in memory that makes all scales of one rank, of which these are the slots with rows.
std::optional<ScaleFault> fault_of_layout(const Judging& judging,
                                          const std::vector<SlotScales>& slots);

}  // namespace moe::golden
