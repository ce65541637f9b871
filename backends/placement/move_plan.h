// Which experts' weights go where when a layer's slots change hands (vLLM:
// distributed/eplb/rebalance_execute.py; experts-and-oracles.md, 12.3). Pure: every rank derives
// the same plan from the same two maps.

#pragma once

#include <span>
#include <vector>

namespace moe {

// One expert's weights from a slot of one rank to a slot of another; slots count within their rank.
struct ExpertMove {
  int expert = 0;
  int from_rank = 0;
  int from_slot = 0;
  int to_rank = 0;
  int to_slot = 0;

  bool operator==(const ExpertMove&) const = default;
};

// Where a slot's new weights come from, on its own rank.
enum class SlotSource { stays, old_slot, received };

struct SlotPlan {
  SlotSource source = SlotSource::stays;
  int slot = -1;  // old_slot: which; received: the slot into which the message goes
};

struct MovePlan {
  std::vector<ExpertMove> moves;  // ORDER: by expert, then by sender and receiver
  std::vector<SlotPlan> slots;    // of all ranks, rank after rank
  int num_ranks = 1;

  // The slots of one rank.
  std::span<const SlotPlan> slots_of(int rank) const {
    const std::size_t each = slots.size() / static_cast<std::size_t>(num_ranks);
    return std::span(slots).subspan(static_cast<std::size_t>(rank) * each, each);
  }
};

// A slot whose expert is the same stays. Else the rank's first old slot of that expert serves, else
// the expert is received once, into the first slot that wants it. Owners in the order in which the
// old map names them serve receivers in the order of the new one, each so many in a row; what is
// left over goes one each to the first. REQUIRES maps of one size that num_ranks divides, and an
// old slot for every new expert.
MovePlan move_plan(std::span<const int> before, std::span<const int> after, int num_ranks);

}  // namespace moe
