// The table of FusedMoEParallelConfig.make, and the sizes that go with a dispatch.
// Sizes follow from token counts alone, so all ranks agree without a word.

#include "backends/parallel/parallel_config.h"

#include "kernels/base/check.h"

namespace moe {

FusedMoEParallelConfig make_parallel_config(const Deployment& deployment, int rank) {
  const ParallelSizes& sizes = deployment.sizes;
  const RankCoordinates at = coordinates_of(sizes, rank);
  const int flat = sizes.dp * sizes.pcp * sizes.tp;
  const int flat_rank = (at.dp * sizes.pcp + at.pcp) * sizes.tp + at.tp;
  FusedMoEParallelConfig config{.pcp_size = sizes.pcp,
                                .pcp_rank = at.pcp,
                                .dp_size = sizes.dp,
                                .dp_rank = at.dp,
                                .sp_size = deployment.sequence_parallel ? sizes.tp : 1,
                                .use_ep = flat > 1 && deployment.enable_expert_parallel};
  (config.use_ep ? config.ep_size : config.tp_size) = flat;
  (config.use_ep ? config.ep_rank : config.tp_rank) = flat_rank;
  return config;
}

Communicator& dispatch_group(const ParallelGroups& groups, const FusedMoEParallelConfig& parallel) {
  if (parallel.is_sequence_parallel()) return groups.ep;
  return parallel.dp_size > 1 ? groups.dp : groups.pcp;
}

int dispatch_rank(const FusedMoEParallelConfig& parallel) {
  if (parallel.is_sequence_parallel()) return parallel.ep_rank;
  return parallel.dp_size > 1 ? parallel.dp_rank : parallel.pcp_rank;
}

Axes dispatch_axes(const FusedMoEParallelConfig& parallel) {
  Axes axes;
  const bool is_sp = parallel.is_sequence_parallel();
  if (parallel.dp_size > 1) axes.push_back(Axis::dp);
  if (parallel.pcp_size > 1 && (is_sp || parallel.dp_size == 1)) axes.push_back(Axis::pcp);
  if (is_sp) axes.push_back(Axis::tp);
  return axes;
}

std::vector<Count> dispatch_sizes(const FusedMoEParallelConfig& parallel,
                                  RowCounts num_tokens_across_dp) {
  const bool by_pcp = parallel.dp_size == 1 && !parallel.is_sequence_parallel();
  return sp_sizes(num_tokens_across_dp, by_pcp ? parallel.pcp_size : parallel.sp_size);
}

std::vector<Count> sp_sizes(RowCounts num_tokens_across_dp, int sp) {
  std::vector<Count> sizes;
  for (const Count num_tokens : num_tokens_across_dp) {
    sizes.insert(sizes.end(), static_cast<std::size_t>(sp), (num_tokens + sp - 1) / sp);
  }
  return sizes;
}

}  // namespace moe
