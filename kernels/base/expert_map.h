// ExpertMap: on which rank and in which of its slots each expert lives. A plain table that experts,
// backends and checks read; the rules that fill it are backends/placement.

#pragma once

#include <vector>

#include "kernels/base/dtype.h"

namespace moe {

// For each physical expert of the layer its owner and the slot there. ranks ascending own
// num_local_experts[rank] experts.
struct ExpertMap {
  std::vector<int> rank_of;
  std::vector<int> local_of;
  std::vector<int> num_local_experts;

  int num_experts() const { return static_cast<int>(rank_of.size()); }
  // Of each expert its slot on the rank, -1 of one that lives elsewhere.
  std::vector<int> slots_on(int rank) const {
    std::vector<int> slots(local_of);
    for (std::size_t expert = 0; expert < slots.size(); ++expert) {
      if (rank_of[expert] != rank) slots[expert] = -1;
    }
    return slots;
  }

  int num_ranks() const { return static_cast<int>(num_local_experts.size()); }
};

}  // namespace moe
