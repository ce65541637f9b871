// Whether the scales of quantised rows are those that the declared quantiser gives. Codes are
// judged as rows are, in capture_rows.cc.

#include <algorithm>
#include <bit>

#include "golden/capture_judging.h"
#include "golden/capture_quantiser.h"
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

// What one sentence says of all scales of a slot, or nothing.
std::string cause_of_all(std::span<const float> scales, std::span<const float> expected) {
  for (Count by = 1; by < std::ssize(scales); ++by) {
    const Count last = std::ssize(scales) - by;
    if (std::equal(scales.begin() + by, scales.end(), expected.begin()) &&
        std::equal(scales.begin(), scales.begin() + by, expected.begin() + last)) {
      const Count moved = last < by ? -last : by;
      return text("the row's scales moved by ", moved,
                  moved == 1 || moved == -1 ? " group" : " groups");
    }
  }
  std::vector<Range> arrived;
  std::vector<Range> due;
  for (std::size_t group = 0; group < scales.size(); ++group) {
    arrived.push_back(rounding_range(std::bit_cast<std::uint32_t>(scales[group]), DType::f32));
    const auto value = static_cast<double>(expected[group]);
    due.push_back({value, value});
  }
  const bool has_factor = std::ranges::none_of(scales, [](float one) { return one == 0; });
  const float factor = has_factor ? common_factor(arrived, due) : 0;
  return factor == 0 ? "" : text("every scale of the row times ", factor);
}

void judge_slot(Judging& judging, std::size_t at, Count slot, Count groups) {
  const Place& place = judging.places[at];
  const DueRow& due = *judging.due_at(at, slot);
  const std::span<const float> all = judging.rank(place.rank).dispatched_scales;
  const auto scales = all.subspan(static_cast<std::size_t>((place.first + slot) * groups),
                                  static_cast<std::size_t>(groups));
  const std::span<const float> shipped =
      judging.shipped[static_cast<std::size_t>(due.source)].scales;
  const auto expected = shipped.subspan(static_cast<std::size_t>(due.row * groups), scales.size());
  const auto bits = [](float value) { return std::bit_cast<std::uint32_t>(value); };
  const auto is_right = [&](std::size_t group) {
    return is_same_value(bits(scales[group]), bits(expected[group]), DType::f32);
  };
  std::size_t first = 0;
  while (first < scales.size() && is_right(first)) ++first;
  if (first == scales.size()) return;
  const std::optional<DueRow> owner = owner_of_scales(judging, scales);
  const ArrivedRows rows = judging.rows_at(at);
  const bool came_with_row = owner &&
                             key_of(rows.content(slot)) == key_of(rows.content_of(*owner)) &&
                             !judging.arrivals[at].is_whole[static_cast<std::size_t>(slot)];
  if (came_with_row) return;
  const std::string of_all =
      owner ? text("these are the scales of ", row_text(*owner)) : cause_of_all(scales, expected);
  for (std::size_t group = first; group < scales.size(); ++group) {
    if (is_right(group)) continue;
    CaptureFinding finding = finding_at(place, slot, &due, "dispatched_scales");
    finding.fault = CaptureFault::scale_changed;
    finding.column = static_cast<Count>(group);
    finding.value = value_text(scales[group]);
    finding.expected = value_text(expected[group]);
    finding.cause = of_all.empty() ? text("times ", scales[group] / expected[group]) : of_all;
    for (std::size_t other = group + 1; other < scales.size() && !of_all.empty(); ++other) {
      finding.elements += static_cast<Count>(!is_right(other));
    }
    judging.result.findings.push_back(finding);
    if (!of_all.empty()) return;
  }
}

}  // namespace

void judge_scales(Judging& judging) {
  if (judging.capture.quantization == Quantization::none) return;
  const Count groups = num_quantised_groups(judging.capture.hidden_size);
  for (std::size_t place = 0; place < judging.places.size(); ++place) {
    for (Count slot = 0; slot < judging.places[place].size; ++slot) {
      if (judging.due_at(place, slot) != nullptr) judge_slot(judging, place, slot, groups);
    }
  }
}

}  // namespace moe::golden
