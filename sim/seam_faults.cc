// Names of the table to decorators, seam by seam.
// A fault that all ranks must have, lest they wait for each other, has no parameter for the rank.

#include "sim/seam_faults.h"

#include <algorithm>
#include <utility>

#include "backends/faulty_dispatch.h"
#include "backends/faulty_expert_ids.h"
#include "backends/faulty_quantization.h"
#include "backends/faulty_weights.h"
#include "backends/faulty_workspace.h"

namespace moe::sim {

std::unique_ptr<PrepareFinalize> with_dispatch_fault(std::unique_ptr<PrepareFinalize> inner,
                                                     const FaultSite& site,
                                                     const FaultSpec& fault) {
  if (fault.name == "MF-43") return with_first_of_gather(std::move(inner));
  if (fault.name == "MF-25") return with_reinterpreted_ids(std::move(inner));
  if (fault.name == "MF-10") {
    const bool is_doubled = fault_parameter(fault, "times") == 2;
    return with_swizzle_lie(std::move(inner), site.memory,
                            is_doubled ? SwizzleLie::doubled : SwizzleLie::forgotten);
  }
  if (fault.name == "MF-11") return with_stride_ignored(std::move(inner), site.memory);
  if (fault.name == "MF-12") return with_truncated_scales(std::move(inner), site.memory);
  if (fault.name == "MF-14") {
    const float limit = number_format_row(NumberFormat::e4m3fn).limit;
    return with_local_amax(std::move(inner), site.memory, limit);
  }
  const FaultyDispatchSite dispatch{site.groups, site.parallel, site.memory};
  if (fault.name == "MF-01") return with_extra_all_reduce(std::move(inner), dispatch);
  if (fault.name == "MF-21") return with_pads_to_expert_0(std::move(inner), dispatch);
  if (fault.name == "MF-15") {
    return with_dispatched_ids_in_combine(std::move(inner), dispatch, *site.experts);
  }
  if (fault.name == "MF-56") return with_own_messages_first(std::move(inner), dispatch);
  if (fault.name == "MF-61") return with_extra_gather(std::move(inner), dispatch);
  return inner;
}

std::unique_ptr<Experts> with_workspace_fault(std::unique_ptr<Experts> inner, const FaultSite& site,
                                              const FaultSpec& fault) {
  if (!fault_is_on_rank(fault, site.rank)) return inner;
  if (fault.name == "MF-27") {
    return with_workspace_by_dp_size(std::move(inner), site.memory, site.parallel.dp_size);
  }
  if (fault.name == "MF-54") return with_input_overwritten(std::move(inner), site.memory);
  if (fault.name == "untrimmed_width") {
    return with_untrimmed_width(std::move(inner), site.memory, fault_parameter(fault, "multiple"));
  }
  return inner;
}

std::unique_ptr<ExpertIdMap> with_faults(std::unique_ptr<ExpertIdMap> inner, const FaultSite& site,
                                         const std::vector<FaultSpec>& faults) {
  const auto num_local =
      static_cast<int>(std::ranges::count_if(site.expert_map, [](int slot) { return slot >= 0; }));
  for (const FaultSpec& fault : faults) {
    if (!fault_is_on_rank(fault, site.rank)) continue;
    if (fault.name == "MF-16") inner = with_map_skipped(std::move(inner), site.memory, num_local);
    if (fault.name == "MF-20") {
      inner = with_masked_wrapped(std::move(inner), site.memory, site.expert_map.back());
    }
    if (fault.name == "MF-23") {
      inner = with_first_of_block(std::move(inner), site.memory, fault_parameter(fault, "block"));
    }
  }
  return inner;
}

std::unique_ptr<Router> with_faults(std::unique_ptr<Router> inner, const FaultSite& site,
                                    const std::vector<FaultSpec>& faults) {
  for (const FaultSpec& fault : faults) {
    if (!fault_is_on_rank(fault, site.rank)) continue;
    if (fault.name == "MF-09") {
      const auto num_experts = static_cast<Count>(site.expert_map.size());
      inner = with_negative_logits_clamped(std::move(inner), site.memory, num_experts);
    }
    if (fault.name == "MF-24") inner = with_duplicate_choices(std::move(inner), site.memory);
  }
  return inner;
}

}  // namespace moe::sim
