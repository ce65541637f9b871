// The translation, choice by choice on the host; ids are i32 as the kernels' routers make them.
// Rows that are padding are translated like others, since they travel, but count for nothing.

#include "backends/replica_router.h"

#include <span>
#include <utility>
#include <vector>

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
    const std::span<std::int32_t> all = host;
    const auto top_k = static_cast<std::size_t>(ids.columns);
    const ReplicaMaps& maps = routing_.placement.maps();
    const CountsRow counts_row = routing_.counted_rows();
    for (Count token = 0; token < ids.rows; ++token) {
      const auto chosen_ids = all.subspan(static_cast<std::size_t>(token) * top_k, top_k);
      choose(maps, token, chosen_ids, counts_row(token));
    }
    memory_.copy_from_host(on_host, ids);
    chosen.space = IdSpace::physical;
    return chosen;
  }

 private:
  // The choices of one token: logical ids become physical ones.
  void choose(const ReplicaMaps& maps, Count token, std::span<std::int32_t> ids, bool counts) {
    const auto top_k = static_cast<int>(ids.size());
    for (int slot = 0; slot < top_k; ++slot) {
      std::int32_t& id = ids[static_cast<std::size_t>(slot)];
      id = physical_id(maps, routing_.choice, {token, slot, top_k}, id);
      if (counts && id >= 0) routing_.load.count(routing_.layer, id);
    }
  }

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
