// FusedMoEParallelConfig: how a MoE layer of a rank is parallel, and the groups of that rank
// (vLLM: fused_moe/config.py; experts-and-oracles.md, 1.1). Read by runner, backends and worlds.

#pragma once

#include <span>
#include <vector>

#include "backends/parallel/rank_grid.h"
#include "backends/parallel/sharing.h"
#include "comm/communicator.h"

namespace moe {

// What a deployment asks for.
struct Deployment {
  ParallelSizes sizes;
  bool enable_expert_parallel = true;
  bool sequence_parallel = false;
};

// tp is the tensor split of the experts: with EP none, without EP over all DP x PCP x TP ranks.
struct FusedMoEParallelConfig {
  int tp_size = 1;
  int tp_rank = 0;
  int pcp_size = 1;
  int pcp_rank = 0;
  int dp_size = 1;
  int dp_rank = 0;
  int ep_size = 1;
  int ep_rank = 0;
  int sp_size = 1;
  bool use_ep = false;

  bool is_sequence_parallel() const { return sp_size > 1; }
  bool operator==(const FusedMoEParallelConfig&) const = default;
};

FusedMoEParallelConfig make_parallel_config(const Deployment& deployment, int rank);

// One rank's endpoints. Kinds with the same members may share one. LIFETIME: whoever built them
// keeps them.
struct ParallelGroups {
  Communicator& tp;
  Communicator& pcp;
  Communicator& dp;
  Communicator& ep;
  SharingTags* sharing = nullptr;  // tags of what is reduced over them; null where nobody looks
};

// The group over which rows are dispatched: EP where tokens are split over TP (sequence parallel),
// else DP, and PCP in its place where there is one DP rank (vLLM: the AG/RS manager).
Communicator& dispatch_group(const ParallelGroups& groups, const FusedMoEParallelConfig& parallel);

// This rank's number in that group.
int dispatch_rank(const FusedMoEParallelConfig& parallel);

// The axes of more than one rank that this group joins.
Axes dispatch_axes(const FusedMoEParallelConfig& parallel);

// Rows of each rank of that group. num_tokens_across_dp: tokens of each DP rank.
std::vector<Count> dispatch_sizes(const FusedMoEParallelConfig& parallel,
                                  RowCounts num_tokens_across_dp);

// Rows of each rank of DP x sp where each DP rank's tokens are split sp ways: ceil(n / sp), sp
// times. ORDER: DP first (vLLM: sp_local_sizes).
std::vector<Count> sp_sizes(RowCounts num_tokens_across_dp, int sp);

}  // namespace moe
