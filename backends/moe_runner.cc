// The runner's story. Every rank of a group takes the same turns at it, since they follow from the
// configuration alone.

#include "backends/moe_runner.h"

#include <utility>

#include "backends/parallel/token_share.h"

namespace moe {

MoeRunner::MoeRunner(const MoeRunnerConfig& config, MoeLayer layer,
                     std::unique_ptr<All2AllManager> in_line)
    : config_(config), layer_(std::move(layer)), in_line_(std::move(in_line)) {}

void MoeRunner::forward(const Tensor& hidden_states, const Tensor& router_logits,
                        RowCounts num_tokens_across_dp, const Tensor& output) {
  const std::vector<Count> sizes = dispatch_sizes(config_.parallel, num_tokens_across_dp);
  Communicator* sharing = sharing_group();
  if (sharing == nullptr) {
    forward_dispatched({hidden_states, router_logits}, sizes, output);
    return;
  }
  const Buffer own_states = own_share(hidden_states, *sharing);
  const Buffer own_logits = own_share(router_logits, *sharing);
  const Tensor& own = own_states.tensor();
  const Buffer own_output(config_.memory, {own.rows, own.columns, own.dtype});
  forward_dispatched({own, own_logits.tensor()}, sizes, own_output.tensor());
  gather_shares(own_output.tensor(), *sharing, output);
}

// Rows of this rank → their results, complete on every rank of a TP group.
void MoeRunner::forward_dispatched(const Rows& own, RowCounts sizes, const Tensor& output) {
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
  // The routed scaling factor multiplies the routed output here (experts-and-oracles.md, 0, 8).
  // Shared experts add theirs here, while it is as partial as this one (11.2).
  reduce(output);
}

// One all-reduce over TP, where the sum is still partial (11.2).
void MoeRunner::reduce(const Tensor& output) {
  const FusedMoEParallelConfig& parallel = config_.parallel;
  const bool is_partial = !config_.output_is_reduced && !parallel.is_sequence_parallel() &&
                          (parallel.tp_size > 1 || parallel.ep_size > 1);
  if (is_partial && config_.groups.tp.size() > 1) {
    config_.groups.tp.all_reduce(output, ReduceOp::sum, output);
  }
}

Communicator* MoeRunner::sharing_group() const {
  if (config_.parallel.is_sequence_parallel()) return &config_.groups.tp;
  return config_.parallel.pcp_size > 1 ? &config_.groups.pcp : nullptr;
}

}  // namespace moe
