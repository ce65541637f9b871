// The rank grid: which place of the world a rank has, and who is in which group with whom (vLLM:
// distributed/parallel_state.py; distribution-layer.md, 1.1). Pure data; nothing here talks.

#pragma once

#include <string_view>
#include <vector>

namespace moe {

// Sizes of the axes, outermost first. Ranks count row by row over them.
struct ParallelSizes {
  int external_dp = 1;
  int dp = 1;
  int pp = 1;
  int pcp = 1;
  int tp = 1;

  int num_ranks() const { return external_dp * dp * pp * pcp * tp; }
  bool operator==(const ParallelSizes&) const = default;
};

// One rank's index on each axis.
struct RankCoordinates {
  int external_dp = 0;
  int dp = 0;
  int pp = 0;
  int pcp = 0;
  int tp = 0;

  bool operator==(const RankCoordinates&) const = default;
};

RankCoordinates coordinates_of(const ParallelSizes& sizes, int rank);
int rank_at(const ParallelSizes& sizes, const RankCoordinates& at);

enum class GroupKind { tp, pcp, pp, dp, ep };
std::string_view name_of(GroupKind kind);

// All groups of a kind, each with its members in their order. ORDER of the groups: vLLM's
// transpositions of the grid. There is one EP group per pipeline stage, of DP x PCP x TP ranks.
std::vector<std::vector<int>> groups_of(GroupKind kind, const ParallelSizes& sizes);

// A rank's group of a kind: its number in groups_of, its members, the rank's place among them.
struct OwnGroup {
  int number = 0;
  std::vector<int> members;
  int rank_in_group = 0;
};
OwnGroup own_group(GroupKind kind, const ParallelSizes& sizes, int rank);

// Layers [first, last) of a pipeline stage: an even, contiguous split; layers that do not divide
// go one each to the last stages but the very last (vLLM: distributed/utils.py, get_pp_indices).
struct LayerRange {
  int first = 0;
  int last = 0;
};
LayerRange layers_of_stage(int num_layers, int pp, int stage);

}  // namespace moe
