// The healthy placement: two members that change together.
// Made by whoever loads a layer's weights.

#include "backends/placement/layer_placement.h"

#include <utility>

namespace moe {
namespace {

class HeldPlacement final : public LayerPlacement {
 public:
  HeldPlacement(ReplicaMaps maps, ExpertWeights weights)
      : maps_(std::move(maps)), weights_(std::move(weights)) {}

  const ReplicaMaps& maps() const override { return maps_; }
  const ExpertWeights& weights() const override { return weights_; }
  int version() const override { return version_; }

  void commit(ReplicaMaps maps, ExpertWeights weights) override {
    maps_ = std::move(maps);
    weights_ = std::move(weights);
    ++version_;
  }

 private:
  ReplicaMaps maps_;
  ExpertWeights weights_;
  int version_ = 0;
};

}  // namespace

std::unique_ptr<LayerPlacement> make_layer_placement(ReplicaMaps maps, ExpertWeights weights) {
  return std::make_unique<HeldPlacement>(std::move(maps), std::move(weights));
}

}  // namespace moe
