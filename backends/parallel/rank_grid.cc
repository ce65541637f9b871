// Groups as lists over axes: some axes are fixed for each group, the others run through its
// members.

#include "backends/parallel/rank_grid.h"

#include <algorithm>
#include <array>
#include <span>

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

enum Axis { external_dp, dp, pp, pcp, tp };

constexpr std::array<int RankCoordinates::*, 5> index_on = {
    &RankCoordinates::external_dp, &RankCoordinates::dp, &RankCoordinates::pp,
    &RankCoordinates::pcp, &RankCoordinates::tp};
constexpr std::array<int ParallelSizes::*, 5> size_of_axis = {
    &ParallelSizes::external_dp, &ParallelSizes::dp, &ParallelSizes::pp, &ParallelSizes::pcp,
    &ParallelSizes::tp};

// All places that differ from `at` on these axes only. ORDER: the last axis fastest.
std::vector<RankCoordinates> places_over(const ParallelSizes& sizes, std::span<const Axis> axes,
                                         const RankCoordinates& at) {
  std::vector<RankCoordinates> places = {at};
  for (const Axis axis : axes) {
    std::vector<RankCoordinates> longer;
    for (const RankCoordinates& place : places) {
      for (int index = 0; index < sizes.*size_of_axis[axis]; ++index) {
        longer.push_back(place);
        longer.back().*index_on[axis] = index;
      }
    }
    places = std::move(longer);
  }
  return places;
}

struct GroupAxes {
  std::vector<Axis> of_groups;
  std::vector<Axis> of_members;
};

GroupAxes axes_of(GroupKind kind) {
  switch (kind) {
    case GroupKind::tp:
      return {{external_dp, dp, pp, pcp}, {tp}};
    case GroupKind::pcp:
      return {{external_dp, dp, pp, tp}, {pcp}};
    case GroupKind::pp:
      return {{external_dp, dp, tp, pcp}, {pp}};
    case GroupKind::dp:
      return {{external_dp, tp, pp, pcp}, {dp}};
    default:
      return {{external_dp, pp}, {dp, pcp, tp}};
  }
}

}  // namespace

RankCoordinates coordinates_of(const ParallelSizes& sizes, int rank) {
  MOE_CHECK(rank >= 0 && rank < sizes.num_ranks(),
            text("rank ", rank, " of a world of ", sizes.num_ranks(), " ranks"));
  RankCoordinates at;
  for (std::size_t axis = index_on.size(); axis-- > 0;) {
    const int size = sizes.*size_of_axis[axis];
    at.*index_on[axis] = rank % size;
    rank /= size;
  }
  return at;
}

int rank_at(const ParallelSizes& sizes, const RankCoordinates& at) {
  int rank = 0;
  for (std::size_t axis = 0; axis < index_on.size(); ++axis) {
    rank = rank * (sizes.*size_of_axis[axis]) + at.*index_on[axis];
  }
  return rank;
}

std::string_view name_of(GroupKind kind) {
  static constexpr std::array<std::string_view, 5> names = {"tp", "pcp", "pp", "dp", "ep"};
  return names[static_cast<std::size_t>(kind)];
}

std::vector<std::vector<int>> groups_of(GroupKind kind, const ParallelSizes& sizes) {
  const GroupAxes axes = axes_of(kind);
  std::vector<std::vector<int>> groups;
  for (const RankCoordinates& first : places_over(sizes, axes.of_groups, {})) {
    std::vector<int>& members = groups.emplace_back();
    for (const RankCoordinates& member : places_over(sizes, axes.of_members, first)) {
      members.push_back(rank_at(sizes, member));
    }
  }
  return groups;
}

OwnGroup own_group(GroupKind kind, const ParallelSizes& sizes, int rank) {
  const std::vector<std::vector<int>> groups = groups_of(kind, sizes);
  for (std::size_t number = 0; number < groups.size(); ++number) {
    const auto found = std::ranges::find(groups[number], rank);
    if (found == groups[number].end()) continue;
    return {static_cast<int>(number), groups[number],
            static_cast<int>(found - groups[number].begin())};
  }
  throw ContractError(text("rank ", rank, " of a world of ", sizes.num_ranks(), " ranks"));
}

LayerRange layers_of_stage(int num_layers, int pp, int stage) {
  MOE_CHECK(stage >= 0 && stage < pp, text("stage ", stage, " of ", pp));
  std::vector<int> sizes(static_cast<std::size_t>(pp), num_layers / pp);
  for (int extra = 0; extra < num_layers % pp; ++extra) {
    ++sizes[static_cast<std::size_t>(pp - 2 - extra)];
  }
  LayerRange range;
  for (int before = 0; before < stage; ++before) {
    range.first += sizes[static_cast<std::size_t>(before)];
  }
  range.last = range.first + sizes[static_cast<std::size_t>(stage)];
  return range;
}

}  // namespace moe
