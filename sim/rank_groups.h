// The groups of one rank of a world: TP, PCP, DP and EP, split from the world's communicator, each
// traced and as faulty as the run asks for. Kinds with the same members share one endpoint, and one
// that holds all ranks is the world's own.

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backends/parallel/parallel_config.h"
#include "comm/first_xpu_collectives.h"
#include "comm/traced_communicator.h"
#include "sim/scenario.h"

namespace moe::sim {

// A rank's ways to the others. side may be null: a cheaper way for the checks' own words.
struct RankWires {
  std::unique_ptr<Communicator> wire;
  std::unique_ptr<Communicator> side;
};

// The wires of a rank that is late (--delay); 0: as they are.
RankWires with_delays(RankWires wires, int delay_max_ms);

class RankGroups {
 public:
  // Collective over the world.
  RankGroups(RankWires wires, const ParallelSizes& sizes, const std::vector<FaultSpec>& faults,
             CollectivesRun collectives = CollectivesRun::on_the_group);
  RankGroups(const RankGroups&) = delete;
  RankGroups& operator=(const RankGroups&) = delete;

  ParallelGroups groups();

  // A group of the EP group's ranks that nothing else talks over: weights on their way must not
  // come between a layer's rows (distribution-layer.md, T15). Collective over the world.
  Communicator& add_eplb_group(const std::vector<FaultSpec>& faults);

  SharingTags& sharing() { return sharing_; }
  TracedCommunicator& trace() { return *world_trace_; }
  // What traces that group inside.
  TracedCommunicator& trace_of(GroupKind kind) const;

  // The last word of this rank in all of its groups. Collective.
  void finish();

 private:
  // A communicator, and what traces it inside.
  struct Member {
    std::unique_ptr<Communicator> group;
    TracedCommunicator* trace = nullptr;
    std::vector<int> ranks;
  };

  // The world, then what is split from it, which ends before it; a vector ends its first first.
  struct Members {
    std::vector<Member> all;

    ~Members() {
      while (!all.empty()) all.pop_back();
    }
  };

  const Member& member(GroupKind kind) const;
  void split(GroupKind kind, const std::vector<FaultSpec>& faults);
  // A traced group as the layer gets it.
  std::unique_ptr<Communicator> dressed(std::unique_ptr<TracedCommunicator> traced, Axes axes,
                                        const std::vector<FaultSpec>& faults);

  ParallelSizes sizes_;
  Between called_;  // how groups of layers are called, below their traces; empty: as they are
  int rank_ = 0;
  SharingTags sharing_;
  Members members_;
  TracedCommunicator* world_trace_ = nullptr;
};

}  // namespace moe::sim
