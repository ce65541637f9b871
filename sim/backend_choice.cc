// A profile's decision, held against the registry.
// Defects come from the scenario where it names them, else from the profile.

#include "sim/backend_choice.h"

#include <algorithm>

#include "backends/config/backend_traits.h"
#include "backends/config/capacity_rules.h"
#include "backends/oracle/kernel_pair.h"
#include "backends/oracle/quant_keys.h"
#include "kernels/base/text.h"
#include "sim/placement_choice.h"
#include "sim/quantization_choice.h"
#include "sim/registry.h"
#include "sim/scenario_keys.h"

namespace moe::sim {
namespace {

constexpr std::string_view xpu_world_group = "xpu-world-group";

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

// Whether the backend's dispatch is not what vLLM's factory takes here (distribution-layer.md, 8):
// it asks one that sends to owners only where kernels move rows between ranks of experts, and where
// nothing is gathered none at all. A gather of one rank's rows is the same as none, so it stays,
// but for rows that share one scale, which a gather of several ranks cannot take.
bool is_asked_for_nothing(const Scenario& scenario, const Backend& backend) {
  const WorldSpec& world = scenario.world;
  const bool has_sources = world.dp > 1 || world.pcp > 1 || world.sequence_parallel;
  switch (backend.capabilities.dispatch_reach) {
    case DispatchReach::owner_ranks:
      return !world.expert_parallel || !has_sources;
    case DispatchReach::every_rank:
      return !has_sources &&
             scenario.model.quantization.activations == QuantRecipe::fp8_dynamic_tensor;
    case DispatchReach::own_rank:
      return false;
  }
  return false;
}

void leave_layers_without_all2all(const Scenario& scenario, BackendChoice& choice) {
  const WorldSpec& world = scenario.world;
  if (choice.backend == nullptr || !is_asked_for_nothing(scenario, *choice.backend)) return;
  const std::string_view instead = world.dp > 1 ? "allgather_reducescatter" : "no_ep";
  const std::string why =
      text("no rows move between ranks of experts here, so that vLLM asks for no ",
           choice.decision.backend, ": ", instead, " in its place");
  choice.decision.trace.push_back(why);
  choice.decision.warnings.push_back(why);
  choice.decision.backend = instead;
  choice.backend = find_backend(instead);
}

// A transport is emulated as it is last, a profile may be of a vLLM whose factory refused rows that
// it carries now (FlashInfer one-sided, kernel_pair.cc): then the run says what `moebius oracle`
// says, and goes on.
void warn_of_rows(const Scenario& scenario, const Profile& profile, BackendChoice& choice) {
  if (choice.backend == nullptr ||
      choice.backend->capabilities.dispatch_reach != DispatchReach::owner_ranks) {
    return;
  }
  const Transport transport = traits_of(choice.decision.backend).transport;
  const auto* moves = prepare_finalize_class_of(profile, transport);
  const auto key = activation_key_of(scenario.model.quantization.activations);
  const std::string refusal = moves == nullptr || !key ? "" : rows_refusal(*moves, *key);
  if (refusal.empty()) return;
  choice.decision.warnings.push_back(
      text("vLLM under ", profile.name, " would raise ", refusal, "; run as later vLLM does"));
}

}  // namespace

const Backend* emulated_backend(std::string_view name) { return find_backend(emulation_of(name)); }

BackendChoice backend_choice(const Scenario& scenario, const RunLine& line) {
  const Profile& profile = profile_named(line.profile);
  const WorldSpec& world = scenario.world;
  BackendChoice choice{.decision = resolve_backend(
                           profile, {line.backend, platform_named(line.platform), world.dp > 1})};
  choice.naive_form = naive_form_of(profile, defects_of(scenario, profile));
  choice.backend = emulated_backend(choice.decision.backend);
  leave_layers_without_all2all(scenario, choice);
  warn_of_rows(scenario, profile, choice);
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

CollectivesRun collectives_of(const Scenario& scenario, const RunLine& line) {
  const std::vector<std::string> defects = defects_of(scenario, profile_named(line.profile));
  const bool has_defect = platform_named(line.platform) == Platform::xpu &&
                          std::ranges::count(defects, xpu_world_group) > 0;
  return has_defect ? CollectivesRun::on_the_world : CollectivesRun::on_the_group;
}

std::string scales_refusal(const Scenario& scenario, const RunLine& line, const Backend& backend) {
  if (collectives_of(scenario, line) == CollectivesRun::on_the_group) return "";
  const RowQuantization rows = row_quantization(scenario, backend.capabilities,
                                                layer_moves_rows(backend, line.dispatch_site));
  const std::vector<Count> tokens(static_cast<std::size_t>(scenario.world.dp));
  const auto ranks = dispatch_sizes(make_parallel_config(scenario.world.deployment(), 0), tokens);
  if (ranks.size() == 1 || !sends_codes(rows.at) ||
      !has_scales_by_row(quantized_layout(rows.recipe, 1, 1))) {
    return "";
  }
  return text("under the defect ", xpu_world_group,
              " ends in a TypeError: the dispatch of vLLM's first XPU communicator has no argument "
              "extra_tensors, as which the scales of rows travel");
}

Count max_num_tokens(const Scenario& scenario, const Capabilities& capabilities,
                     const Profile& profile) {
  if (!capabilities.fixed_capacity) return 0;
  const FixedCapacity& room = *capabilities.fixed_capacity;
  CapacityRequest request{.chunk_size_variable = DpChunking{}.rows_max,
                          .scheduler_max_num_batched_tokens = room.default_tokens};
  if (scenario.dp_chunking) request.chunk_size_variable = scenario.dp_chunking->rows_max;
  for (const std::optional<Count>& said :
       {scenario.traced_max_num_batched_tokens, scenario.max_num_batched_tokens}) {
    if (said) request.scheduler_max_num_batched_tokens = *said;
  }
  if (room.is_of_scheduler) return request.scheduler_max_num_batched_tokens;
  return max_num_tokens_of(profile, request);
}

std::string backend_refusal(const Scenario& scenario, const Capabilities& capabilities,
                            const Profile& profile, DispatchSite site) {
  const WorldSpec& world = scenario.world;
  const QuantRecipe quantization = scenario.model.quantization.activations;
  const bool is_made_of_gathered =
      quantization == QuantRecipe::fp8_dynamic_tensor && site == DispatchSite::runner;
  if (capabilities.dispatch_reach != DispatchReach::owner_ranks && world.masked_ranks.empty() &&
      quantization == QuantRecipe::none && scenario.model.quantization.weights == quantization) {
    return "";
  }
  WireQuestion question{
      .num_ranks = world.dp * world.pcp * world.tp,
      .dtype = scenario.model.dtype,
      .top_k = scenario.model.top_k,
      .num_experts = scenario.model.num_physical_experts(),
      .is_linear = placement_in(scenario, capabilities).placement == Placement::linear,
      .weight_on_input = scenario.model.router_weight_on_input,
      .max_num_tokens = max_num_tokens(scenario, capabilities, profile),
      .num_masked_ranks = static_cast<int>(world.masked_ranks.size()),
      .quantization = is_made_of_gathered ? QuantRecipe::none : quantization,
      .weights_alone = quantization == QuantRecipe::none ? scenario.model.quantization.weights
                                                         : QuantRecipe::none};
  for (int layer = 0; layer < scenario.model.num_layers; ++layer) {
    question.hidden_size = std::max(question.hidden_size, scenario.model.layer(layer).hidden_size);
  }
  return refusal_of(capabilities, question);
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
