// ExpertsDeployment: all that vLLM's backend oracles ask of a deployment (FusedMoEConfig, platform,
// environment), as plain data; and ParallelTraits, what they derive from its parallel part.
// Pure: nothing is probed, nobody's environment is read.

#pragma once

#include <optional>
#include <string>

#include "backends/capabilities.h"
#include "backends/oracle/deployment_words.h"
#include "backends/oracle/oracle_environment.h"
#include "backends/parallel/rank_grid.h"

namespace moe {

struct ExpertsDeployment {
  OraclePlatform platform = OraclePlatform::cuda;
  DeviceCapability capability = {9, 0};
  LibrarySet libraries = {};

  ParallelSizes sizes = {};
  bool enable_expert_parallel = false;
  bool sequence_parallel = false;
  std::string all2all_backend = "allgather_reducescatter";
  bool enable_eplb = false;

  QuantScheme quant = {"none"};
  bool allow_vllm_cutlass = false;  // fp8: the caller's quantisation method may use them
  MoEActivation activation = MoEActivation::silu;
  RouterKind router = RouterKind::softmax_renormalize;
  std::optional<RoutingMethod> routing_method = {};  // none: as vLLM derives it from the router
  DType router_logits_dtype = DType::bf16;
  Count hidden_size = 4096;
  Count intermediate_size = 14336;  // of one rank's experts
  bool has_bias = false;
  bool has_swiglu_limit = false;
  bool enable_lora = false;
  bool batch_invariant = false;

  std::string moe_backend = "auto";
  OracleEnvironment environment = {};
};

RoutingMethod routing_method_of(const Profile& profile, const ExpertsDeployment& deployment);

// What predicates ask of FusedMoEParallelConfig.
struct ParallelTraits {
  int dp_size = 1;
  int ep_size = 1;
  bool use_all2all_kernels = false;
  bool use_ag_rs_all2all_kernels = false;
  bool use_flashinfer_nvlink_kernels = false;  // one-sided or two-sided
  bool use_deepep_ht_kernels = false;
  bool use_deepep_v2_kernels = false;
  bool use_batched_activation_format = false;
  bool enable_eplb = false;

  ActivationFormat format() const {
    return use_batched_activation_format ? ActivationFormat::batched_experts
                                         : ActivationFormat::standard;
  }
  bool operator==(const ParallelTraits&) const = default;
};
// REQUIRES an all2all backend that some profile knows.
ParallelTraits parallel_traits_of(const Profile& profile, const ExpertsDeployment& deployment);

// "9.0"; a number that a person may give back.
std::string capability_text(const DeviceCapability& capability);

// vLLM's "standard", "batched_experts".
std::string_view name_of(ActivationFormat format);

// What an installation of vLLM's own images has on a platform.
LibrarySet usual_libraries(OraclePlatform platform);

}  // namespace moe
