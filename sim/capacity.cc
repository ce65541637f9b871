// The first step that is too large is named with what fills it: where ranks of a trace were merged,
// a larger dp is the way out.

#include "sim/capacity.h"

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/backend_choice.h"

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
  if (!backend.capabilities.fixed_capacity) return;
  const Count most = max_num_tokens(scenario, backend.capabilities, profile_named(line.profile));
  const std::string excess = first_excess(scenario, inputs, most);
  if (excess.empty()) return;
  const bool is_traced = !scenario.max_num_batched_tokens && scenario.traced_max_num_batched_tokens;
  throw ScenarioError(text(scenario.path.empty() ? scenario.name : scenario.path, ": backend ",
                           line.backend, " takes at most ", most, " tokens of a rank",
                           is_traced ? " (the trace's max_num_batched_tokens)" : "", ", but ",
                           excess));
}

}  // namespace moe::sim
