// First the slots of each rank, then for each expert who sends to whom.
// The volume of a rearrangement is the number of moves times the bytes of an expert.

#include "backends/placement/move_plan.h"

#include <algorithm>
#include <map>

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

// A slot within its rank.
struct RankSlot {
  int rank = 0;
  int slot = 0;
};

// The first slot of an expert on each rank that has one, ranks by first appearance.
std::map<int, std::vector<RankSlot>> first_slots(std::span<const int> logical_of, int each) {
  std::map<int, std::vector<RankSlot>> first;
  for (int i = 0; i < std::ssize(logical_of); ++i) {
    std::vector<RankSlot>& known = first[logical_of[static_cast<std::size_t>(i)]];
    const int rank = i / each;
    if (std::ranges::count(known, rank, &RankSlot::rank) == 0) known.push_back({rank, i % each});
  }
  return first;
}

const RankSlot* on_rank(const std::vector<RankSlot>& slots, int rank) {
  const auto found = std::ranges::find(slots, rank, &RankSlot::rank);
  return found == slots.end() ? nullptr : &*found;
}

void match(int expert, const std::vector<RankSlot>& senders, const std::vector<RankSlot>& receivers,
           std::vector<ExpertMove>& moves) {
  const std::size_t each = receivers.size() / senders.size();
  const auto add = [&](const RankSlot& from, const RankSlot& to) {
    moves.push_back({expert, from.rank, from.slot, to.rank, to.slot});
  };
  for (std::size_t sender = 0; sender < senders.size(); ++sender) {
    for (std::size_t i = 0; i < each; ++i) add(senders[sender], receivers[sender * each + i]);
    const std::size_t left_over = senders.size() * each + sender;
    if (left_over < receivers.size()) add(senders[sender], receivers[left_over]);
  }
}

}  // namespace

MovePlan move_plan(std::span<const int> before, std::span<const int> after, int num_ranks) {
  const int num_slots = static_cast<int>(after.size());
  MOE_CHECK(std::ssize(before) == num_slots && num_ranks > 0 && num_slots % num_ranks == 0,
            text("maps of ", before.size(), " and ", num_slots, " slots on ", num_ranks, " ranks"));
  const int each = num_slots / num_ranks;
  const auto owners = first_slots(before, each);
  MovePlan plan{.moves = {}, .slots = {}, .num_ranks = num_ranks};
  for (const auto& [expert, wanted] : first_slots(after, each)) {
    const auto senders = owners.find(expert);
    MOE_CHECK(senders != owners.end(), text("no old slot holds expert ", expert));
    std::vector<RankSlot> receivers;
    for (const RankSlot& to : wanted) {
      if (on_rank(senders->second, to.rank) == nullptr) receivers.push_back(to);
    }
    match(expert, senders->second, receivers, plan.moves);
  }
  for (int i = 0; i < num_slots; ++i) {
    const int expert = after[static_cast<std::size_t>(i)];
    const RankSlot* own = on_rank(owners.at(expert), i / each);
    if (before[static_cast<std::size_t>(i)] == expert) {
      plan.slots.push_back({SlotSource::stays, i % each});
    } else if (own != nullptr) {
      plan.slots.push_back({SlotSource::old_slot, own->slot});
    } else {
      const auto into = std::ranges::find_if(plan.moves, [&](const ExpertMove& move) {
        return move.expert == expert && move.to_rank == i / each;
      });
      plan.slots.push_back({SlotSource::received, into->to_slot});
    }
  }
  return plan;
}

}  // namespace moe
