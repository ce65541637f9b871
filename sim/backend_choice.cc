// A profile's decision, held against the registry.
// Defects come from the scenario where it names them, else from the profile.

#include "sim/backend_choice.h"

#include "kernels/base/text.h"
#include "sim/placement_choice.h"
#include "sim/registry.h"
#include "sim/scenario_keys.h"

namespace moe::sim {
namespace {

const Backend* find_backend(std::string_view name) {
  for (const RegistryRow& row : registry()) {
    if (row.name == name) return row.backend;
  }
  return nullptr;
}

std::vector<std::string> defects_of(const Scenario& scenario, const Profile& profile) {
  if (scenario.defects) return *scenario.defects;
  return {profile.defects.begin(), profile.defects.end()};
}

}  // namespace

BackendChoice backend_choice(const Scenario& scenario, const RunLine& line) {
  const Profile& profile = profile_named(line.profile);
  const WorldSpec& world = scenario.world;
  BackendChoice choice{.decision = resolve_backend(
                           profile, {line.backend, platform_named(line.platform), world.dp > 1})};
  choice.naive_form = naive_form_of(profile, defects_of(scenario, profile));
  choice.backend = find_backend(choice.decision.backend);
  if (choice.backend == nullptr && choice.decision.error.empty()) {
    choice.absence = text(choice.decision.backend, ": vLLM has it under profile ", profile.name,
                          ", it is not emulated yet");
  }
  if (choice.backend != nullptr) {
    const PlacementDecision placement = placement_in(scenario, choice.backend->capabilities);
    if (!placement.warning.empty()) choice.decision.warnings.push_back(placement.warning);
  }
  return choice;
}

void check_backend_name(const std::string& name) {
  std::vector<std::string> names;
  for (const RegistryRow& row : registry()) names.emplace_back(row.name);
  for (const std::string_view known : all_backend_names()) {
    if (find_backend(known) == nullptr) names.emplace_back(known);
  }
  chosen("unknown backend", name, names);
}

}  // namespace moe::sim
