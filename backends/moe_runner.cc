// The runner's story. Every rank of a group takes the same turns at it, since they follow from the
// configuration alone.

#include "backends/moe_runner.h"

#include <utility>

#include "backends/parallel/token_share.h"

namespace moe {

MoeRunner::MoeRunner(const MoeRunnerConfig& config, MoeLayer layer,
                     std::unique_ptr<All2AllManager> in_line,
                     std::unique_ptr<SharedExperts> shared_experts)
    : config_(config),
      layer_(std::move(layer)),
      in_line_(std::move(in_line)),
      shared_experts_(std::move(shared_experts)) {}

void MoeRunner::forward(const Tensor& hidden_states, const Tensor& router_logits,
                        RowCounts num_tokens_across_dp, const Tensor& output) {
  SharingTags* sharing = config_.groups.sharing;
  if (sharing != nullptr) sharing->begin_layer();
  const std::vector<Count> sizes = dispatch_sizes(config_.parallel, num_tokens_across_dp);
  Communicator* group = sharing_group();
  if (group == nullptr) {
    forward_dispatched({hidden_states, router_logits}, sizes, output);
    if (sharing != nullptr) sharing->leave(output);
    return;
  }
  const Buffer own_states = own_share(hidden_states, *group);
  const Buffer own_logits = own_share(router_logits, *group);
  const Tensor& own = own_states.tensor();
  const Buffer own_output(config_.memory, {own.rows, own.columns, own.dtype});
  forward_dispatched({own, own_logits.tensor()}, sizes, own_output.tensor());
  if (sharing != nullptr) sharing->leave(own_output.tensor());
  gather_shares(own_output.tensor(), *group, output);
}

// Rows of this rank → their results, complete on every rank of a TP group.
void MoeRunner::forward_dispatched(const Rows& own, RowCounts sizes, const Tensor& output) {
  Buffer shared;
  if (shared_experts_ != nullptr) {
    shared = shared_experts_->apply(own.hidden_states);
    tag_shared(shared.tensor());
  }
  if (in_line_ == nullptr) {
    layer_.forward(own.hidden_states, own.router_logits, sizes, output);
  } else {
    Dispatched dispatched =
        in_line_->dispatch_router_logits(own.hidden_states, own.router_logits, {}, sizes);
    const Tensor& rows = dispatched.hidden_states;
    const Buffer partial(config_.memory, {rows.rows, rows.columns, rows.dtype});
    const Count num_rows = rows.rows;
    layer_.forward(rows, dispatched.routing.router_logits, {&num_rows, 1}, partial.tensor());
    dispatched.handle.use();
    in_line_->combine(partial.tensor(), sizes, output);
  }
  scale(output, shared.tensor());
  if (shared_experts_ == nullptr) return reduce(output);
  if (!is_partial()) {  // the routed output is complete: so must the shared one be
    reduce_over_tp(shared.tensor());
    return add_shared(shared.tensor(), output);
  }
  add_shared(shared.tensor(), output);
  reduce(output);
}

void MoeRunner::add_shared(const Tensor& shared, const Tensor& output) {
  if (config_.groups.sharing != nullptr) config_.groups.sharing->added(shared, output);
  config_.kernels.add_rows(shared, output);
}

// Each rank's own tokens; of the same tokens a part of the sum on each rank of a TP group, whose
// ranks hold a shard of the weights.
void MoeRunner::tag_shared(const Tensor& shared) {
  if (config_.groups.sharing == nullptr) return;
  RowSharing sharing{.dp = Sharing::token_sharded, .pcp = Sharing::token_sharded};
  sharing.tp = config_.parallel.is_sequence_parallel() ? Sharing::token_sharded : Sharing::partial;
  config_.groups.sharing->tag(shared, sharing);
}

// The factor of the routed output. fp16 with shared experts divides those instead, lest the product
// overflow; the decoder layer makes up for it (experts-and-oracles.md, 0, step 8).
void MoeRunner::scale(const Tensor& output, const Tensor& shared) {
  const float factor = config_.routed_scaling_factor;
  if (factor == 1) return;
  if (output.dtype == DType::f16 && shared.data != nullptr) {
    return config_.kernels.scale_rows(shared, 1 / factor);
  }
  config_.kernels.scale_rows(output, factor);
}

// Whether every rank of the TP group holds a part of the sum (11.2).
bool MoeRunner::is_partial() const {
  const FusedMoEParallelConfig& parallel = config_.parallel;
  return !config_.output_is_reduced && !parallel.is_sequence_parallel() &&
         (parallel.tp_size > 1 || parallel.ep_size > 1);
}

void MoeRunner::reduce(const Tensor& output) {
  if (is_partial()) reduce_over_tp(output);
}

void MoeRunner::reduce_over_tp(const Tensor& rows) {
  if (config_.groups.tp.size() == 1 || config_.parallel.is_sequence_parallel()) return;
  config_.groups.tp.all_reduce(rows, ReduceOp::sum, rows);
}

Communicator* MoeRunner::sharing_group() const {
  if (config_.parallel.is_sequence_parallel()) return &config_.groups.tp;
  return config_.parallel.pcp_size > 1 ? &config_.groups.pcp : nullptr;
}

}  // namespace moe
