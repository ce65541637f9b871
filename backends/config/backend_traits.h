// BackendTraits: what vLLM's rules ask of a backend, name by name, with the eras in which it held.
// Rules read these columns and never a name (distribution-layer.md, 6, 8, 9.11, 11.3). What the
// emulated backends declare in capabilities.h says the same; a test holds the two together.

#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "backends/capabilities.h"
#include "backends/config/era.h"

namespace moe {

// Whose kernels move the rows: the flags use_…_kernels of vLLM's FusedMoEParallelConfig.
enum class Transport {
  none,
  broadcast,
  allgather_reducescatter,
  pplx,
  deepep_high_throughput,
  deepep_low_latency,
  deepep_v2,
  nixl,
  mori,
  flashinfer_two_sided,
  flashinfer_one_sided
};
std::string_view name_of(Transport transport);

// Where a backend's capacity per rank comes from; any: it needs none.
enum class CapacitySource { any, max_num_tokens, step_maximum, scheduler, scheduler_over_sp };

// What a rank does with shared experts while rows travel, as far as the backend decides it.
enum class SharedOverlap { as_rules_say, also_under_eplb, never };

struct BackendTraits {
  std::string_view name;
  Transport transport = Transport::none;
  bool is_in_line = false;  // the communicator's own dispatch and combine work
  std::optional<EraSpan> sequence_parallel = {};
  std::optional<EraSpan> batched_format = {};
  std::optional<EraSpan> batched_dp = {};  // 256 is its default capacity
  std::optional<EraSpan> micro_batches = {};
  std::optional<EraSpan> dp_chunked = {};
  bool needs_routing_tables = false;
  bool is_async = false;
  bool output_is_reduced = true;
  bool needs_host_counts = false;  // no CUDA graph where DP is above 1
  bool carries_lora = false;
  bool needs_aiter = false;
  bool is_fault_tolerant = false;
  CapacitySource capacity = CapacitySource::any;
  SharedOverlap shared_overlap = SharedOverlap::as_rules_say;
  WeightsAppliedBy weights_applied_by = WeightsAppliedBy::expert_rank;
};

// One row for every name that profile.h knows. ORDER: as all_backend_names.
std::span<const BackendTraits> all_backend_traits();
// REQUIRES a name that a profile knows.
const BackendTraits& traits_of(std::string_view backend);

// The words of all2all_backend in a profile whose column holds there.
std::vector<std::string_view> backends_with(const Profile& profile,
                                            std::optional<EraSpan> BackendTraits::*column);

// The backend that a deployment gets where it names none (#23964 made it AG/RS).
std::string_view default_backend_of(const Profile& profile);

inline bool holds(const std::optional<EraSpan>& span, const Profile& profile) {
  return span && span->covers(profile);
}

}  // namespace moe
