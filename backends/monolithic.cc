// A router that waits and experts that select.
// Every rank that received a row recomputes the same choice from the same logits.

#include "backends/monolithic.h"

#include <utility>

#include "kernels/base/check.h"

namespace moe {
namespace {

class LateRouter final : public Router {
 public:
  RoutingBuffers select_experts(const Tensor& router_logits) override {
    return {.topk_ids = {}, .topk_weights = {}, .router_logits = router_logits};
  }
};

class MonolithicExperts final : public Experts {
 public:
  MonolithicExperts(std::unique_ptr<Router> router, std::unique_ptr<Experts> inner)
      : router_(std::move(router)), inner_(std::move(inner)) {}

  Tensor apply(Dispatched& dispatched) override {
    MOE_CHECK(!dispatched.routing.is_selected(), "monolithic experts got rows without logits");
    RoutingBuffers chosen = router_->select_experts(dispatched.routing.router_logits);
    dispatched.routing = {.topk_ids = dispatched.handle.keep(std::move(chosen.topk_ids)),
                          .topk_weights = dispatched.handle.keep(std::move(chosen.topk_weights)),
                          .space = chosen.space};
    return inner_->apply(dispatched);
  }

 private:
  std::unique_ptr<Router> router_;
  std::unique_ptr<Experts> inner_;
};

}  // namespace

std::unique_ptr<Router> make_late_router() { return std::make_unique<LateRouter>(); }

std::unique_ptr<Experts> make_monolithic_experts(std::unique_ptr<Router> router,
                                                 std::unique_ptr<Experts> inner) {
  return std::make_unique<MonolithicExperts>(std::move(router), std::move(inner));
}

}  // namespace moe
