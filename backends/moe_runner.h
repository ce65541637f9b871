// MoeRunner: the steps around a MoeLayer on one rank (vLLM: fused_moe/runner/moe_runner.py;
// distribution-layer.md, 11.1 and 11.2): which rows are this rank's, dispatch in line where the
// layer has none of its own, the routed scaling factor, shared experts, and the reduction over TP.

#pragma once

#include "backends/backend.h"
#include "backends/shared_experts.h"

namespace moe {

// LIFETIME: the references outlive the runner.
struct MoeRunnerConfig {
  const ParallelGroups& groups;
  FusedMoEParallelConfig parallel;
  Memory& memory;
  Kernels& kernels;
  bool output_is_reduced = false;   // the layer's capability
  float routed_scaling_factor = 1;  // of the routed output
  Memory* expert_output = nullptr;  // where rows lie that the runner itself combines; null: memory
};

class MoeRunner {
 public:
  // in_line: null where the layer dispatches (make_in_line_manager). shared_experts: null where
  // there are none; whole under sequence parallelism, whose ranks hold different tokens, else this
  // rank's TP shard.
  MoeRunner(const MoeRunnerConfig& config, MoeLayer layer, std::unique_ptr<All2AllManager> in_line,
            std::unique_ptr<SharedExperts> shared_experts = nullptr);

  // hidden_states [tokens of this DP rank, hidden_size] → output, the same shape and the same rows
  // on all ranks of a TP and a PCP group. router_logits has one row per token.
  void forward(const Tensor& hidden_states, const Tensor& router_logits,
               RowCounts num_tokens_across_dp, const Tensor& output);

  // The same rows as contiguous micro-batches (vLLM: dual-batch overlap): all of them are
  // dispatched before the first is combined, in one order on all ranks. counts: rows of each
  // micro-batch; REQUIRES every DP rank to cut as many rows in the same way, as the agreed padding
  // makes it.
  void forward_micro_batches(const Tensor& hidden_states, const Tensor& router_logits,
                             RowCounts counts, const Tensor& output);

 private:
  // What goes on the way from all tokens of the DP rank to the layer, in step with its logits.
  struct Rows {
    Tensor hidden_states;
    Tensor router_logits;
  };

  // A call whose rows are under way. The tensors of the call itself stay the caller's.
  struct Pending {
    Rows own;
    std::vector<Count> sizes;
    Buffer shared;
    Buffer own_states;  // of a sharing group's rank
    Buffer own_logits;
    std::optional<Dispatched> in_line;
    std::optional<MoeLayer::Pending> layer;  // none: in line
  };
  Pending begin(const Tensor& hidden_states, const Tensor& router_logits,
                RowCounts num_tokens_across_dp);
  void finish(Pending pending, const Tensor& output);

  // The group whose ranks hold a part each of the DP rank's tokens; null: all hold them all.
  Communicator* sharing_group() const;
  void finish_dispatched(Pending pending, const Tensor& output);
  void scale(const Tensor& output, const Tensor& shared);
  void add_shared(const Tensor& shared, const Tensor& output);
  void tag_shared(const Tensor& shared);
  void reduce(const Tensor& output);
  void reduce_over_tp(const Tensor& rows);
  bool is_partial() const;

  MoeRunnerConfig config_;
  MoeLayer layer_;
  std::unique_ptr<All2AllManager> in_line_;
  std::unique_ptr<SharedExperts> shared_experts_;
};

}  // namespace moe
