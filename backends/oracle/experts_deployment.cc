// Parallel traits through the same predicates that the distribution layer asks (config/), so that
// both sides of a layer agree on what a deployment means.

#include "backends/oracle/experts_deployment.h"

#include "backends/config/predicates.h"
#include "backends/config/validation.h"
#include "backends/parallel/parallel_config.h"
#include "kernels/base/text.h"

namespace moe {

RoutingMethod routing_method_of(const Profile& profile, const ExpertsDeployment& deployment) {
  return deployment.routing_method.value_or(routing_method_of(profile, deployment.router));
}

ParallelTraits parallel_traits_of(const Profile& profile, const ExpertsDeployment& deployment) {
  const FusedMoEParallelConfig parallel =
      make_parallel_config({.sizes = deployment.sizes,
                            .enable_expert_parallel = deployment.enable_expert_parallel,
                            .sequence_parallel = deployment.sequence_parallel},
                           0);
  const DeploymentConfig config{
      .all2all_backend = std::string(configured_backend(profile, deployment.all2all_backend)),
      .sizes = deployment.sizes,
      .enable_expert_parallel = deployment.enable_expert_parallel};
  const KernelChoice kernels = kernel_choice(profile, config, parallel.is_sequence_parallel());
  return {.dp_size = parallel.dp_size,
          .ep_size = parallel.ep_size,
          .use_all2all_kernels = kernels.use_all2all_kernels,
          .use_ag_rs_all2all_kernels = kernels.use_ag_rs_all2all_kernels,
          .use_flashinfer_nvlink_kernels = kernels.transport == Transport::flashinfer_one_sided ||
                                           kernels.transport == Transport::flashinfer_two_sided,
          .use_deepep_ht_kernels = kernels.transport == Transport::deepep_high_throughput,
          .use_deepep_v2_kernels = kernels.transport == Transport::deepep_v2,
          .use_batched_activation_format = kernels.use_batched_activation_format,
          .enable_eplb = deployment.enable_eplb};
}

std::string capability_text(const DeviceCapability& capability) {
  return text(capability.major, ".", capability.minor);
}

std::string_view name_of(ActivationFormat format) {
  return format == ActivationFormat::standard ? "standard" : "batched_experts";
}

LibrarySet usual_libraries(OraclePlatform platform) {
  using enum Library;
  switch (platform) {
    case OraclePlatform::cuda:
      return {flashinfer_cutlass, flashinfer_trtllm, flashinfer_cutedsl,
              deep_gemm,          triton_kernels,    cutlass_grouped_gemm};
    case OraclePlatform::rocm:
      return {aiter, triton_kernels};
    case OraclePlatform::cpu:
    case OraclePlatform::xpu:
    case OraclePlatform::tpu:
    case OraclePlatform::out_of_tree:
      break;
  }
  return {};
}

}  // namespace moe
