// One decorator for placements, whose commit is the lie, and one for routers.
// Healthy placements know nothing of them.

#include "backends/faulty_placement.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "backends/faulty_expert_ids.h"
#include "backends/placement/expert_rows.h"

namespace moe {
namespace {

// inner: the healthy placement, to commit to or not.
using CommitLie =
    std::function<void(LayerPlacement& inner, ReplicaMaps maps, ExpertWeights weights)>;

class LyingPlacement final : public LayerPlacement {
 public:
  LyingPlacement(std::unique_ptr<LayerPlacement> inner, CommitLie lie)
      : inner_(std::move(inner)), lie_(std::move(lie)) {}

  const ReplicaMaps& maps() const override { return inner_->maps(); }
  const ExpertWeights& weights() const override { return inner_->weights(); }
  int version() const override { return inner_->version(); }

  void commit(ReplicaMaps maps, ExpertWeights weights) override {
    lie_(*inner_, std::move(maps), std::move(weights));
  }

 private:
  std::unique_ptr<LayerPlacement> inner_;
  CommitLie lie_;
};

class PickByRank final : public Router {
 public:
  PickByRank(std::unique_ptr<Router> inner, const LayerPlacement& placement, int rank,
             Memory& memory)
      : inner_(std::move(inner)), placement_(placement), rank_(rank), memory_(memory) {}

  RoutingBuffers select_experts(const Tensor& router_logits) override {
    RoutingBuffers chosen = inner_->select_experts(router_logits);
    std::vector<std::int32_t> ids = ids_on_host(memory_, chosen.topk_ids.tensor());
    for (std::int32_t& id : ids) {
      if (id >= 0) id = next_replica(id);
    }
    chosen.topk_ids = ids_in(memory_, ids, chosen.topk_ids.tensor());
    return chosen;
  }

 private:
  std::int32_t next_replica(std::int32_t physical) const {
    const ReplicaMaps& maps = placement_.maps();
    const int logical = maps.physical_to_logical[static_cast<std::size_t>(physical)];
    const auto& replicas = maps.logical_to_physical[static_cast<std::size_t>(logical)];
    const auto at = std::ranges::find(replicas, physical) - replicas.begin() + rank_;
    return replicas[static_cast<std::size_t>(at) % replicas.size()];
  }

  std::unique_ptr<Router> inner_;
  const LayerPlacement& placement_;
  int rank_;
  Memory& memory_;
};

}  // namespace

ExpertMap map_with_remainder_last(int num_experts, int num_ranks) {
  ExpertMap map;
  const int base = num_experts / num_ranks;
  const int first_with_more = num_ranks - num_experts % num_ranks;
  for (int rank = 0; rank < num_ranks; ++rank) {
    map.num_local_experts.push_back(base + (rank >= first_with_more ? 1 : 0));
    for (int slot = 0; slot < map.num_local_experts.back(); ++slot) {
      map.rank_of.push_back(rank);
      map.local_of.push_back(slot);
    }
  }
  return map;
}

std::unique_ptr<LayerPlacement> with_commit_lost(std::unique_ptr<LayerPlacement> inner) {
  return std::make_unique<LyingPlacement>(std::move(inner),
                                          [](LayerPlacement&, ReplicaMaps, ExpertWeights) {});
}

std::unique_ptr<LayerPlacement> with_buffer_overwritten(std::unique_ptr<LayerPlacement> inner,
                                                        LayerPlacement& earlier, Memory& memory) {
  return std::make_unique<LyingPlacement>(
      std::move(inner),
      [&earlier, &memory](LayerPlacement& later, ReplicaMaps maps, ExpertWeights weights) {
        earlier.commit(earlier.maps(), copy_of_weights(weights, memory));
        later.commit(std::move(maps), std::move(weights));
      });
}

std::unique_ptr<Router> with_pick_by_rank(std::unique_ptr<Router> inner,
                                          const LayerPlacement& placement, int rank,
                                          Memory& memory) {
  return std::make_unique<PickByRank>(std::move(inner), placement, rank, memory);
}

}  // namespace moe
