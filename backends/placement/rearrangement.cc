// Checksums first, so that what arrives can be held against what left; then one all-to-all of whole
// experts, the rank's own copies, and a vote. Ranks without a move take the same turns.

#include "backends/placement/rearrangement.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "backends/placement/expert_rows.h"
#include "backends/placement/move_plan.h"
#include "comm/gathered_numbers.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

std::vector<std::int64_t> as_numbers(const std::vector<std::uint64_t>& digests) {
  std::vector<std::int64_t> numbers;
  for (const std::uint64_t digest : digests) {
    numbers.push_back(static_cast<std::int64_t>(digest));
  }
  return numbers;
}

// Experts on their way between this rank and the others, tensor by tensor.
class Exchange {
 public:
  Exchange(const MovePlan& plan, Communicator& group)
      : plan_(plan), group_(group), to_(static_cast<std::size_t>(group.size())), from_(to_.size()) {
    for (const ExpertMove& move : plan.moves) {
      if (move.from_rank == group.rank()) ++to_[static_cast<std::size_t>(move.to_rank)];
      if (move.to_rank == group.rank()) ++from_[static_cast<std::size_t>(move.from_rank)];
    }
  }

  // The rows of this rank's slots → the slots into which they are received.
  void run(const std::vector<Tensor>& held, const std::vector<Tensor>& into) {
    std::vector<Buffer> sent;
    std::vector<Buffer> received;
    for (const Tensor& rows : held) {
      sent.emplace_back(group_.memory(), Shape{total_rows(to_), rows.columns, rows.dtype});
      received.emplace_back(group_.memory(), Shape{total_rows(from_), rows.columns, rows.dtype});
    }
    each_message(to_, &ExpertMove::from_rank, &ExpertMove::to_rank,
                 [&](const ExpertMove& move, Count row) { pack(held, move, sent, row); });
    group_.all_to_all_v(tensors_of(sent), to_, from_, tensors_of(received));
    each_message(from_, &ExpertMove::to_rank, &ExpertMove::from_rank,
                 [&](const ExpertMove& move, Count row) { unpack(received, row, into, move); });
  }

 private:
  static std::vector<Tensor> tensors_of(const std::vector<Buffer>& buffers) {
    std::vector<Tensor> tensors;
    for (const Buffer& buffer : buffers) tensors.push_back(buffer.tensor());
    return tensors;
  }

  // Messages of this rank by peer, those of one peer in the plan's order: both ends count alike.
  template <typename Function>
  void each_message(const std::vector<Count>& counts, int ExpertMove::*own, int ExpertMove::*peer,
                    Function function) const {
    Count row = 0;
    for (int rank = 0; rank < std::ssize(counts); ++rank) {
      for (const ExpertMove& move : plan_.moves) {
        if (move.*own == group_.rank() && move.*peer == rank) function(move, row++);
      }
    }
  }

  void pack(const std::vector<Tensor>& held, const ExpertMove& move,
            const std::vector<Buffer>& sent, Count row) const {
    for (std::size_t i = 0; i < held.size(); ++i) {
      group_.memory().copy(rows_of(held[i], move.from_slot, 1), rows_of(sent[i].tensor(), row, 1));
    }
  }

  void unpack(const std::vector<Buffer>& received, Count row, const std::vector<Tensor>& into,
              const ExpertMove& move) const {
    for (std::size_t i = 0; i < into.size(); ++i) {
      group_.memory().copy(rows_of(received[i].tensor(), row, 1),
                           rows_of(into[i], move.to_slot, 1));
    }
  }

  const MovePlan& plan_;
  Communicator& group_;
  std::vector<Count> to_;
  std::vector<Count> from_;
};

