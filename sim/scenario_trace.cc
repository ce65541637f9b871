// Traces meet scenarios: what a trace sets, what a scenario may say beside it, and a scenario made
// from a trace alone. Called for `routing: {trace: …}` and for --trace.

#include <filesystem>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/scenario_keys.h"
#include "sim/scenario_reader.h"
#include "sim/scenario_sections.h"

namespace moe::sim {
namespace {

struct KeyAndValue {
  std::string key;
  std::string value;
};

// The keys of the model that a trace decides, as a scenario would write them.
std::vector<KeyAndValue> traced_keys(const RoutingTrace& trace, int num_layers) {
  return {{"model.experts", text(trace.num_experts)},
          {"model.top_k", text(trace.top_k)},
          {"model.layers", text(num_layers)},
          {"model.scoring", trace.scoring},
          {"model.renormalize", trace.renormalize ? "true" : "false"},
          {"model.groups", text(trace.num_expert_groups)},
          {"model.topk_group", text(trace.topk_group)},
          {"model.shared_experts", text(trace.num_shared_experts)}};
}

int chosen_layers(const TraceRouting& routing, const RoutingTrace& trace) {
  return routing.last_layer.value_or(trace.num_layers) - routing.first_layer.value_or(0);
}

void check_end(const Scenario& scenario, const std::string& key, int last, int present) {
  if (last <= present) return;
  throw ScenarioError(text(scenario.place_of(key), ": ", key, ": the range ends at ", last,
                           ", the trace has ", present));
}

void check_ranges(const Scenario& scenario, const TraceRouting& routing,
                  const RoutingTrace& trace) {
  check_end(scenario, "routing.layers", routing.last_layer.value_or(0), trace.num_layers);
  const std::string steps = scenario.says("steps") ? "steps" : "routing.steps";
  check_end(scenario, steps, routing.last_step.value_or(0), trace.num_steps);
}

// A scenario may ask for fewer ranks than the trace has: neighbours merge.
void take_dp(Scenario& scenario, const RoutingTrace& trace) {
  if (!scenario.says("world.dp")) {
    if (trace.dp_size > ranks_max) {
      throw ScenarioError(text(trace.path, ": dp_size ", trace.dp_size, " is more than ", ranks_max,
                               " ranks: say world.dp, a divisor"));
    }
    scenario.world.dp = trace.dp_size;
  } else if (trace.dp_size % scenario.world.dp != 0) {
    throw ScenarioError(text(scenario.place_of("world.dp"), ": world.dp: ", scenario.world.dp,
                             " does not divide the ", trace.dp_size, " ranks of ", trace.path,
                             "; possible: ", joined(possible_dp_sizes(trace))));
  }
}

// A trace from the command line takes the place of these keys: they are as good as not written.
void forget_replaced_keys(Scenario& scenario, const RoutingTrace& trace) {
  for (const KeyAndValue& traced : traced_keys(trace, trace.num_layers)) {
    scenario.written.erase(traced.key);
  }
  for (const std::string top : {"routing", "steps"}) {
    std::erase_if(scenario.written, [&](const auto& entry) {
      const std::string& key = entry.first;
      return key == top || key.starts_with(top + ".") || key.starts_with(top + "[");
    });
  }
}

}  // namespace

void check_trace_agrees(const Scenario& scenario, const RoutingTrace& trace) {
  if (scenario.model.correction_bias) {
    throw ScenarioError(text(scenario.place_of("model.correction_bias"),
                             ": model.correction_bias: a trace has chosen already"));
  }
  const TraceRouting& routing = std::get<TraceRouting>(scenario.routing);
  for (const KeyAndValue& traced : traced_keys(trace, chosen_layers(routing, trace))) {
    const auto found = scenario.written.find(traced.key);
    if (found == scenario.written.end() || found->second.value == traced.value) continue;
    throw ScenarioError(text(found->second.place, ": ", traced.key, ": '", found->second.value,
                             "', the trace says ", traced.value, " (leave the key out)"));
  }
}

void check_traced_defaults(const Scenario& scenario) {
  for (const ScenarioKey& key : scenario_keys()) {
    const std::string name = text(key.section, ".", key.name);
    const auto found = scenario.written.find(name);
    const bool is_router = key.state == KeyState::router;
    if ((!is_router && key.state != KeyState::traced) || found == scenario.written.end()) continue;
    if (found->second.value == key.choices.front()) continue;
    if (is_router) {
      if (std::holds_alternative<LogitsRouting>(scenario.routing)) continue;
      throw ScenarioError(text(found->second.place, ": ", name, ": '", found->second.value,
                               "' decides nothing without routing: {logits: …} or a trace (only ",
                               key.choices.front(), ")"));
    }
    throw ScenarioError(text(found->second.place, ": ", name, ": '", found->second.value,
                             "' is not supported yet (only ", key.choices.front(), ")"));
  }
}

void take_from_trace(Scenario& scenario, const RoutingTrace& trace) {
  TraceRouting& routing = std::get<TraceRouting>(scenario.routing);
  check_ranges(scenario, routing, trace);
  take_dp(scenario, trace);
  routing.first_layer = routing.first_layer.value_or(0);
  routing.last_layer = routing.last_layer.value_or(trace.num_layers);
  routing.first_step = routing.first_step.value_or(0);
  routing.last_step = routing.last_step.value_or(trace.num_steps);
  scenario.traced_max_num_batched_tokens =
      trace.max_num_batched_tokens * std::max(1, trace.dp_size / scenario.world.dp);
  ModelSpec& model = scenario.model;
  model.num_experts = trace.num_experts;
  model.top_k = trace.top_k;
  model.num_layers = *routing.last_layer - *routing.first_layer;
  model.num_shared_experts = trace.num_shared_experts;
  model.layers.clear();
  model.scoring = trace.scoring == "sigmoid" ? Scoring::sigmoid : Scoring::softmax;
  model.renormalize = trace.renormalize;
  model.num_expert_groups = trace.num_expert_groups;
  model.topk_group = trace.topk_group;
  if (!scenario.says("model.hidden")) model.hidden_size = trace.hidden_size;
  if (!scenario.says("model.intermediate")) model.intermediate_size = trace.intermediate_size;
}

void adopt_trace(Scenario& scenario, const std::string& trace_path) {
  const RoutingTrace trace = read_routing_trace_header(trace_path);
  forget_replaced_keys(scenario, trace);
  TraceRouting whole;
  whole.file = trace_path;
  whole.path = trace_path;
  scenario.routing = whole;
  scenario.steps.clear();
  take_from_trace(scenario, trace);
  check_world(scenario);
}

Scenario scenario_for_trace(const std::string& trace_path) {
  Scenario scenario;
  scenario.name = text("trace:", std::filesystem::path(trace_path).filename().string());
  scenario.path = trace_path;
  scenario.why = "a recorded trace from the command line";
  scenario.runs = {RunLine{}};
  adopt_trace(scenario, trace_path);
  return scenario;
}

}  // namespace moe::sim
