// Splits in one order on all ranks: which kinds share members follows from the sizes alone.
// Called by rank_program.cc.

#include "sim/rank_groups.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <utility>

#include "comm/delaying_communicator.h"
#include "kernels/base/text.h"
#include "sim/faults.h"
#include "sim/layer_watch.h"
#include "sim/placement_faults.h"

namespace moe::sim {
namespace {

constexpr std::array<GroupKind, 4> kinds = {GroupKind::tp, GroupKind::pcp, GroupKind::dp,
                                            GroupKind::ep};

// GROUP: the ranks of a group take it for the same one.
void agree_on_members(TracedCommunicator& group, const std::vector<int>& ranks) {
  const std::vector<Count> members(ranks.begin(), ranks.end());
  group.agree_on("members", members);
}

Between called_as(CollectivesRun collectives, const ParallelSizes& sizes) {
  if (collectives == CollectivesRun::on_the_group) return nullptr;
  return [world_size = sizes.num_ranks()](std::unique_ptr<Communicator> group) {
    return with_first_xpu_collectives(std::move(group), world_size);
  };
}

// Records of the checks are no calls of vLLM's: they have a way of their own.
RankWires with_calls(RankWires wires, const Between& called) {
  if (!called) return wires;
  if (wires.side == nullptr) wires.side = wires.wire->split(0, wires.wire->rank());
  wires.wire = called(std::move(wires.wire));
  return wires;
}

}  // namespace

RankWires with_delays(RankWires wires, int delay_max_ms) {
  if (delay_max_ms == 0) return wires;
  wires.wire = with_random_delays(std::move(wires.wire), std::chrono::milliseconds(delay_max_ms));
  return wires;
}

RankGroups::RankGroups(RankWires wires, const ParallelSizes& sizes,
                       const std::vector<FaultSpec>& faults, CollectivesRun collectives)
    : sizes_(sizes),
      called_(called_as(collectives, sizes)),
      rank_(wires.wire->rank()),
      sharing_(sizes) {
  MOE_CHECK(wires.wire->size() == sizes.num_ranks(),
            text(wires.wire->size(), " ranks for a world of ", sizes.num_ranks()));
  wires = with_calls(std::move(wires), called_);
  auto traced = std::make_unique<TracedCommunicator>(
      std::move(wires.wire), Agreement::checked, StageNames(stage_names.begin(), stage_names.end()),
      LastTensor::side, std::move(wires.side));
  world_trace_ = traced.get();
  std::vector<int> all(static_cast<std::size_t>(sizes.num_ranks()));
  std::iota(all.begin(), all.end(), 0);
  agree_on_members(*traced, all);
  members_.all.push_back(
      {dressed(std::move(traced), axes_of(GroupKind::ep, sizes), faults), world_trace_, all});
  for (const GroupKind kind : kinds) split(kind, faults);
}

void RankGroups::split(GroupKind kind, const std::vector<FaultSpec>& faults) {
  const OwnGroup own = own_group(kind, sizes_, rank_);
  const auto is_it = [&own](const Member& known) { return known.ranks == own.members; };
  if (std::ranges::any_of(members_.all, is_it)) return;
  GroupWords words{text(name_of(kind), " [", joined(own.members), "]"), own.members};
  auto traced = world_trace_->split_as(std::move(words), own.number, own.rank_in_group, called_);
  TracedCommunicator* trace = traced.get();
  agree_on_members(*traced, own.members);
  members_.all.push_back(
      {dressed(std::move(traced), axes_of(kind, sizes_), faults), trace, own.members});
}

std::unique_ptr<Communicator> RankGroups::dressed(std::unique_ptr<TracedCommunicator> traced,
                                                  Axes axes, const std::vector<FaultSpec>& faults) {
  return with_sharing_tags(with_faults(std::move(traced), rank_, faults), axes, sharing_);
}

Communicator& RankGroups::add_eplb_group(const std::vector<FaultSpec>& faults) {
  const OwnGroup own = own_group(GroupKind::ep, sizes_, rank_);
  GroupWords words{text("eplb [", joined(own.members), "]"), own.members};
  auto traced = world_trace_->split_as(std::move(words), own.number, own.rank_in_group);
  TracedCommunicator* trace = traced.get();
  members_.all.push_back({with_move_faults(std::move(traced), rank_, faults), trace, own.members});
  return *members_.all.back().group;
}

const RankGroups::Member& RankGroups::member(GroupKind kind) const {
  const std::vector<int> ranks = own_group(kind, sizes_, rank_).members;
  return *std::ranges::find(members_.all, ranks, &Member::ranks);
}

TracedCommunicator& RankGroups::trace_of(GroupKind kind) const { return *member(kind).trace; }

ParallelGroups RankGroups::groups() {
  const auto of = [this](GroupKind kind) -> Communicator& { return *member(kind).group; };
  return {of(GroupKind::tp), of(GroupKind::pcp), of(GroupKind::dp), of(GroupKind::ep), &sharing_};
}

void RankGroups::finish() {
  for (auto member = members_.all.rbegin(); member != members_.all.rend(); ++member) {
    member->trace->finish();
  }
}

}  // namespace moe::sim