// What stays and what this rank has already. What is received must be there.
void copy_own(std::span<const SlotPlan> slots, const std::vector<Tensor>& held,
              const std::vector<Tensor>& into, Memory& memory) {
  for (Count slot = 0; slot < std::ssize(slots); ++slot) {
    const SlotPlan& from = slots[static_cast<std::size_t>(slot)];
    if (from.source == SlotSource::received && from.slot == slot) continue;
    const std::vector<Tensor>& source = from.source == SlotSource::received ? into : held;
    for (std::size_t i = 0; i < into.size(); ++i) {
      memory.copy(rows_of(source[i], from.slot, 1), rows_of(into[i], slot, 1));
    }
  }
}

// Whether each of a rank's slots has the checksum that its expert had in the old slots.
bool are_right(const ReplicaMaps& before, const ReplicaMaps& planned,
               const std::vector<std::int64_t>& digests_before,
               std::span<const std::int64_t> own_after, int first_slot) {
  for (std::size_t slot = 0; slot < own_after.size(); ++slot) {
    const int logical = planned.physical_to_logical[static_cast<std::size_t>(first_slot) + slot];
    const auto& replicas = before.logical_to_physical[static_cast<std::size_t>(logical)];
    const auto is_same = [&](int replica) {
      return digests_before[static_cast<std::size_t>(replica)] == own_after[slot];
    };
    if (!std::ranges::all_of(replicas, is_same)) return false;
  }
  return true;
}

}  // namespace

std::vector<std::vector<double>> loads_of_group(const LayerLoads& own, Communicator& group) {
  std::vector<double> host;
  for (const auto& layer : own) host.insert(host.end(), layer.begin(), layer.end());
  const auto width = static_cast<Count>(host.size());
  const Tensor on_host = {host.data(), 1, width, DType::f64, {}};
  const Buffer sum = copy_of(on_host, group.memory());
  group.all_reduce(sum.tensor(), ReduceOp::sum, sum.tensor());
  group.memory().copy_to_host(sum.tensor(), on_host);
  std::vector<std::vector<double>> loads;
  auto next = host.begin();
  for (const auto& layer : own) {
    loads.emplace_back(next, next + std::ssize(layer));
    next += std::ssize(layer);
  }
  return loads;
}

ReplicaMaps planned_maps(const ReplicaMaps& before, std::span<const double> loads,
                         const BalancedWorld& world) {
  const std::vector<double> weights = logical_loads(before, loads);
  return replica_maps(preserve_slots(before.physical_to_logical, rebalance_experts(weights, world),
                                     world.num_ranks),
                      before.num_logical());
}

std::vector<int> rearrange(LayerPlacement& placement, const ReplicaMaps& planned,
                           Communicator& group) {
  const ReplicaMaps& before = placement.maps();
  Memory& memory = group.memory();
  const int num_slots = planned.num_physical() / group.size();
  const MovePlan plan =
      move_plan(before.physical_to_logical, planned.physical_to_logical, group.size());
  const std::vector<std::int64_t> digests =
      gathered_numbers(as_numbers(slot_digests(placement.weights(), num_slots, memory)), group);
  ExpertWeights moved = weights_like(placement.weights(), memory);
  const std::vector<Tensor> held = expert_rows(placement.weights(), num_slots);
  const std::vector<Tensor> into = expert_rows(moved, num_slots);
  Exchange(plan, group).run(held, into);
  copy_own(plan.slots_of(group.rank()), held, into, memory);
  const std::vector<std::int64_t> after = as_numbers(slot_digests(moved, num_slots, memory));
  const bool is_right = are_right(before, planned, digests, after, group.rank() * num_slots);
  const std::int64_t own_vote[] = {is_right ? 1 : 0};
  const std::vector<std::int64_t> votes = gathered_numbers(own_vote, group);
  std::vector<int> refusing;
  for (int rank = 0; rank < group.size(); ++rank) {
    if (votes[static_cast<std::size_t>(rank)] == 0) refusing.push_back(rank);
  }
  if (refusing.empty()) placement.commit(planned, std::move(moved));
  return refusing;
}

}  // namespace moe
