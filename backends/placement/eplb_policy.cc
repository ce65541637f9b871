// The steps of the policy; indices of groups, nodes and slots are composed as upstream composes its
// permutations, so that the golden vectors come out slot by slot.

#include "backends/placement/eplb_policy.h"

#include <algorithm>
#include <numeric>

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

using Weights = std::span<const double>;

std::size_t at(int index) { return static_cast<std::size_t>(index); }

void check_divides(int part, int whole, const char* what) {
  MOE_CHECK(part > 0 && whole % part == 0, text(what, ": ", part, " does not divide ", whole));
}

std::vector<int> by_descending_weight(Weights weights) {
  std::vector<int> order(weights.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int a, int b) { return weights[at(a)] > weights[at(b)]; });
  return order;
}

// Logical experts in the order of the nodes that their groups go to.
std::vector<int> experts_by_node(Weights weights, const BalancedWorld& world) {
  const int group_size = static_cast<int>(weights.size()) / world.num_groups;
  const int groups_per_node = world.num_groups / world.num_nodes;
  std::vector<double> of_group(at(world.num_groups));
  for (std::size_t expert = 0; expert < weights.size(); ++expert) {
    of_group[expert / at(group_size)] += weights[expert];
  }
  const Packing nodes = balanced_packing(of_group, world.num_nodes);
  std::vector<int> experts(weights.size());
  for (int group = 0; group < world.num_groups; ++group) {
    const int place = nodes.pack_of[at(group)] * groups_per_node + nodes.rank_in_pack[at(group)];
    for (int i = 0; i < group_size; ++i) {
      experts[at(place * group_size + i)] = group * group_size + i;
    }
  }
  return experts;
}

// The slots of one node: for each the index of its expert among the node's.
std::vector<int> slots_of_node(Weights weights, int num_slots, int num_ranks) {
  const Replication replicas = replicate_experts(weights, num_slots);
  std::vector<double> of_slot;
  for (const int expert : replicas.logical_of) {
    of_slot.push_back(weights[at(expert)] / replicas.counts[at(expert)]);
  }
  const Packing ranks = balanced_packing(of_slot, num_ranks);
  const int slots_per_rank = num_slots / num_ranks;
  std::vector<int> placed(at(num_slots));
  for (int slot = 0; slot < num_slots; ++slot) {
    const int place = ranks.pack_of[at(slot)] * slots_per_rank + ranks.rank_in_pack[at(slot)];
    placed[at(place)] = replicas.logical_of[at(slot)];
  }
  return placed;
}

// One rank's run of slots.
std::vector<int> slots_of_rank(std::span<const int> before, std::span<const int> after) {
  std::vector<int> kept(before.size(), -1);
  std::vector<int> others;
  for (const int expert : after) {
    std::size_t slot = 0;
    while (slot < before.size() && (before[slot] != expert || kept[slot] >= 0)) ++slot;
    if (slot < before.size()) {
      kept[slot] = expert;
    } else {
      others.push_back(expert);
    }
  }
  auto next = others.begin();
  for (int& slot : kept) {
    if (slot < 0) slot = *next++;
  }
  return kept;
}

}  // namespace

Packing balanced_packing(Weights weights, int num_packs) {
  const int num_items = static_cast<int>(weights.size());
  check_divides(num_packs, num_items, "packs of equal size");
  const int pack_size = num_items / num_packs;
  Packing packing{std::vector<int>(weights.size()), std::vector<int>(weights.size())};
  if (pack_size == 1) {
    std::iota(packing.pack_of.begin(), packing.pack_of.end(), 0);
    return packing;
  }
  std::vector<double> loads(at(num_packs));
  std::vector<int> items(at(num_packs));
  for (const int item : by_descending_weight(weights)) {
    int lightest = -1;
    for (int pack = 0; pack < num_packs; ++pack) {
      if (items[at(pack)] == pack_size) continue;
      if (lightest < 0 || loads[at(pack)] < loads[at(lightest)]) lightest = pack;
    }
    packing.pack_of[at(item)] = lightest;
    packing.rank_in_pack[at(item)] = items[at(lightest)]++;
    loads[at(lightest)] += weights[at(item)];
  }
  return packing;
}

Replication replicate_experts(Weights weights, int num_physical) {
  const int num_logical = static_cast<int>(weights.size());
  MOE_CHECK(num_logical > 0 && num_physical >= num_logical,
            text(num_physical, " slots for ", num_logical, " experts"));
  Replication replicas{std::vector<int>(weights.size()), std::vector<int>(weights.size(), 1)};
  std::iota(replicas.logical_of.begin(), replicas.logical_of.end(), 0);
  for (int slot = num_logical; slot < num_physical; ++slot) {
    int heaviest = 0;
    for (int expert = 1; expert < num_logical; ++expert) {
      const double share = weights[at(expert)] / replicas.counts[at(expert)];
      if (share > weights[at(heaviest)] / replicas.counts[at(heaviest)]) heaviest = expert;
    }
    replicas.logical_of.push_back(heaviest);
    ++replicas.counts[at(heaviest)];
  }
  return replicas;
}

std::vector<int> rebalance_hierarchical(Weights weights, const BalancedWorld& world) {
  const int num_logical = static_cast<int>(weights.size());
  check_divides(world.num_groups, num_logical, "groups of experts");
  check_divides(world.num_nodes, world.num_groups, "groups on nodes");
  check_divides(world.num_nodes, world.num_ranks, "ranks on nodes");
  check_divides(world.num_ranks, world.num_physical, "slots on ranks");
  const std::vector<int> experts = experts_by_node(weights, world);
  std::vector<double> ordered;
  for (const int expert : experts) ordered.push_back(weights[at(expert)]);
  const int experts_per_node = num_logical / world.num_nodes;
  std::vector<int> logical_of;
  for (int node = 0; node < world.num_nodes; ++node) {
    const int first = node * experts_per_node;
    const auto placed =
        slots_of_node(Weights(ordered).subspan(at(first), at(experts_per_node)),
                      world.num_physical / world.num_nodes, world.num_ranks / world.num_nodes);
    for (const int expert : placed) logical_of.push_back(experts[at(first + expert)]);
  }
  return logical_of;
}

std::vector<int> rebalance_experts(Weights weights, const BalancedWorld& world) {
  BalancedWorld as_taken = world;
  if (world.num_ranks % world.num_nodes != 0) as_taken.num_nodes = 1;
  if (world.num_groups % as_taken.num_nodes != 0) {
    as_taken.num_groups = 1;
    as_taken.num_nodes = 1;
  }
  return rebalance_hierarchical(weights, as_taken);
}

std::vector<int> preserve_slots(std::span<const int> before, std::span<const int> after,
                                int num_ranks) {
  MOE_CHECK(before.size() == after.size(),
            text("maps of ", before.size(), " and ", after.size(), " slots"));
  check_divides(num_ranks, static_cast<int>(after.size()), "slots on ranks");
  const std::size_t each = after.size() / at(num_ranks);
  std::vector<int> kept;
  for (std::size_t first = 0; first < after.size(); first += each) {
    const auto own = slots_of_rank(before.subspan(first, each), after.subspan(first, each));
    kept.insert(kept.end(), own.begin(), own.end());
  }
  return kept;
}

}  // namespace moe
