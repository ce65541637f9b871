// EPLB's default policy: from the load of each logical expert to the expert of each physical slot
// (vLLM: distributed/eplb/policy/default.py; experts-and-oracles.md, 12.2). Pure, one layer at a
// time. Upstream sorts unstably; here equal weights keep the order of their indices.

#pragma once

#include <span>
#include <vector>

namespace moe {

// Items dealt to packs of equal size.
struct Packing {
  std::vector<int> pack_of;
  std::vector<int> rank_in_pack;  // items that the pack had before
};

// Items by descending weight, the lower index of equals first, each into the lightest pack that is
// not full, the lowest of equals. Packs of one item: item i is pack i. REQUIRES that num_packs
// divides the items.
Packing balanced_packing(std::span<const double> weights, int num_packs);

struct Replication {
  std::vector<int> logical_of;  // [num_physical], the experts themselves first
  std::vector<int> counts;      // [logical experts]
};

// Each slot beyond the experts goes to the one of the largest weight per replica, the lowest of
// equals. REQUIRES num_physical >= the experts.
Replication replicate_experts(std::span<const double> weights, int num_physical);

// What experts are dealt to.
struct BalancedWorld {
  int num_physical = 0;
  int num_groups = 1;  // of experts
  int num_nodes = 1;
  int num_ranks = 1;
};

// Groups to nodes, replicas within a node, replicas to the node's ranks. RETURNS the logical expert
// of each slot. REQUIRES that groups divide experts, nodes divide groups, ranks and slots, and
// ranks divide slots.
std::vector<int> rebalance_hierarchical(std::span<const double> weights,
                                        const BalancedWorld& world);

// The same where nodes divide the groups, else as one node of one group ("global"). Nodes that do
// not divide the ranks count as one.
std::vector<int> rebalance_experts(std::span<const double> weights, const BalancedWorld& world);

// Within each rank an expert that stays keeps its first old slot; the others fill what is left in
// order. REQUIRES maps of one size.
std::vector<int> preserve_slots(std::span<const int> before, std::span<const int> after,
                                int num_ranks);

}  // namespace moe
