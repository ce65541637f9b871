// The tables as conditions over traits, in vLLM's order (fused_moe/all2all_utils.py,
// runner/shared_experts.py).

#include "backends/config/layer_choices.h"

namespace moe {
namespace {

std::optional<Count> capacity_of(const BackendTraits& traits, const DeploymentConfig& config,
                                 const FactoryRequest& request) {
  const Count sp = request.is_sequence_parallel ? config.sizes.tp : 1;
  switch (traits.capacity) {
    case CapacitySource::max_num_tokens:
      return request.max_num_tokens;
    case CapacitySource::scheduler:
      return request.scheduler_max_num_batched_tokens;
    case CapacitySource::scheduler_over_sp:
      return (request.max_num_tokens + sp - 1) / sp;
    case CapacitySource::any:
    case CapacitySource::step_maximum:
      break;
  }
  return std::nullopt;
}

}  // namespace

PrepareFinalizeChoice prepare_finalize_choice(const Profile& profile,
                                              const DeploymentConfig& config,
                                              const FactoryRequest& request) {
  const ParallelSizes& sizes = config.sizes;
  const KernelChoice kernels = kernel_choice(profile, config, request.is_sequence_parallel);
  const int ep_size = sizes.dp * sizes.pcp * sizes.tp;
  if (!kernels.use_all2all_kernels && sizes.dp > 1) {
    if (!request.allows_new_interface) return {};
    return {.kind = PrepareFinalizeKind::of_transport,
            .transport = Transport::allgather_reducescatter,
            .num_dispatchers = ep_size};
  }
  if (!kernels.use_all2all_kernels) return {.kind = PrepareFinalizeKind::no_ep};
  const BackendTraits& traits = traits_of(config.all2all_backend);
  // pplx is told that DP has the size of TP: TP replicas share out the sending.
  const bool by_tp = traits.transport == Transport::pplx;
  return {.kind = PrepareFinalizeKind::of_transport,
          .transport = traits.transport,
          .is_batched = kernels.use_batched_activation_format,
          .with_routing_tables = request.is_round_robin && kernels.needs_round_robin_routing_tables,
          .num_dispatchers = by_tp ? ep_size / sizes.tp : ep_size,
          .max_tokens_per_rank = capacity_of(traits, config, request)};
}

SharedExpertOrder shared_expert_order(const DeploymentConfig& config,
                                      const SharedExpertQuestion& question) {
  const BackendTraits& traits = traits_of(config.all2all_backend);
  const bool eplb_forbids =
      config.enable_eplb && traits.shared_overlap != SharedOverlap::also_under_eplb;
  const bool is_forbidden = eplb_forbids || traits.shared_overlap == SharedOverlap::never ||
                            question.is_shard_sequence_parallel;
  if (is_forbidden) return SharedExpertOrder::no_overlap;
  if (traits.is_async) return SharedExpertOrder::internal_overlapped;
  const bool is_alike = config.platform == Platform::cuda || config.platform == Platform::rocm;
  const bool is_small = question.rows <= question.stream_token_threshold;
  return is_alike && !question.stream_is_disabled && is_small ? SharedExpertOrder::multi_stream
                                                              : SharedExpertOrder::serial;
}

LastReduction last_reduction(const ReductionQuestion& question) {
  if (!question.reduce_results || question.is_sequence_parallel) return LastReduction::none;
  if (question.output_is_reduced) {
    return question.shared_is_complete ? LastReduction::none : LastReduction::shared_alone;
  }
  return question.expert_ranks > 1 ? LastReduction::one_over_both : LastReduction::none;
}

}  // namespace moe
