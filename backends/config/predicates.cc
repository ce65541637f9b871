// The formulas, each over traits and sizes.
// Where a formula changed over time, the profile's era chooses.

#include "backends/config/predicates.h"

namespace moe {

using enum Era;

bool use_sequence_parallel_moe(const Profile& profile, const DeploymentConfig& config,
                               SequenceParallelRule rule) {
  const BackendTraits& traits = traits_of(config.all2all_backend);
  const bool is_capable = holds(traits.sequence_parallel, profile);
  if (rule == SequenceParallelRule::excerpt_36294) {
    const bool is_flashinfer = traits.transport == Transport::flashinfer_one_sided ||
                               traits.transport == Transport::flashinfer_two_sided;
    return is_capable || is_flashinfer;
  }
  const bool needs_dp = rule == SequenceParallelRule::of_profile;
  return is_capable && config.enable_expert_parallel && config.sizes.tp > 1 &&
         (config.sizes.dp > 1 || !needs_dp);
}

bool use_batched_dp_moe(const Profile& profile, const DeploymentConfig& config) {
  return holds(traits_of(config.all2all_backend).batched_dp, profile) &&
         config.enable_expert_parallel && config.sizes.dp > 1;
}

bool use_all2all(const Profile& profile, const DeploymentConfig& config) {
  if (config.sizes.dp > 1) return true;
  if (era_of(profile) < late_2026) return false;
  return use_sequence_parallel_moe(profile, config) ||
         (config.enable_expert_parallel && config.sizes.pcp > 1);
}

bool is_ep_group_name(const Profile& profile, std::string_view unique_name) {
  if (era_of(profile) < late_2026) return unique_name.find("ep") != std::string_view::npos;
  return unique_name.substr(0, unique_name.find(':')) == "ep";
}

KernelChoice kernel_choice(const Profile& profile, const DeploymentConfig& config,
                           bool is_sequence_parallel) {
  const ParallelSizes& sizes = config.sizes;
  const BackendTraits& traits = traits_of(config.all2all_backend);
  const bool use_ep = sizes.dp * sizes.pcp * sizes.tp > 1 && config.enable_expert_parallel;
  const bool is_late = era_of(profile) >= late_2026;
  const bool moves = sizes.dp > 1 || (is_late && (sizes.pcp > 1 || is_sequence_parallel));
  KernelChoice choice{.use_all2all_kernels = use_ep && moves};
  if (!choice.use_all2all_kernels) return choice;
  choice.transport = traits.transport;
  const bool counts_naive =
      era_of(profile) < post_36294 && traits.transport == Transport::broadcast;
  choice.use_ag_rs_all2all_kernels =
      counts_naive || traits.transport == Transport::allgather_reducescatter;
  choice.use_batched_activation_format = holds(traits.batched_format, profile);
  choice.needs_round_robin_routing_tables = traits.needs_routing_tables;
  return choice;
}

std::string_view ag_rs_property_name(const Profile& profile) {
  return era_of(profile) < post_36294 ? "use_naive_all2all_kernels" : "use_ag_rs_all2all_kernels";
}

std::string_view backend_without_parallelism(const Profile& profile) {
  return era_of(profile) < post_36294 ? "naive" : "allgather_reducescatter";
}

}  // namespace moe
