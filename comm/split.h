// Who is in which group after a split: a pure function that every implementation of split shares.
// No rank talks to another here.

#pragma once

#include <algorithm>
#include <span>
#include <vector>

namespace moe {

// What one rank passed to split.
struct SplitChoice {
  int color = 0;
  int key = 0;
};

// The ranks that chose the color, ordered by (key, rank): the new rank is the place in this list.
inline std::vector<int> ranks_of_color(std::span<const SplitChoice> choices, int color) {
  std::vector<int> ranks;
  for (int rank = 0; rank < static_cast<int>(choices.size()); ++rank) {
    if (choices[static_cast<std::size_t>(rank)].color == color) ranks.push_back(rank);
  }
  std::ranges::stable_sort(ranks, {},
                           [&](int rank) { return choices[static_cast<std::size_t>(rank)].key; });
  return ranks;
}

}  // namespace moe
