// What vLLM derives from a deployment before a row moves (distribution-layer.md, 2.1, 6.3, 6.4):
// pure functions of profile, deployment and the traits of its backend.

#pragma once

#include <string_view>

#include "backends/config/backend_traits.h"
#include "backends/config/deployment_config.h"

namespace moe {

// Which reading of use_sequence_parallel_moe is in force. of_profile: the file versions.
// without_dp: #48036's, between July 2026 and #48849. excerpt_36294: that pull request's text,
// which names both FlashInfer backends and asks for nothing else; every file version contradicts
// it.
enum class SequenceParallelRule { of_profile, without_dp, excerpt_36294 };

bool use_sequence_parallel_moe(const Profile& profile, const DeploymentConfig& config,
                               SequenceParallelRule rule = SequenceParallelRule::of_profile);

// Whether the default capacity is that of batched backends.
bool use_batched_dp_moe(const Profile& profile, const DeploymentConfig& config);

// Whether a communicator of the EP group gets an all2all manager.
bool use_all2all(const Profile& profile, const DeploymentConfig& config);

// Whether a group's unique name ("ep:0") is taken for the EP group's. Older code looks for "ep"
// anywhere in it.
bool is_ep_group_name(const Profile& profile, std::string_view unique_name);

// The properties of FusedMoEParallelConfig that choose kernels.
struct KernelChoice {
  bool use_all2all_kernels = false;
  Transport transport = Transport::none;   // none: no all2all kernels
  bool use_ag_rs_all2all_kernels = false;  // before #36294: use_naive_all2all_kernels
  bool use_batched_activation_format = false;
  // Its own question, though today it has the same answer (#40412).
  bool needs_round_robin_routing_tables = false;
};
// is_sequence_parallel: the layer's, which the model opts in to.
KernelChoice kernel_choice(const Profile& profile, const DeploymentConfig& config,
                           bool is_sequence_parallel);

// "use_ag_rs_all2all_kernels" or what it was called before.
std::string_view ag_rs_property_name(const Profile& profile);

// The backend of FusedMoEParallelConfig.make_no_parallel.
std::string_view backend_without_parallelism(const Profile& profile);

}  // namespace moe
