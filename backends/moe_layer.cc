// The story in one function, and the handle that leads home.
// Everything it calls is behind a seam, so any part can be observed or made to lie.

#include "backends/moe_layer.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace moe {

MoeLayer::MoeLayer(std::unique_ptr<Router> router,
                   std::unique_ptr<PrepareFinalize> prepare_finalize,
                   std::unique_ptr<Experts> experts, SharingTags* sharing)
    : router_(std::move(router)),
      prepare_finalize_(std::move(prepare_finalize)),
      experts_(std::move(experts)),
      sharing_(sharing) {}

void MoeLayer::forward(const Tensor& hidden_states, const Tensor& router_logits, RowCounts tokens,
                       const Tensor& output) {
  finish(begin(hidden_states, router_logits, tokens), output);
}

MoeLayer::Pending MoeLayer::begin(const Tensor& hidden_states, const Tensor& router_logits,
                                  RowCounts tokens) {
  RoutingBuffers routing = router_->select_experts(router_logits);
  Dispatched dispatched = prepare_finalize_->prepare(hidden_states, routing.view(), tokens);
  return {std::move(routing), std::move(dispatched)};
}

void MoeLayer::finish(Pending pending, const Tensor& output) {
  const Tensor expert_output = experts_->apply(pending.dispatched);
  if (sharing_ != nullptr) sharing_->made_by_experts(expert_output);
  prepare_finalize_->finalize(expert_output, std::move(pending.dispatched), output);
}

DispatchHandle::DispatchHandle(DispatchHandle&& other) noexcept
    : rows_per_rank(std::move(other.rows_per_rank)),
      return_path(std::move(other.return_path)),
      buffers_(std::move(other.buffers_)),
      workspaces_(std::move(other.workspaces_)),
      used_(std::exchange(other.used_, true)) {}

DispatchHandle& DispatchHandle::operator=(DispatchHandle&& other) noexcept {
  rows_per_rank = std::move(other.rows_per_rank);
  return_path = std::move(other.return_path);
  buffers_ = std::move(other.buffers_);
  workspaces_ = std::move(other.workspaces_);
  used_ = std::exchange(other.used_, true);
  return *this;
}

Tensor DispatchHandle::keep(Buffer buffer) {
  buffers_.push_back(std::move(buffer));
  return buffers_.back().tensor();
}

Tensor DispatchHandle::keep_workspace(Buffer buffer) {
  workspaces_.push_back(keep(std::move(buffer)));
  return workspaces_.back();
}

std::optional<Tensor> DispatchHandle::buffer_of(const Tensor& rows) const {
  const std::less_equal<> is_before;
  for (const Buffer& buffer : buffers_) {
    const Tensor& kept = buffer.tensor();
    const auto* begin = static_cast<const std::byte*>(kept.data);
    const bool holds =
        is_before(begin, static_cast<const std::byte*>(rows.data)) &&
        std::less<>()(static_cast<const std::byte*>(rows.data), begin + bytes_of(kept));
    if (holds || kept.data == rows.data) return kept;
  }
  return std::nullopt;
}

void DispatchHandle::use() {
  MOE_CHECK(!used_, "a dispatch handle is used once");
  used_ = true;
}

bool DispatchHandle::guards_intact() const {
  return std::ranges::all_of(buffers_, [](const Buffer& buffer) { return buffer.guards_intact(); });
}

}  // namespace moe
