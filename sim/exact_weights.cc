// The decorator. Weights are made on the host and copied into the routing's place.
// Made by rank_program.cc.

#include "sim/exact_weights.h"

#include <utility>

namespace moe::sim {
namespace {

class ExactWeightsRouter final : public Router {
 public:
  ExactWeightsRouter(std::unique_ptr<Router> inner, const WorldInputs& inputs,
                     const golden::Cell& cell, Memory& memory)
      : inner_(std::move(inner)),
        inputs_(inputs),
        cell_(cell),
        memory_(memory),
        host_(make_host_memory(Poison::on)) {}

  RoutingBuffers select_experts(const Tensor& router_logits) override {
    RoutingBuffers chosen = inner_->select_experts(router_logits);
    chosen.topk_weights = copy_of(inputs_.cell(cell_, *host_).topk_weights.tensor(), memory_);
    return chosen;
  }

 private:
  std::unique_ptr<Router> inner_;
  const WorldInputs& inputs_;
  const golden::Cell& cell_;
  Memory& memory_;
  std::unique_ptr<Memory> host_;
};

}  // namespace

std::unique_ptr<Router> with_exact_weights(std::unique_ptr<Router> inner, const WorldInputs& inputs,
                                           const golden::Cell& cell, Memory& memory) {
  return std::make_unique<ExactWeightsRouter>(std::move(inner), inputs, cell, memory);
}

}  // namespace moe::sim
