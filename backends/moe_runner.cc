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
  if (config_.groups.sharing != nullptr) config_.groups.sharing->begin_layer();
  finish(begin(hidden_states, router_logits, num_tokens_across_dp), output);
}

void MoeRunner::forward_micro_batches(const Tensor& hidden_states, const Tensor& router_logits,
                                      RowCounts counts, const Tensor& output) {
  if (config_.groups.sharing != nullptr) config_.groups.sharing->begin_layer();
  std::vector<Pending> pending;
  Count begin_row = 0;
  for (const Count rows : counts) {
    const std::vector<Count> across_dp(static_cast<std::size_t>(config_.parallel.dp_size), rows);
    pending.push_back(begin(rows_of(hidden_states, begin_row, rows),
                            rows_of(router_logits, begin_row, rows), across_dp));
    begin_row += rows;
  }
  begin_row = 0;
  for (std::size_t i = 0; i < pending.size(); ++i) {
    finish(std::move(pending[i]), rows_of(output, begin_row, counts[i]));
    begin_row += counts[i];
  }
}

MoeRunner::Pending MoeRunner::begin(const Tensor& hidden_states, const Tensor& router_logits,
                                    RowCounts num_tokens_across_dp) {
  Pending pending{.own = {hidden_states, router_logits},
                  .sizes = dispatch_sizes(config_.parallel, num_tokens_across_dp)};
  if (Communicator* group = sharing_group(); group != nullptr) {
    pending.own_states = own_share(hidden_states, *group);
    pending.own_logits = own_share(router_logits, *group);
    pending.own = {pending.own_states.tensor(), pending.own_logits.tensor()};
  }
  const Rows& own = pending.own;
  if (shared_experts_ != nullptr) {
    pending.shared = shared_experts_->apply(own.hidden_states);
    tag_shared(pending.shared.tensor());
  }
  if (in_line_ == nullptr) {
    pending.layer = layer_.begin(own.hidden_states, own.router_logits, pending.sizes);
  } else {
    pending.in_line =
        in_line_->dispatch_router_logits(own.hidden_states, own.router_logits, {}, pending.sizes);
  }
  return pending;
}

void MoeRunner::finish(Pending pending, const Tensor& output) {
  SharingTags* sharing = config_.groups.sharing;
  Communicator* group = sharing_group();
  if (group == nullptr) {
    finish_dispatched(std::move(pending), output);
    if (sharing != nullptr) sharing->leave(output);
    return;
  }
  const Tensor own = pending.own.hidden_states;
  const Buffer own_output(config_.memory, {own.rows, own.columns, own.dtype});
  finish_dispatched(std::move(pending), own_output.tensor());
  if (sharing != nullptr) sharing->leave(own_output.tensor());
  gather_shares(own_output.tensor(), *group, output);
}

// Rows of this rank → their results, complete on every rank of a TP group.
void MoeRunner::finish_dispatched(Pending pending, const Tensor& output) {
  const Buffer& shared = pending.shared;
  if (pending.layer) {
    layer_.finish(std::move(*pending.layer), output);
  } else {
    Dispatched& dispatched = *pending.in_line;
    const Tensor& rows = dispatched.hidden_states;
    Memory& memory = config_.expert_output == nullptr ? config_.memory : *config_.expert_output;
    const Buffer partial(memory, {rows.rows, rows.columns, rows.dtype});
    const Count num_rows = rows.rows;
    layer_.forward(rows, dispatched.routing.router_logits, {&num_rows, 1}, partial.tensor());
    dispatched.handle.use();
    in_line_->combine(partial.tensor(), pending.sizes, output);
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
