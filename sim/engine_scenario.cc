// Reads the section and runs the engines of all ranks once, without a wire.
// Limits keep a scenario small; vLLM has none. All lines of a scenario run the same steps: those
// that the least of their schedulers would make.

#include "sim/engine_scenario.h"

#include <algorithm>

#include "backends/config/backend_traits.h"
#include "backends/config/capacity_rules.h"
#include "backends/config/predicates.h"
#include "backends/engine/lockstep_engine.h"
#include "kernels/base/text.h"
#include "sim/deployment_rules.h"
#include "sim/scenario_sections.h"

namespace moe::sim {
namespace {

constexpr std::int64_t tick_max = 1'000'000;
constexpr std::int64_t tokens_max = 65'536;
constexpr std::size_t requests_max = 256;

EngineRequest request_of(const YamlNode& node, const std::string& name, Scenario& scenario) {
  const ScenarioMap map(node, name, "engine.requests", scenario);
  EngineRequest request;
  request.dp_rank = static_cast<int>(map.integer("rank", {0, scenario.world.dp - 1}, 0));
  request.arrives = static_cast<int>(map.integer("arrives", {0, tick_max}, 0));
  request.prompt = map.integer("prompt", {1, tokens_max}, 1);
  request.output = map.integer("output", {1, tokens_max}, 1);
  return request;
}

void read_requests(const ScenarioMap& map, Scenario& scenario) {
  const YamlNode* node = map.find("requests");
  if (node == nullptr || node->kind != YamlKind::sequence || node->items.empty()) {
    refuse_at(node == nullptr ? map.node() : *node, "engine.requests",
              "a list of requests is needed: {rank, arrives, prompt, output}");
  }
  if (node->items.size() > requests_max) {
    refuse_at(*node, "engine.requests",
              text(node->items.size(), " requests, more than ", requests_max));
  }
  for (const YamlNode& item : node->items) {
    const std::string name = text("engine.requests[", scenario.engine->requests.size(), "]");
    scenario.engine->requests.push_back(request_of(item, name, scenario));
  }
}

void read_capture_sizes(const ScenarioMap& map, EngineSettings& engine) {
  const YamlNode* node = map.find("capture_sizes");
  if (node == nullptr) {
    engine.capture_sizes = {1, 2, 4, 8, 16, 24, 32};
    return;
  }
  if (node->kind != YamlKind::sequence) {
    refuse_at(*node, "engine.capture_sizes", no_list_of(*node, "token counts"));
  }
  for (const YamlNode& item : node->items) {
    const Count size = integer_of(item, "engine.capture_sizes", 1, tokens_max);
    if (!engine.capture_sizes.empty() && size <= engine.capture_sizes.back()) {
      refuse_at(item, "engine.capture_sizes",
                text(size, " after ", engine.capture_sizes.back(), ": sizes must ascend"));
    }
    engine.capture_sizes.push_back(size);
  }
}

GraphMode graph_mode_named(const std::string& word) {
  if (word == "none") return GraphMode::none;
  return word == "full" ? GraphMode::full : GraphMode::piecewise;
}

// What vLLM makes of the engine's settings for a line's backend.
struct LineRules {
  Count tokens = batched_tokens_default;  // of a step, where nobody says another number
  bool allows_graphs = true;
};

LineRules rules_of(const Scenario& scenario, const RunLine& line) {
  if (std::ranges::count(all_backend_names(), line.backend) == 0) return {};  // refused later
  const Profile& profile = profile_named(line.profile);
  DeploymentConfig config = deployment_of(scenario, line);
  config.all2all_backend = configured_backend(profile, line.backend);
  const bool is_batched = use_batched_dp_moe(profile, config);
  return {is_batched ? batched_tokens_for_batched_dp : batched_tokens_default,
          scenario.world.dp == 1 || !traits_of(config.all2all_backend).needs_host_counts};
}

}  // namespace

void read_engine(const YamlNode& node, Scenario& scenario) {
  const ScenarioMap map(node, "engine", "engine", scenario);
  EngineSettings& engine = scenario.engine.emplace();
  read_requests(map, scenario);
  engine.graph_mode = graph_mode_named(map.word("graph_mode", "none"));
  read_capture_sizes(map, engine);
  MicroBatchThresholds& dbo = engine.micro_batches;
  dbo.enabled = map.boolean("dbo", false);
  dbo.decode_tokens = map.integer("dbo_decode_token_threshold", {1, tokens_max}, dbo.decode_tokens);
  dbo.prefill_tokens =
      map.integer("dbo_prefill_token_threshold", {1, tokens_max}, dbo.prefill_tokens);
}

void read_dp_chunking(const YamlNode& node, Scenario& scenario) {
  const ScenarioMap map(node, "dp_chunking", "dp_chunking", scenario);
  DpChunking& chunking = scenario.dp_chunking.emplace();
  chunking.rows_max = map.integer("rows_max", {1, tokens_max}, chunking.rows_max);
  const bool is_always = map.word("store", "if_unfinished") == "always";
  chunking.store = is_always ? ResultStore::always : ResultStore::if_unfinished;
}

void settle_engine(Scenario& scenario) {
  EngineSettings& engine = *scenario.engine;
  engine.max_num_batched_tokens = batched_tokens_default;
  bool allows_graphs = false;
  for (const RunLine& line : scenario.runs) {
    const LineRules rules = rules_of(scenario, line);
    engine.max_num_batched_tokens = std::min(engine.max_num_batched_tokens, rules.tokens);
    allows_graphs = allows_graphs || rules.allows_graphs;
  }
  if (scenario.max_num_batched_tokens) {
    engine.max_num_batched_tokens = *scenario.max_num_batched_tokens;
  }
  if (!allows_graphs) engine.graph_mode = GraphMode::none;  // V11
  plan_engine_steps(scenario);
}

void plan_engine_steps(Scenario& scenario) {
  const std::vector<PlannedStep> plan =
      planned_steps(*scenario.engine, scenario.world.dp, engine_steps_max + 1);
  if (plan.size() > engine_steps_max) {
    throw ScenarioError(text(scenario.place_of("engine.requests"), ": engine.requests: they need ",
                             "more than ", engine_steps_max, " steps"));
  }
  scenario.steps.clear();
  for (const PlannedStep& step : plan) scenario.steps.push_back(step.tokens);
}

}  // namespace moe::sim
