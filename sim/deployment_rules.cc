// A line as a deployment, and vLLM's findings as sentences. Sequence parallelism is no numbered
// rule: vLLM leaves it out in silence where a scenario that asks for it must be told.

#include "sim/deployment_rules.h"

#include <algorithm>

#include "backends/config/predicates.h"
#include "kernels/base/text.h"
#include "sim/dp_chunks.h"
#include "sim/engine_steps.h"

namespace moe::sim {
namespace {

bool is_known(const std::string& backend) {
  return std::ranges::count(all_backend_names(), backend) > 0;
}

std::vector<ConfigFinding> findings_of(const Scenario& scenario, const RunLine& line) {
  if (!is_known(line.backend)) return {};
  return validate(profile_named(line.profile), deployment_of(scenario, line));
}

std::string without_sequence_parallel(const Scenario& scenario, const RunLine& line) {
  if (!scenario.world.sequence_parallel || !is_known(line.backend)) return "";
  const Profile& profile = profile_named(line.profile);
  DeploymentConfig config = deployment_of(scenario, line);
  config.all2all_backend = configured_backend(profile, line.backend);
  const BackendTraits& traits = traits_of(config.all2all_backend);
  if (traits.transport == Transport::none || use_sequence_parallel_moe(profile, config)) return "";
  return text("backend ", config.all2all_backend, " takes no sequence parallelism under profile ",
              profile.name, "; backends that do: ",
              joined(backends_with(profile, &BackendTraits::sequence_parallel)));
}

// A note of vLLM's log that undoes what the scenario asks for is a warning here.
bool changes_graph_mode(const Scenario& scenario, const ConfigFinding& finding) {
  const auto asked = scenario.written.find("engine.graph_mode");
  return finding.rule == "V11" && asked != scenario.written.end() && asked->second.value != "none";
}

}  // namespace

DeploymentConfig deployment_of(const Scenario& scenario, const RunLine& line) {
  const WorldSpec& world = scenario.world;
  const ModelSpec& model = scenario.model;
  const MicroBatchThresholds dbo =
      scenario.engine ? scenario.engine->micro_batches : MicroBatchThresholds{};
  return {.all2all_backend = line.backend,
          .platform = platform_named(line.platform),
          .sizes = world.deployment().sizes,
          .enable_expert_parallel = world.expert_parallel,
          .enable_dbo = dbo.enabled,
          .dbo_decode_token_threshold = static_cast<int>(dbo.decode_tokens),
          .dbo_prefill_token_threshold = static_cast<int>(dbo.prefill_tokens),
          .aiter_fused_moe = true,
          .num_experts = model.num_experts,
          .intermediate_size = model.intermediate_size};
}

RuleRefusal rule_refusal(const Scenario& scenario, const RunLine& line) {
  for (const ConfigFinding& finding : findings_of(scenario, line)) {
    if (finding.kind == FindingKind::error) return {"backend", finding.text};
  }
  const std::string why = without_sequence_parallel(scenario, line);
  if (!why.empty()) return {"backend", why};
  const std::string why_uncut = micro_batch_refusal(scenario, line);
  if (!why_uncut.empty()) return {"engine.dbo", why_uncut};
  return {"engine.graph_mode", engine_refusal(scenario, line)};
}

std::vector<std::string> rule_words(const Scenario& scenario, const RunLine& line,
                                    FindingKind kind) {
  std::vector<std::string> words;
  for (const ConfigFinding& finding : findings_of(scenario, line)) {
    const bool is_told =
        changes_graph_mode(scenario, finding) ? kind == FindingKind::warning : finding.kind == kind;
    if (is_told && finding.rule != "V1") words.push_back(finding.text);
  }
  const std::string chunking = chunking_warning(scenario, line);
  if (kind == FindingKind::warning && !chunking.empty()) words.push_back(chunking);
  return words;
}

}  // namespace moe::sim
