// How many rows a rank may hand to dispatch, and where vLLM takes that number from
// (distribution-layer.md, 6.5 and 6.6).

#pragma once

#include <optional>

#include "backends/config/deployment_config.h"
#include "kernels/base/dtype.h"

namespace moe {

constexpr Count batched_tokens_default = 2048;
constexpr Count batched_tokens_for_batched_dp = 256;
constexpr Count num_seqs_default = 128;

// On what vLLM runs, as far as its scheduler's defaults ask. gpu_large: 70 GiB or more, no A100.
enum class Hardware { gpu_large, gpu_other, tpu_v6e, tpu_v5e, tpu_v5p, cpu };
enum class Usage { llm_class, api_server };

struct SchedulerDefaults {
  Count max_num_batched_tokens = batched_tokens_default;
  Count max_num_seqs = num_seqs_default;

  bool operator==(const SchedulerDefaults&) const = default;
};
// The table: world_size is PP x TP, which only a CPU asks for.
SchedulerDefaults scheduler_defaults(Hardware hardware, Usage usage, int world_size);

struct SchedulerRequest {
  Hardware hardware = Hardware::gpu_large;
  Usage usage = Usage::api_server;
  std::optional<Count> max_num_batched_tokens = {};
  std::optional<Count> max_num_seqs = {};
  Count max_model_len = 8192;
  bool prefers_throughput = false;
  bool chunked_prefill = true;
};
// What the scheduler of the deployment gets: the table's numbers, or 256 where use_batched_dp_moe
// holds, unless the user says others.
SchedulerDefaults scheduler_of(const Profile& profile, const DeploymentConfig& config,
                               const SchedulerRequest& request);

// Whether layers are called in chunks (DP chunking, until #39107).
bool has_dp_chunks(const Profile& profile);

// FusedMoEConfig.max_num_tokens: until #39107 the environment's chunk size, then the scheduler's
// number. Throws ScenarioError for a number that is not above 0, as vLLM asserts.
struct CapacityRequest {
  Count chunk_size_variable = 256;  // VLLM_MOE_DP_CHUNK_SIZE
  Count scheduler_max_num_batched_tokens = batched_tokens_for_batched_dp;
};
Count max_num_tokens_of(const Profile& profile, const CapacityRequest& request);

}  // namespace moe
