// Each hypothesis says what a slot's scales would be. An order in memory says nothing of scales
// that come from slots which nobody wrote.

#include "golden/capture_scale_faults.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <map>

#include "golden/capture_quantiser.h"
#include "golden/capture_values.h"
#include "kernels/base/text.h"

namespace moe::golden {
namespace {

bool are_same(float one, float other) {
  return is_same_value(std::bit_cast<std::uint32_t>(one), std::bit_cast<std::uint32_t>(other),
                       DType::f32);
}

// A row as it was before it was quantised, and the scales that are due.
struct Source {
  std::vector<float> values;
  std::span<const float> expected;

  // The largest magnitude of the number-th group of so many columns; 0 beyond the last.
  float amax(Count group, Count number) const {
    const auto end = std::min((number + 1) * group, std::ssize(values));
    float most = 0;
    for (Count i = number * group; i < end; ++i) {
      most = std::max(most, std::abs(values[static_cast<std::size_t>(i)]));
    }
    return std::max(most, 1e-4F);
  }
};

using Predict = std::function<float(const Source& source, Count group)>;

struct RowHypothesis {
  CaptureFault fault;
  std::string cause;
  Predict predict;
};

float due(const Source& source, Count group) {
  return source.expected[static_cast<std::size_t>(group)];
}

void add_rounded(std::vector<RowHypothesis>& all) {
  constexpr auto other = CaptureFault::quantiser_differs;
  all.push_back({other, "the scales are rounded up to powers of two (UE8M0)",
                 [](const Source& source, Count group) {
                   return std::exp2(std::ceil(std::log2(due(source, group))));
                 }});
  all.push_back(
      {other, "the scales are cut down to powers of two", [](const Source& source, Count group) {
         return std::exp2(std::floor(std::log2(due(source, group))));
       }});
  all.push_back({other, "the reciprocals are stored: 448 / amax in the place of amax / 448",
                 [](const Source& source, Count group) {
                   return 448.0F / source.amax(quantised_group, group);
                 }});
  all.push_back({other, "the reciprocals of the scales are stored: 1 / scale",
                 [](const Source& source, Count group) { return 1.0F / due(source, group); }});
  all.push_back({other, "the scales are amax / 448, not amax times 1 / 448",
                 [](const Source& source, Count group) {
                   return source.amax(quantised_group, group) / 448.0F;
                 }});
  // Limits of e4m3fnuz. amax times 1 / 224 is every scale times 2.
  all.push_back({other, "the scales are amax times 1 / 240, not times 1 / 448",
                 [](const Source& source, Count group) {
                   return source.amax(quantised_group, group) * (1.0F / 240.0F);
                 }});
  for (const float limit : {240.0F, 224.0F}) {
    all.push_back({other, text("the scales are amax / ", limit, ", not amax times 1 / 448"),
                   [limit](const Source& source, Count group) {
                     return source.amax(quantised_group, group) / limit;
                   }});
  }
}

void add_other_groups(std::vector<RowHypothesis>& all, Count columns) {
  const auto scale = [](float amax) { return amax * (1.0F / 448.0F); };
  for (const Count size : {16, 32, 64}) {
    all.push_back(
        {CaptureFault::quantiser_differs,
         text("the scales are those of groups of ", size, " columns, the first ",
              num_quantised_groups(columns), " of ", (columns + size - 1) / size),
         [=](const Source& source, Count group) { return scale(source.amax(size, group)); }});
  }
  for (Count size = 2 * quantised_group; size < columns; size *= 2) {
    all.push_back({CaptureFault::quantiser_differs,
                   text("the scales are those of groups of ", size, " columns, each ",
                        size / quantised_group, " times"),
                   [=](const Source& source, Count group) {
                     return scale(source.amax(size, group * quantised_group / size));
                   }});
  }
  all.push_back({CaptureFault::quantiser_differs,
                 "every group has the scale of the whole row (one scale a token)",
                 [=](const Source& source, Count) { return scale(source.amax(columns, 0)); }});
}

std::vector<RowHypothesis> row_hypotheses(Count columns) {
  std::vector<RowHypothesis> all;
  const Count last = num_quantised_groups(columns) - 1;
  all.push_back({CaptureFault::scale_changed, "the row's scales stand in reverse order",
                 [last](const Source& source, Count group) { return due(source, last - group); }});
  all.push_back({CaptureFault::scale_changed, "every group has the scale of the row's first group",
                 [](const Source& source, Count) { return due(source, 0); }});
  add_rounded(all);
  add_other_groups(all, columns);
  return all;
}

// Where in a block of rows x groups a scale comes from: [row, group], or a place of no row.
using FromPlace = std::pair<Count, Count> (*)(Count row, Count group, Count rows, Count groups);

// The block: all slots of an expert, or those that its count makes valid.
enum class Block { slots, valid_slots };

struct LayoutHypothesis {
  const char* cause;
  Block block;
  FromPlace from;
};

std::pair<Count, Count> from_columns(Count row, Count group, Count rows, Count groups) {
  const Count at = row * groups + group;
  return {at % rows, at / rows};
}

std::pair<Count, Count> from_rows(Count row, Count group, Count rows, Count groups) {
  const Count at = group * rows + row;
  return {at / groups, at % groups};
}

constexpr LayoutHypothesis layout_hypotheses[] = {
    {"the scales lie column by column (column-major) where they are read row by row", Block::slots,
     from_columns},
    {"the scales lie row by row (row-major) where they are read column by column", Block::slots,
     from_rows},
    {"the scales of each expert's valid rows lie column by column (column-major) where they are "
     "read row by row",
     Block::valid_slots, from_columns},
    {"the scales of each expert's valid rows lie row by row (row-major) where they are read column "
     "by column",
     Block::valid_slots, from_rows},
};

constexpr Count explained_min = 8;  // wrong scales; a chance agreement of fp32 bits is none

// Whether the block's order makes what arrived: nothing against it, and enough for it.
bool fits(const Judging& judging, const std::vector<SlotScales>& slots,
          const LayoutHypothesis& layout) {
  std::map<std::pair<std::size_t, Count>, const SlotScales*> by_slot;
  for (const SlotScales& one : slots) by_slot[{one.place, one.slot}] = &one;
  Count explained = 0;
  for (const SlotScales& one : slots) {
    const Place& place = judging.places[one.place];
    const Count rows = layout.block == Block::slots ? place.size : place.valid;
    if (one.slot >= rows) return false;
    for (std::size_t group = 0; group < one.arrived.size(); ++group) {
      const auto [row, column] = layout.from(one.slot, static_cast<Count>(group), rows,
                                             static_cast<Count>(one.arrived.size()));
      const auto found = by_slot.find({one.place, row});
      if (found == by_slot.end()) continue;
      const float predicted = found->second->expected[static_cast<std::size_t>(column)];
      if (!are_same(one.arrived[group], predicted)) return false;
      explained += static_cast<Count>(!are_same(one.arrived[group], one.expected[group]));
    }
  }
  return explained >= explained_min;
}

}  // namespace

bool SlotScales::is_right() const { return std::ranges::equal(arrived, expected, are_same); }

std::optional<ScaleFault> fault_of_rows(const Judging& judging,
                                        const std::vector<SlotScales>& slots) {
  if (std::ranges::all_of(slots, &SlotScales::is_right)) return std::nullopt;
  std::vector<Source> sources;
  for (const SlotScales& one : slots) {
    const CapturedRows& rows = judging.rank(one.due.source).hidden_states;
    sources.push_back({floats_of(rows, one.due.row), one.expected});
  }
  for (const RowHypothesis& hypothesis : row_hypotheses(judging.capture.hidden_size)) {
    bool is_made = true;
    for (std::size_t i = 0; i < slots.size() && is_made; ++i) {
      for (Count group = 0; group < std::ssize(slots[i].arrived) && is_made; ++group) {
        is_made = are_same(slots[i].arrived[static_cast<std::size_t>(group)],
                           hypothesis.predict(sources[i], group));
      }
    }
    if (is_made) return ScaleFault{hypothesis.fault, hypothesis.cause};
  }
  return std::nullopt;
}

std::optional<ScaleFault> fault_of_layout(const Judging& judging,
                                          const std::vector<SlotScales>& slots) {
  if (std::ranges::all_of(slots, &SlotScales::is_right)) return std::nullopt;
  for (const LayoutHypothesis& hypothesis : layout_hypotheses) {
    if (fits(judging, slots, hypothesis)) {
      return ScaleFault{CaptureFault::scale_changed, hypothesis.cause};
    }
  }
  return std::nullopt;
}

}  // namespace moe::golden
