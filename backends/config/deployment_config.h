// DeploymentConfig: what a deployment says to vLLM's configuration, as far as the distribution
// layer asks (distribution-layer.md, 6.1). Plain data with vLLM's defaults; validation.h judges it.

#pragma once

#include <optional>
#include <string>

#include "backends/parallel/rank_grid.h"
#include "backends/profile.h"
#include "kernels/base/dtype.h"

namespace moe {

struct EplbSettings {
  Count window_size = 1000;
  Count step_interval = 3000;
  int num_redundant_experts = 0;
  bool log_balancedness = false;
  Count log_balancedness_interval = 1;
  bool use_async = true;
  std::string policy = "default";
  std::string communicator = {};  // empty: chosen by eplb_communicator_of
};

enum class LoadBalancing { internal, hybrid, external };

struct DeploymentConfig {
  std::string all2all_backend = "allgather_reducescatter";
  Platform platform = Platform::cuda;
  ParallelSizes sizes = {};
  std::optional<int> data_parallel_size_local = {};  // none: all of them
  int data_parallel_rank = 0;
  LoadBalancing load_balancing = LoadBalancing::internal;
  bool enable_expert_parallel = false;
  bool enable_eplb = false;
  bool enable_elastic_ep = false;
  bool enable_dbo = false;
  bool enable_lora = false;
  bool enable_fault_tolerance = false;
  EplbSettings eplb = {};
  int ubatch_size = 0;
  int dbo_decode_token_threshold = 32;
  int dbo_prefill_token_threshold = 512;
  std::optional<bool> disable_nccl_for_dp_synchronization = {};
  bool async_scheduling = false;
  bool has_nixl = false;  // its library is installed
  bool aiter_fused_moe = false;
  bool aiter_shared_experts = false;
  bool with_47778 = false;  // the proposed CPU collectives and the rule that comes with them
  Count num_experts = 0;    // 0: nobody says
  Count intermediate_size = 0;
};

inline bool use_ubatching(const DeploymentConfig& config) {
  return config.enable_dbo || config.ubatch_size > 1;
}
inline int num_ubatches(const DeploymentConfig& config) {
  return config.enable_dbo ? 2 : config.ubatch_size;
}

// Which communicator moves the weights of experts.
std::string eplb_communicator_of(const DeploymentConfig& config);

// Whether ranks agree on their batches over Gloo rather than NCCL.
inline bool synchronises_over_gloo(const DeploymentConfig& config) {
  return config.disable_nccl_for_dp_synchronization.value_or(config.async_scheduling);
}

}  // namespace moe
