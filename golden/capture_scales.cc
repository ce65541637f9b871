// Whether the scales of quantised rows are those that the declared quantiser gives. Codes are
// judged as rows are, in capture_rows.cc.

#include <algorithm>
#include <bit>
#include <cmath>

#include "golden/capture_judging.h"
#include "golden/capture_quantiser.h"
#include "golden/capture_scale_faults.h"
#include "golden/capture_values.h"
#include "kernels/base/text.h"

namespace moe::golden {
namespace {

// Whose scales a slot has; nothing if nobody's.
std::optional<DueRow> owner_of_scales(const Judging& judging, std::span<const float> scales) {
  for (int source = 0; source < std::ssize(judging.shipped); ++source) {
    const ShippedRows& shipped = judging.shipped[static_cast<std::size_t>(source)];
    for (Count row = 0; row < shipped.rows.rows; ++row) {
      const auto first = shipped.scales.begin() + row * std::ssize(scales);
      if (std::equal(scales.begin(), scales.end(), first)) return DueRow{source, row};
    }
  }
  return std::nullopt;
}

// The constant between these slots' scales and those that are due; 0 if there is none.
float factor_of(const std::vector<SlotScales>& slots) {
  std::vector<Range> arrived;
  std::vector<Range> due;
  for (const SlotScales& slot : slots) {
    for (std::size_t group = 0; group < slot.arrived.size(); ++group) {
      if (std::isfinite(slot.arrived[group]) != std::isfinite(slot.expected[group])) return 0;
      const auto bits = std::bit_cast<std::uint32_t>(slot.arrived[group]);
      arrived.push_back(rounding_range(bits, DType::f32));
      const auto value = static_cast<double>(slot.expected[group]);
      due.push_back({value, value});
    }
  }
  return common_factor(arrived, due);
}

// What one sentence says of all scales of a slot, or nothing.
std::string cause_of_all(const SlotScales& slot) {
  const auto [scales, expected] = std::pair(slot.arrived, slot.expected);
  for (Count by = 1; by < std::ssize(scales); ++by) {
    const Count last = std::ssize(scales) - by;
    if (std::equal(scales.begin() + by, scales.end(), expected.begin()) &&
        std::equal(scales.begin(), scales.begin() + by, expected.begin() + last)) {
      const Count moved = last < by ? -last : by;
      return text("the row's scales moved by ", moved,
                  moved == 1 || moved == -1 ? " group" : " groups");
    }
  }
  const float factor = factor_of({slot});
  return factor == 0 ? "" : text("every scale of the row times ", factor);
}

// The finding of a slot at its first wrong scale; elements: those that are wrong there.
CaptureFinding scale_finding(const Judging& judging, const SlotScales& slot, std::size_t group) {
  CaptureFinding finding =
      finding_at(judging.places[slot.place], slot.slot, &slot.due, "dispatched_scales");
  finding.fault = CaptureFault::scale_changed;
  finding.column = static_cast<Count>(group);
  finding.value = value_text(slot.arrived[group]);
  finding.expected = value_text(slot.expected[group]);
  return finding;
}

bool is_right(const SlotScales& slot, std::size_t group) {
  return is_same_value(std::bit_cast<std::uint32_t>(slot.arrived[group]),
                       std::bit_cast<std::uint32_t>(slot.expected[group]), DType::f32);
}

Count num_wrong(const SlotScales& slot) {
  Count wrong = 0;
  for (std::size_t group = 0; group < slot.arrived.size(); ++group) {
    wrong += static_cast<Count>(!is_right(slot, group));
  }
  return wrong;
}

std::size_t first_wrong(const SlotScales& slot) {
  std::size_t first = 0;
  while (first < slot.arrived.size() && is_right(slot, first)) ++first;
  return first;
}

// Scales that came with another row, whose codes stand there, too: that row is the finding.
bool came_with_row(const Judging& judging, const SlotScales& slot,
                   const std::optional<DueRow>& owner) {
  const ArrivedRows rows = judging.rows_at(slot.place);
  return owner && key_of(rows.content(slot.slot)) == key_of(rows.content_of(*owner)) &&
         !judging.arrivals[slot.place].is_whole[static_cast<std::size_t>(slot.slot)];
}

void judge_slot(Judging& judging, const SlotScales& slot) {
  const std::size_t first = first_wrong(slot);
  if (first == slot.arrived.size()) return;
  const std::optional<DueRow> owner = owner_of_scales(judging, slot.arrived);
  if (came_with_row(judging, slot, owner)) return;
  ScaleFault of_all;
  if (owner) {
    of_all.cause = text("these are the scales of ", row_text(*owner));
  } else if (const auto fault = fault_of_rows(judging, {slot})) {
    of_all = *fault;
  } else {
    of_all.cause = cause_of_all(slot);
  }
  if (!of_all.cause.empty()) {
    CaptureFinding finding = scale_finding(judging, slot, first);
    finding.fault = of_all.fault;
    finding.cause = of_all.cause;
    finding.elements = num_wrong(slot);
    judging.result.findings.push_back(finding);
    return;
  }
  for (std::size_t group = first; group < slot.arrived.size(); ++group) {
    if (is_right(slot, group)) continue;
    CaptureFinding finding = scale_finding(judging, slot, group);
    finding.cause = text("times ", slot.arrived[group] / slot.expected[group]);
    judging.result.findings.push_back(finding);
  }
}

// The slots of a rank that hold rows, with their scales.
std::vector<SlotScales> scales_of_rank(const Judging& judging, int rank) {
  const Count groups = num_quantised_groups(judging.capture.hidden_size);
  const std::span<const float> all = judging.rank(rank).dispatched_scales;
  std::vector<SlotScales> slots;
  for (std::size_t at = 0; at < judging.places.size(); ++at) {
    const Place& place = judging.places[at];
    for (Count slot = 0; slot < place.size && place.rank == rank; ++slot) {
      const DueRow* due = judging.due_at(at, slot);
      if (due == nullptr) continue;
      const std::span<const float> shipped =
          judging.shipped[static_cast<std::size_t>(due->source)].scales;
      const auto width = static_cast<std::size_t>(groups);
      slots.push_back({at, slot, *due,
                       all.subspan(static_cast<std::size_t>((place.first + slot) * groups), width),
                       shipped.subspan(static_cast<std::size_t>(due->row * groups), width)});
    }
  }
  return slots;
}

// Where scales of several rows are wrong, one way that explains them all. RETURNS whether there is.
bool name_all_of_rank(Judging& judging, const std::vector<SlotScales>& slots) {
  const auto is_wrong = [](const SlotScales& slot) { return !slot.is_right(); };
  if (std::ranges::count_if(slots, is_wrong) < 2) return false;
  std::optional<ScaleFault> fault = fault_of_layout(judging, slots);
  if (!fault) fault = fault_of_rows(judging, slots);
  if (const float factor = fault ? 0 : factor_of(slots); factor != 0) {
    fault = ScaleFault{CaptureFault::scale_changed, text("every scale times ", factor)};
  }
  if (!fault) return false;
  const SlotScales& first = *std::ranges::find_if(slots, is_wrong);
  CaptureFinding finding = scale_finding(judging, first, first_wrong(first));
  finding.fault = fault->fault;
  finding.cause = text("all scales of the rank: ", fault->cause);
  finding.elements = 0;
  for (const SlotScales& slot : slots) finding.elements += num_wrong(slot);
  judging.result.findings.push_back(finding);
  return true;
}

}  // namespace

void judge_scales(Judging& judging) {
  if (judging.capture.quantization == Quantization::none) return;
  for (int rank = 0; rank < judging.capture.ep_size(); ++rank) {
    const std::vector<SlotScales> slots = scales_of_rank(judging, rank);
    if (name_all_of_rank(judging, slots)) continue;
    for (const SlotScales& slot : slots) judge_slot(judging, slot);
  }
}

}  // namespace moe::golden
