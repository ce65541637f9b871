// LayerMaker: the layers of one rank as its run line wants them, every seam watched and, where the
// run asks for it, lying. Used by rank_program.cc.

#pragma once

#include <memory>
#include <vector>

#include "backends/moe_runner.h"
#include "backends/row_homes.h"
#include "sim/layer_watch.h"

namespace moe::sim {

class ExpertBalance;
struct RankJob;
struct FaultSite;

// What all layers of a rank have in common. LIFETIME: the references outlive the layers.
struct LayerSite {
  const RankJob& job;
  int rank = 0;  // of the world
  Memory& memory;
  const FusedMoEParallelConfig& parallel;
  const ExpertMap& expert_map;
  Kernels& kernels;
  const ParallelGroups& groups;
  const RowHomes& homes;
  TracedCommunicator& trace;
  SharingTags& sharing;
  LayerWatch& watch;
  const ConservationFacts& facts;
  NaiveForm naive_form = NaiveForm::ep_group;
  ExpertBalance* balance = nullptr;  // null: experts stay where they are
};

class LayerMaker {
 public:
  explicit LayerMaker(const LayerSite& site) : at_(site) {}

  MoeRunner make(int layer) const;

 private:
  ExpertWeights weights_of(int layer) const;
  std::unique_ptr<SharedExperts> shared_of(int layer) const;
  RouterWeight router_weight() const;
  bool has_logits() const;
  std::unique_ptr<Router> layer_router(int layer) const;
  std::unique_ptr<Router> router_of(int layer, const FaultSite& site) const;
  LayerContract contract_of(int layer) const;
  std::unique_ptr<Experts> experts_of(int layer, const LayerContract& contract,
                                      const FaultSite& site) const;

  LayerSite at_;
};

}  // namespace moe::sim
