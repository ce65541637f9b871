// The scheduler's table and the order in which vLLM corrects it (config/scheduler.py,
// engine/arg_utils.py).

#include "backends/config/capacity_rules.h"

#include <algorithm>

#include "backends/config/era.h"
#include "backends/config/predicates.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

struct DefaultsRow {
  Hardware hardware;
  Count llm_class;
  Count api_server;
  Count seqs_llm_class;
  Count seqs_api_server;
};

// A CPU's numbers are for each rank of PP x TP.
constexpr DefaultsRow defaults[] = {
    {Hardware::gpu_large, 16384, 8192, 1024, 1024},
    {Hardware::gpu_other, 8192, 2048, 256, 256},
    {Hardware::tpu_v6e, 2048, 1024, num_seqs_default, num_seqs_default},
    {Hardware::tpu_v5e, 1024, 512, num_seqs_default, num_seqs_default},
    {Hardware::tpu_v5p, 512, 256, num_seqs_default, num_seqs_default},
    {Hardware::cpu, 4096, 2048, 256, 128},
};

}  // namespace

SchedulerDefaults scheduler_defaults(Hardware hardware, Usage usage, int world_size) {
  const auto* row = std::ranges::find(defaults, hardware, &DefaultsRow::hardware);
  const Count times = hardware == Hardware::cpu ? world_size : 1;
  return usage == Usage::llm_class
             ? SchedulerDefaults{row->llm_class * times, row->seqs_llm_class * times}
             : SchedulerDefaults{row->api_server * times, row->seqs_api_server * times};
}

SchedulerDefaults scheduler_of(const Profile& profile, const DeploymentConfig& config,
                               const SchedulerRequest& request) {
  const SchedulerDefaults table =
      scheduler_defaults(request.hardware, request.usage, config.sizes.pp * config.sizes.tp);
  SchedulerDefaults chosen{0, request.max_num_seqs.value_or(table.max_num_seqs)};
  if (request.max_num_batched_tokens) {
    chosen.max_num_batched_tokens = *request.max_num_batched_tokens;
  } else {
    Count tokens = use_batched_dp_moe(profile, config) ? batched_tokens_for_batched_dp
                                                       : table.max_num_batched_tokens;
    if (request.prefers_throughput) tokens *= 2;
    if (!request.chunked_prefill) tokens = std::max(tokens, request.max_model_len);
    chosen.max_num_batched_tokens = std::min(tokens, chosen.max_num_seqs * request.max_model_len);
  }
  if (!request.max_num_seqs) {
    chosen.max_num_seqs = std::min(chosen.max_num_seqs, chosen.max_num_batched_tokens);
  }
  return chosen;
}

bool has_dp_chunks(const Profile& profile) { return era_of(profile) < Era::post_39107; }

Count max_num_tokens_of(const Profile& profile, const CapacityRequest& request) {
  const bool is_chunked = has_dp_chunks(profile);
  const Count tokens =
      is_chunked ? request.chunk_size_variable : request.scheduler_max_num_batched_tokens;
  if (tokens > 0) return tokens;
  throw ScenarioError(text("max_num_tokens ", tokens, " under profile ", profile.name, " (from ",
                           is_chunked ? "VLLM_MOE_DP_CHUNK_SIZE" : "max_num_batched_tokens",
                           "): it must be above 0"));
}

}  // namespace moe
