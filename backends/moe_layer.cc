// The story in one function, and the handle that leads home.
// Everything it calls is behind a seam, so any part can be observed or made to lie.

#include "backends/moe_layer.h"

#include <algorithm>
#include <utility>

namespace moe {

MoeLayer::MoeLayer(std::unique_ptr<Router> router,
                   std::unique_ptr<PrepareFinalize> prepare_finalize,
                   std::unique_ptr<Experts> experts)
    : router_(std::move(router)),
      prepare_finalize_(std::move(prepare_finalize)),
      experts_(std::move(experts)) {}

void MoeLayer::forward(const Tensor& hidden_states, const Tensor& router_logits, RowCounts tokens,
                       const Tensor& output) {
  const RoutingBuffers routing = router_->select_experts(router_logits);
  Dispatched dispatched = prepare_finalize_->prepare(hidden_states, routing.view(), tokens);
  const Tensor expert_output = experts_->apply(dispatched);
  prepare_finalize_->finalize(expert_output, std::move(dispatched), output);
}

DispatchHandle::DispatchHandle(DispatchHandle&& other) noexcept
    : rows_per_rank(std::move(other.rows_per_rank)),
      buffers_(std::move(other.buffers_)),
      used_(std::exchange(other.used_, true)) {}

DispatchHandle& DispatchHandle::operator=(DispatchHandle&& other) noexcept {
  rows_per_rank = std::move(other.rows_per_rank);
  buffers_ = std::move(other.buffers_);
  used_ = std::exchange(other.used_, true);
  return *this;
}

Tensor DispatchHandle::keep(Buffer buffer) {
  buffers_.push_back(std::move(buffer));
  return buffers_.back().tensor();
}

void DispatchHandle::use() {
  MOE_CHECK(!used_, "a dispatch handle is used once");
  used_ = true;
}

bool DispatchHandle::guards_intact() const {
  return std::ranges::all_of(buffers_, [](const Buffer& buffer) { return buffer.guards_intact(); });
}

}  // namespace moe
