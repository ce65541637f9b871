// EPLB on one rank of a run (vLLM: EplbState; experts-and-oracles.md, 12): the placement in force
// of each layer of its stage, the loads that its routers record, rearrangements between steps, and
// what MAP and OBS have to say of them. Built and driven by rank_program.cc where the scenario has
// eplb.

#pragma once

#include <memory>
#include <span>
#include <vector>

#include "backends/parallel/rank_grid.h"
#include "backends/placed_experts.h"
#include "backends/placement/rearrangement.h"
#include "backends/replica_router.h"
#include "comm/traced_communicator.h"
#include "sim/dispatched_tokens.h"
#include "sim/layer_watch.h"
#include "sim/map_check.h"
#include "sim/travelling_ids.h"

namespace moe::sim {

// What stays the same for a rank. LIFETIME: the references outlive the balance.
struct BalancedRank {
  const Scenario& scenario;
  const RunLine& line;
  const WorldInputs& inputs;
  const std::vector<FaultSpec>& faults;
  const FusedMoEParallelConfig& parallel;
  LayerRange stage;
  int world_rank = 0;
  bool layer_moves_rows = true;
  TpSources sources;
  Memory& memory;
  Communicator& group;  // EPLB's own
  TracedCommunicator& trace;
  LayerWatch& watch;
};

class ExpertBalance final : public TravellingIds {
 public:
  explicit ExpertBalance(const BalancedRank& rank);

  // The experts of a layer, from the weights as they were loaded. REQUIRES layers in order.
  std::unique_ptr<Experts> experts(int layer, ExpertWeights weights, ExpertsMaker make);

  // REQUIRES that the layer has its experts.
  std::unique_ptr<Router> with_replicas(int layer, std::unique_ptr<Router> inner);

  // Between steps; all ranks of the group take the same turns. A rearrangement that the step before
  // made due happens here, so that after the last step none does.
  void before_step(int step);
  void after_step(int step);

  // OBS of the loads that no rearrangement has compared. Collective.
  void finish();

  std::vector<std::int16_t> travelling(int layer, Count row,
                                       std::span<const std::int16_t> chosen) const override;

 private:
  struct Loads {
    std::vector<std::vector<double>> recorded;
    std::vector<std::vector<double>> executed;
  };

  std::size_t index_of(int layer) const {
    return static_cast<std::size_t>(layer - rank_.stage.first);
  }
  // Which rows of the running step this rank's routers count.
  CountsRow counted_rows(bool counts_pads) const;
  const CallPart* part_of_call() const;
  bool is_counting() const { return clock_.is_recording() && !rank_.watch.is_probing; }
  // Rows of tokens alone: the choices of each that one of this rank's slots computes.
  void count_executed(int layer, const Dispatched& dispatched);
  void count_batched(int layer, const Dispatched& dispatched);
  DispatchedTokens dispatched_tokens(int step) const;
  Loads compared_loads(int step);
  void compare_loads(int layer, const Loads& loads, int step);
  void check_plan(int layer, const ReplicaMaps& expected, std::span<const int> refusing, int step);
  void check_maps(const MapMoment& at);
  MapMoment moment_after(int step) const;

  BalancedRank rank_;
  BalancedWorld world_;
  ReplicaChoice choice_;
  RearrangementClock clock_;
  LoadWindow recorded_;
  LoadWindow executed_;
  ExpertDigests digests_;
  std::vector<std::unique_ptr<LayerPlacement>> placements_;  // of the stage's layers
  bool is_due_ = false;
  int last_step_ = -1;
};

}  // namespace moe::sim
