// EPLB's policy: the golden vectors of experts-and-oracles.md, 18, ties, refusals, and slots that
// stay. Literals are the specification's.

#include "backends/placement/eplb_policy.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "kernels/base/check.h"
#include "kernels/base/mix.h"
#include "tests/catch.h"

using namespace moe;
using Ints = std::vector<int>;
using Loads = std::vector<double>;

namespace {

const Loads first_row = {90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86};
const Loads second_row = {20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27};
const BalancedWorld sixteen_slots = {
    .num_physical = 16, .num_groups = 4, .num_nodes = 2, .num_ranks = 8};

Ints counts_of(const Ints& logical_of, int num_logical) {
  Ints counts(static_cast<std::size_t>(num_logical));
  for (const int expert : logical_of) ++counts.at(static_cast<std::size_t>(expert));
  return counts;
}

Loads made_loads(std::uint64_t seed, int num_logical) {
  Loads loads;
  for (int expert = 0; expert < num_logical; ++expert) {
    loads.push_back(static_cast<double>(mix(seed, expert) % 200));
  }
  return loads;
}

}  // namespace

TEST_CASE("eplb policy: 12 experts in 4 groups, 16 slots on 2 nodes of 4, the first row") {
  const Ints placed = rebalance_experts(first_row, sixteen_slots);
  CHECK(placed == Ints{5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1});
  CHECK(counts_of(placed, 12) == Ints{1, 2, 1, 1, 2, 2, 1, 1, 1, 1, 2, 1});
}

TEST_CASE("eplb policy: the second row") {
  const Ints placed = rebalance_experts(second_row, sixteen_slots);
  CHECK(placed == Ints{7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1});
  CHECK(counts_of(placed, 12) == Ints{1, 2, 1, 1, 1, 2, 2, 1, 2, 1, 1, 1});
}

TEST_CASE("eplb policy: groups that nodes do not divide are balanced as one") {
  BalancedWorld world = sixteen_slots;
  world.num_groups = 1;
  CHECK(rebalance_experts(first_row, world) ==
        Ints{10, 6, 10, 7, 0, 2, 11, 4, 5, 9, 5, 4, 8, 3, 1, 1});
  world.num_nodes = 3;  // does not divide 8 ranks: one node
  CHECK(rebalance_experts(first_row, world) ==
        Ints{10, 6, 10, 7, 0, 2, 11, 4, 5, 9, 5, 4, 8, 3, 1, 1});
}

TEST_CASE("eplb policy: ties go to the lower index, and packs of one keep the order") {
  const Packing four = balanced_packing(Loads{1, 1, 1, 1}, 2);
  CHECK(four.pack_of == Ints{0, 1, 0, 1});
  CHECK(four.rank_in_pack == Ints{0, 0, 1, 1});
  const Packing ones = balanced_packing(Loads{1, 5, 3}, 3);
  CHECK(ones.pack_of == Ints{0, 1, 2});
  CHECK(replicate_experts(Loads{2, 2, 2}, 5).logical_of == Ints{0, 1, 2, 0, 1});
  CHECK(replicate_experts(Loads{0, 0}, 3).counts == Ints{2, 1});
}

TEST_CASE("eplb policy: a full pack takes no more, however light it is") {
  const Packing packs = balanced_packing(Loads{100, 1, 1, 1}, 2);
  CHECK(packs.pack_of == Ints{0, 1, 1, 0});
}

TEST_CASE("eplb policy: every expert keeps a slot in 200 worlds, and no rank two copies in vain") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const int num_ranks = 1 << (seed % 4);
    const int num_logical = num_ranks * static_cast<int>(1 + mix(seed, 1) % 4);
    const int redundant = num_ranks * static_cast<int>(mix(seed, 2) % 3);
    const BalancedWorld world{.num_physical = num_logical + redundant, .num_ranks = num_ranks};
    const Ints placed = rebalance_experts(made_loads(seed, num_logical), world);
    CHECK(std::ssize(placed) == world.num_physical);
    CHECK(std::ranges::min(counts_of(placed, num_logical)) >= 1);
  }
}

TEST_CASE("eplb policy: what does not divide is refused") {
  BalancedWorld world = sixteen_slots;
  world.num_groups = 5;
  CHECK_THROWS_AS(rebalance_hierarchical(first_row, world), ContractError);
  CHECK_THROWS_AS(balanced_packing(Loads{1, 2, 3}, 2), ContractError);
  CHECK_THROWS_AS(replicate_experts(Loads{1, 2, 3}, 2), ContractError);
}

TEST_CASE("eplb policy: an expert that stays on its rank keeps its slot") {
  CHECK(preserve_slots(Ints{0, 1, 2, 3}, Ints{1, 0, 3, 2}, 2) == Ints{0, 1, 2, 3});
  CHECK(preserve_slots(Ints{0, 1, 2, 3}, Ints{1, 2, 0, 3}, 2) == Ints{2, 1, 0, 3});
  CHECK(preserve_slots(Ints{0, 0, 1, 2}, Ints{0, 1, 0, 2}, 2) == Ints{0, 1, 0, 2});
  CHECK(preserve_slots(Ints{0, 1, 2}, Ints{1, 1, 2}, 1) == Ints{1, 1, 2});
}
