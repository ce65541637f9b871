// Softmax and recorded routers.
// Each allocates the routing of one call and fills it through the kernels.

#include "backends/routers.h"

namespace moe {
namespace {

RoutingBuffers empty_routing(Kernels& kernels, Count tokens, int top_k) {
  return {Buffer(kernels.memory(), {tokens, top_k, DType::i32}),
          Buffer(kernels.memory(), {tokens, top_k, DType::f32}), IdSpace::logical};
}

class SoftmaxRouter final : public Router {
 public:
  SoftmaxRouter(Kernels& kernels, int top_k, TopkSettings settings)
      : kernels_(kernels), top_k_(top_k), settings_(settings) {}

  RoutingBuffers select_experts(const Tensor& router_logits) override {
    RoutingBuffers chosen = empty_routing(kernels_, router_logits.rows, top_k_);
    kernels_.topk_softmax(router_logits, settings_, chosen.view());
    return chosen;
  }

 private:
  Kernels& kernels_;
  int top_k_;
  TopkSettings settings_;
};

class RecordedRouter final : public Router {
 public:
  RecordedRouter(Kernels& kernels, int top_k) : kernels_(kernels), top_k_(top_k) {}

  RoutingBuffers select_experts(const Tensor& router_logits) override {
    RoutingBuffers chosen = empty_routing(kernels_, router_logits.rows, top_k_);
    kernels_.recorded_routing(router_logits, chosen.view());
    return chosen;
  }

 private:
  Kernels& kernels_;
  int top_k_;
};

}  // namespace

std::unique_ptr<Router> make_softmax_router(Kernels& kernels, int top_k, TopkSettings settings) {
  return std::make_unique<SoftmaxRouter>(kernels, top_k, settings);
}

std::unique_ptr<Router> make_recorded_router(Kernels& kernels, int top_k) {
  return std::make_unique<RecordedRouter>(kernels, top_k);
}

}  // namespace moe
