// The translation, choice by choice on the host; ids are i32 as the kernels' routers make them.
// Rows that are padding are translated like others, since they travel, but count for nothing.

#include "backends/replica_router.h"

#include <utility>

#include "kernels/base/text.h"

namespace moe {
namespace {

class ReplicaRouter final : public Router {
 public:
  ReplicaRouter(std::unique_ptr<Router> inner, ReplicaRouting routing, Memory& memory)
      : inner_(std::move(inner)), routing_(std::move(routing)), memory_(memory) {}

  RoutingBuffers select_experts(const Tensor& router_logits) override {
    RoutingBuffers chosen = inner_->select_experts(router_logits);
    MOE_CHECK(chosen.space == IdSpace::logical, "replicas are chosen for logical ids");
    const Tensor& ids = chosen.topk_ids.tensor();
    std::vector<std::int32_t> host(static_cast<std::size_t>(ids.rows * ids.columns));
    const Tensor on_host = {host.data(), ids.rows, ids.columns, DType::i32, {}};
    memory_.copy_to_host(ids, on_host);
    const auto top_k = static_cast<int>(ids.columns);
    for (std::size_t i = 0; i < host.size(); ++i) {
      const auto token = static_cast<Count>(i) / top_k;
      const ChoicePlace place{token, static_cast<int>(i) % top_k, top_k};
      host[i] = physical_id(routing_.placement.maps(), routing_.choice, place, host[i]);
      if (host[i] >= 0 && routing_.counts_row(token)) routing_.load.count(routing_.layer, host[i]);
    }
    memory_.copy_from_host(on_host, ids);
    chosen.space = IdSpace::physical;
    return chosen;
  }

 private:
  std::unique_ptr<Router> inner_;
  ReplicaRouting routing_;
  Memory& memory_;
};

}  // namespace

std::unique_ptr<Router> with_replicas(std::unique_ptr<Router> inner, ReplicaRouting routing,
                                      Memory& memory) {
  return std::make_unique<ReplicaRouter>(std::move(inner), std::move(routing), memory);
}

}  // namespace moe
