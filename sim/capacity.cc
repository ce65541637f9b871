// The first step that is too large is named with what fills it: where ranks of a trace were merged,
// a larger dp is the way out.

#include "sim/capacity.h"

#include "backends/config/capacity_rules.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/backend_choice.h"
#include "sim/dp_chunks.h"

namespace moe::sim {
namespace {

// "step 3: DP rank 1 has 300 tokens"; empty: every step fits.
std::string first_excess(const Scenario& scenario, const WorldInputs& inputs, Count most) {
  for (int step = 0; step < inputs.num_steps(); ++step) {
    const RowCounts tokens = inputs.tokens(step);
    for (int rank = 0; rank < static_cast<int>(tokens.size()); ++rank) {
      const Count count = tokens[static_cast<std::size_t>(rank)];
      if (count <= most) continue;
      const bool is_trace = std::holds_alternative<TraceRouting>(scenario.routing);
      return text("step ", step, ": DP rank ", rank, " has ", count, " tokens",
                  is_trace ? text(" with the trace on dp ", scenario.world.dp) : "");
    }
  }
  return "";
}

// Where the number comes from, as max_num_tokens has it.
std::string source_of_room(const Scenario& scenario, const Capabilities& capabilities,
                           const Profile& profile) {
  if (has_dp_chunks(profile) && !capabilities.fixed_capacity->is_of_scheduler) {
    return scenario.dp_chunking
               ? "dp_chunking.rows_max"
               : text("VLLM_MOE_DP_CHUNK_SIZE under profile ", profile.name,
                      ", which calls it in no chunks; dp_chunking.rows_max sets another");
  }
  if (scenario.max_num_batched_tokens) return "capacity.max_num_batched_tokens";
  if (scenario.traced_max_num_batched_tokens) return "the trace's max_num_batched_tokens";
  return "its default; capacity.max_num_batched_tokens sets another";
}

}  // namespace

void check_capacity(const Scenario& scenario, const WorldInputs& inputs) {
  if (!scenario.max_num_batched_tokens) return;
  const Count most = *scenario.max_num_batched_tokens;
  const std::string excess = first_excess(scenario, inputs, most);
  if (excess.empty()) return;
  throw ScenarioError(text(scenario.place_of("capacity.max_num_batched_tokens"),
                           ": capacity.max_num_batched_tokens: ", most, ", but ", excess));
}

void check_capacity(const Scenario& scenario, const WorldInputs& inputs, const Backend& backend,
                    const RunLine& line) {
  if (!backend.capabilities.fixed_capacity || dp_chunks_of(scenario, line)) return;
  const Profile& profile = profile_named(line.profile);
  const Count most = max_num_tokens(scenario, backend.capabilities, profile);
  const std::string excess = first_excess(scenario, inputs, most);
  if (excess.empty()) return;
  throw ScenarioError(text(scenario.path.empty() ? scenario.name : scenario.path, ": backend ",
                           line.backend, " takes at most ", most, " tokens of a rank (",
                           source_of_room(scenario, backend.capabilities, profile), "), but ",
                           excess));
}

}  // namespace moe::sim
