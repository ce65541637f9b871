// Which backend a run line gets: its word, as the profile and the platform have it, and what the
// registry has under that name. Asked by whoever checks, runs or explains a line.

#pragma once

#include <string>

#include "comm/first_xpu_collectives.h"
#include "sim/scenario.h"

namespace moe::sim {

struct BackendChoice {
  BackendDecision decision;
  const Backend* backend = nullptr;  // null: an error, or vLLM had it and it is not emulated yet
  std::string absence;               // why it is null, empty where decision.error says it
  NaiveForm naive_form = NaiveForm::ep_group;
};

// What stands for vLLM's backend of that name here; null: nothing does.
const Backend* emulated_backend(std::string_view name);

// REQUIRES a line whose words are known: check_backend_name, the key table.
BackendChoice backend_choice(const Scenario& scenario, const RunLine& line);

// Where the line's groups run their collectives: on the world with the defect xpu-world-group of
// the profile or the scenario, on platform xpu alone.
CollectivesRun collectives_of(const Scenario& scenario, const RunLine& line);

// Why scales cannot travel as they should: an error of vLLM's first XPU communicator, whose
// dispatch takes none beside its rows (the same defect). Empty: they can, or none travel.
std::string scales_refusal(const Scenario& scenario, const RunLine& line, const Backend& backend);

// Rows that one rank may hand to a backend with fixed capacity; 0 for others. Where the profile has
// DP chunks the size of a chunk, else the scenario's max_num_batched_tokens, else that of the
// server that was recorded, else the backend's default.
Count max_num_tokens(const Scenario& scenario, const Capabilities& capabilities,
                     const Profile& profile);

// Why a backend cannot take the scenario; empty: it can. Rows that the runner gathers are quantised
// where they come to, so that one scale of all of them is everybody's.
std::string backend_refusal(const Scenario& scenario, const Capabilities& capabilities,
                            const Profile& profile, DispatchSite site = DispatchSite::kernel);

// Throws ScenarioError with the names there are and the nearest, for a name that no profile has
// and that is not in the registry.
void check_backend_name(const std::string& name);

}  // namespace moe::sim
