// What a layer is built of and what follows its combine (distribution-layer.md, 8, 11.2, 11.3):
// the outcome of vLLM's PrepareFinalize factory, the order of shared experts, the last reduction.

#pragma once

#include <optional>

#include "backends/config/predicates.h"
#include "kernels/base/dtype.h"

namespace moe {

// nothing: the runner dispatches in line. no_ep: quantise only.
enum class PrepareFinalizeKind { nothing, no_ep, of_transport };
struct PrepareFinalizeChoice {
  PrepareFinalizeKind kind = PrepareFinalizeKind::nothing;
  Transport transport = Transport::none;
  bool is_batched = false;
  bool with_routing_tables = false;
  int num_dispatchers = 1;
  std::optional<Count> max_tokens_per_rank = {};  // none: no capacity

  bool operator==(const PrepareFinalizeChoice&) const = default;
};

struct FactoryRequest {
  bool is_sequence_parallel = false;
  bool allows_new_interface = true;  // the caller takes an AG/RS object where EP is off
  bool is_round_robin = false;
  Count max_num_tokens = 256;
  Count scheduler_max_num_batched_tokens = 256;
};
PrepareFinalizeChoice prepare_finalize_choice(const Profile& profile,
                                              const DeploymentConfig& config,
                                              const FactoryRequest& request);

enum class SharedExpertOrder { no_overlap, internal_overlapped, multi_stream, serial };
struct SharedExpertQuestion {
  bool is_shard_sequence_parallel = false;
  bool stream_is_disabled = false;  // VLLM_DISABLE_SHARED_EXPERTS_STREAM
  Count rows = 1;
  Count stream_token_threshold = 256;
};
SharedExpertOrder shared_expert_order(const DeploymentConfig& config,
                                      const SharedExpertQuestion& question);

// What happens to routed rows and to the shared experts' after combine.
enum class LastReduction { none, shared_alone, one_over_both };
struct ReductionQuestion {
  bool output_is_reduced = false;
  bool is_sequence_parallel = false;
  int expert_ranks = 1;  // DP x PCP x TP
  bool reduce_results = true;
  bool shared_is_complete = false;
};
LastReduction last_reduction(const ReductionQuestion& question);

}  // namespace moe
