// Who sends which expert's weights to whom (experts-and-oracles.md, 12.3), by hand and as laws.
// Literals are worked out by hand from the rule.

#include "backends/placement/move_plan.h"

#include <algorithm>
#include <set>

#include "backends/placement/eplb_policy.h"
#include "backends/placement/replica_maps.h"
#include "kernels/base/check.h"
#include "kernels/base/mix.h"
#include "tests/catch.h"

using namespace moe;
using Ints = std::vector<int>;
using Moves = std::vector<ExpertMove>;

namespace {

// What every slot holds once a plan was carried out.
Ints carried_out(const MovePlan& plan, const Ints& before) {
  const std::size_t each = before.size() / static_cast<std::size_t>(plan.num_ranks);
  Ints held = before;
  for (std::size_t i = 0; i < held.size(); ++i) {
    const SlotPlan& slot = plan.slots[i];
    const int rank = static_cast<int>(i / each);
    if (slot.source == SlotSource::old_slot) {
      held[i] = before[static_cast<std::size_t>(rank) * each + static_cast<std::size_t>(slot.slot)];
    }
    if (slot.source != SlotSource::received) continue;
    for (const ExpertMove& move : plan.moves) {
      if (move.to_rank != rank || move.to_slot != slot.slot) continue;
      held[i] = before[static_cast<std::size_t>(move.from_rank) * each +
                       static_cast<std::size_t>(move.from_slot)];
    }
  }
  return held;
}

}  // namespace

TEST_CASE("move plan: the same map moves nothing") {
  const MovePlan plan = move_plan(Ints{0, 1, 2, 3}, Ints{0, 1, 2, 3}, 2);
  CHECK(plan.moves.empty());
  for (const SlotPlan& slot : plan.slots) CHECK(slot.source == SlotSource::stays);
}

TEST_CASE("move plan: two ranks exchange an expert") {
  const MovePlan plan = move_plan(Ints{0, 1, 2, 3}, Ints{0, 2, 1, 3}, 2);
  CHECK(plan.moves == Moves{{1, 0, 1, 1, 0}, {2, 1, 0, 0, 1}});
}

TEST_CASE("move plan: an expert that the rank has is copied from its first old slot") {
  const MovePlan plan = move_plan(Ints{0, 0, 1, 2}, Ints{1, 0, 2, 2}, 2);
  CHECK(plan.slots_of(1)[0].source == SlotSource::old_slot);
  CHECK(plan.slots_of(1)[0].slot == 1);
  CHECK(plan.slots_of(1)[1].source == SlotSource::stays);
  CHECK(plan.moves == Moves{{1, 1, 0, 0, 0}});
}

TEST_CASE("move plan: an expert that comes for two slots is received once, into the first") {
  const MovePlan plan = move_plan(Ints{0, 1, 2, 2}, Ints{0, 1, 1, 1}, 2);
  CHECK(plan.moves == Moves{{1, 0, 1, 1, 0}});
  CHECK(plan.slots_of(1)[0].slot == 0);
  CHECK(plan.slots_of(1)[1].slot == 0);
  CHECK(plan.slots_of(1)[1].source == SlotSource::received);
}

TEST_CASE("move plan: senders serve receivers in a row, the rest goes one each to the first") {
  // Expert 0 lives on ranks 0 and 1; ranks 2 to 6 want it.
  const MovePlan plan = move_plan(Ints{0, 0, 1, 2, 3, 4, 5}, Ints{0, 0, 0, 0, 0, 0, 0}, 7);
  Ints senders;
  for (const ExpertMove& move : plan.moves) senders.push_back(move.from_rank * 10 + move.to_rank);
  CHECK(senders == Ints{2, 3, 6, 14, 15});
}

TEST_CASE("move plan: in 200 worlds each slot ends with its new expert, none is sent in vain") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const int num_ranks = static_cast<int>(1 + seed % 5);
    const int num_logical = num_ranks * static_cast<int>(1 + mix(seed, 0) % 3);
    const int redundant = num_ranks * static_cast<int>(mix(seed, 1) % 3);
    std::vector<double> loads;
    for (int expert = 0; expert < num_logical; ++expert) {
      loads.push_back(static_cast<double>(mix(seed, 2, expert) % 50));
    }
    const Ints before = initial_physical_to_logical(num_logical, redundant);
    const BalancedWorld world{.num_physical = num_logical + redundant, .num_ranks = num_ranks};
    const Ints after = preserve_slots(before, rebalance_experts(loads, world), num_ranks);
    const MovePlan plan = move_plan(before, after, num_ranks);
    CHECK(carried_out(plan, before) == after);
    std::set<std::pair<int, int>> received;
    for (const ExpertMove& move : plan.moves) {
      CHECK(move.from_rank != move.to_rank);
      CHECK(received.emplace(move.to_rank, move.expert).second);
    }
  }
}

TEST_CASE("move plan: an expert that nobody had is refused") {
  CHECK_THROWS_AS(move_plan(Ints{0, 1}, Ints{0, 2}, 2), ContractError);
  CHECK_THROWS_AS(move_plan(Ints{0, 1, 2}, Ints{0, 1, 2}, 2), ContractError);
}
