// The sections routing and steps of a scenario file.
// Called by read_scenario after world and model.

#include <algorithm>
#include <cmath>
#include <set>

#include "backends/placement/expert_placement.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/scenario_keys.h"
#include "sim/scenario_sections.h"

namespace moe::sim {
namespace {

constexpr std::int64_t tokens_max = 1 << 20;
constexpr std::int64_t seed_max = INT64_MAX;
constexpr double exponent_max = 64;

// The keys of routing that choose a form; the others qualify it.
const std::vector<std::string>& routing_forms() {
  static const std::vector<std::string> forms = {"uniform", "skewed", "one_hot_expert", "hot_rank",
                                                 "masked",  "ids",    "logits",         "trace"};
  return forms;
}

OneHotExpertRouting one_hot_expert_of(const ScenarioMap& map, const Scenario& scenario) {
  return {static_cast<int>(map.integer("expert", {0, scenario.model.num_experts - 1}, 0))};
}

HotRankRouting hot_rank_of(const ScenarioMap& map, const Scenario& scenario) {
  const int num_ranks = scenario.world.expert_ranks();
  HotRankRouting routing;
  routing.rank = static_cast<int>(map.integer("rank", {0, num_ranks - 1}, routing.rank));
  routing.share = map.number("share", 1.0, routing.share);
  const ExpertMap owners =
      determine_expert_map(scenario.model.num_experts, num_ranks, scenario.model.placement);
  if (owners.num_local_experts[static_cast<std::size_t>(routing.rank)] == 0) {
    refuse_at(
        map.node(), map.full_name("rank"),
        text("rank ", routing.rank, " has none of the ", scenario.model.num_experts, " experts"));
  }
  return routing;
}

std::vector<int> listed_row(const YamlNode& node, const std::string& name, const ModelSpec& model) {
  if (node.kind != YamlKind::sequence || std::ssize(node.items) != model.top_k) {
    const std::string given =
        node.kind == YamlKind::sequence ? text("a list of ", node.items.size()) : described(node);
    refuse_at(node, name, text(given, " is not a list of ", model.top_k, " experts (top_k)"));
  }
  std::vector<int> row;
  for (const YamlNode& item : node.items) {
    const int expert = static_cast<int>(integer_of(item, name, -1, model.num_experts - 1));
    if (expert >= 0 && std::count(row.begin(), row.end(), expert) > 0) {
      refuse_at(item, name, text("expert ", expert, " is listed twice for one token"));
    }
    row.push_back(expert);
  }
  return row;
}

ListedRouting listed_of(const YamlNode& node, const Scenario& scenario) {
  if (node.kind != YamlKind::sequence || node.items.empty()) {
    refuse_at(node, "routing.ids", no_list_of(node, "rows of experts"));
  }
  ListedRouting routing;
  for (const YamlNode& item : node.items) {
    const std::string name = text("routing.ids[", routing.ids.size(), "]");
    routing.ids.push_back(listed_row(item, name, scenario.model));
  }
  return routing;
}

// The bounds keep every logit's score apart from its neighbours' in float: a softmax of 32 apart,
// a sigmoid that neither saturates nor, by way of tanh, cancels.
LogitsRouting logits_of(const ScenarioMap& map, const Scenario& scenario) {
  LogitsRouting routing;
  routing.spread = map.number("spread", NumberBounds{0.0625, 16.0}, routing.spread);
  routing.shift = map.number("shift", NumberBounds{-64.0, 64.0}, routing.shift);
  routing.ties = map.number("ties", 1.0, routing.ties);
  routing.nan = map.number("nan", 1.0, routing.nan);
  for (const char* key : {"spread", "shift"}) {
    const double value = key == std::string("spread") ? routing.spread : routing.shift;
    if (value * 16 == std::floor(value * 16)) continue;
    refuse_at(*map.find(key), map.full_name(key),
              text(value, " is not whole sixteenths, like 4.0 or 0.0625"));
  }
  const double largest = std::abs(routing.shift) + routing.spread;
  if (scenario.model.scoring == Scoring::sigmoid && largest > 8) {
    refuse_at(map.node(), map.full_name("spread"),
              text("logits reach ", largest, ", sigmoid tells scores apart up to 8"));
  }
  return routing;
}

// A file below root, named without leaving it. A missing one is answered with the nearest.
TraceRouting trace_of(const ScenarioMap& map, const std::filesystem::path& root) {
  TraceRouting routing;
  routing.file = map.line_of_text("trace", "");
  const std::filesystem::path file(routing.file);
  const YamlNode& node = *map.find("trace");
  if (file.is_absolute() || std::find(file.begin(), file.end(), "..") != file.end()) {
    refuse_at(node, "routing.trace",
              text("'", routing.file, "' must be a path below the scenarios folder"));
  }
  routing.path = (root / file).string();
  std::error_code error;
  if (!std::filesystem::exists(routing.path, error)) {
    std::vector<std::string> present;
    const std::filesystem::path folder = root / file.parent_path();
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
      present.push_back((file.parent_path() / entry.path().filename()).string());
    }
    std::sort(present.begin(), present.end());
    refuse_at(node, "routing.trace",
              text("there is no ", routing.path,
                   "; the folder holds: ", present.empty() ? "nothing" : joined(present)));
  }
  if (const YamlNode* layers = map.find("layers")) {
    const auto [first, last] = range_of(*layers, "routing.layers");
    routing.first_layer = first;
    routing.last_layer = last;
  }
  if (const YamlNode* steps = map.find("steps")) {
    const auto [first, last] = range_of(*steps, "routing.steps");
    routing.first_step = first;
    routing.last_step = last;
  }
  return routing;
}

RoutingSpec routing_of_form(const std::string& form, const ScenarioMap& map,
                            const std::filesystem::path& root, Scenario& scenario) {
  const YamlNode& node = *map.find(form);
  if (form == "trace") return trace_of(map, root);
  if (form == "ids") return listed_of(node, scenario);
  const ScenarioMap inner(node, map.full_name(form), text("routing.", form), scenario);
  if (form == "skewed") return SkewedRouting{inner.number("exponent", exponent_max, 1.0)};
  if (form == "one_hot_expert") return one_hot_expert_of(inner, scenario);
  if (form == "hot_rank") return hot_rank_of(inner, scenario);
  if (form == "logits") return logits_of(inner, scenario);
  if (form == "masked") return MaskedRouting{inner.number("share", 1.0, MaskedRouting{}.share)};
  return UniformRouting{};
}

// The one form that the map names.
std::string form_of(const ScenarioMap& map) {
  std::string form;
  for (const std::string& candidate : routing_forms()) {
    if (map.find(candidate) == nullptr) continue;
    if (!form.empty()) {
      refuse_at(map.node(), "routing", text("both ", form, " and ", candidate, ": choose one"));
    }
    form = candidate;
  }
  for (const char* key : {"layers", "steps"}) {
    if (form != "trace" && map.find(key) != nullptr) {
      refuse_at(*map.find(key), map.full_name(key), "is a range of a trace, and there is no trace");
    }
  }
  if (form == "trace" && map.find("seed") != nullptr) {
    refuse_at(*map.find("seed"), "routing.seed", "a recorded trace leaves nothing to a seed");
  }
  return form.empty() ? "uniform" : form;
}

std::vector<Count> step_of(const YamlNode& node, const std::string& name, int dp) {
  if (node.kind != YamlKind::sequence || std::ssize(node.items) != dp) {
    const std::string given =
        node.kind == YamlKind::sequence ? text("a list of ", node.items.size()) : described(node);
    refuse_at(node, name, text(given, " is not a list of ", dp, " token counts (world.dp)"));
  }
  std::vector<Count> step;
  for (const YamlNode& item : node.items) step.push_back(integer_of(item, name, 0, tokens_max));
  return step;
}

}  // namespace

void read_routing(const YamlNode& node, const std::filesystem::path& root, Scenario& scenario) {
  if (node.kind == YamlKind::scalar && !node.scalar.empty()) {
    const std::string where = text(node.place(), ": routing");
    const std::string& form = chosen(where, node.scalar, routing_forms());
    if (form != "uniform")
      refuse_at(node, "routing", text(form, " needs a value: {", form, ": …}"));
    return;
  }
  const ScenarioMap map(node, "routing", "routing", scenario);
  const std::string form = form_of(map);
  const auto seed = map.integer("seed", {0, seed_max}, 1);
  scenario.routing_seed = static_cast<std::uint64_t>(seed);
  if (map.find(form) != nullptr) scenario.routing = routing_of_form(form, map, root, scenario);
}

void read_steps(const YamlNode& node, Scenario& scenario) {
  if (auto* trace = std::get_if<TraceRouting>(&scenario.routing)) {
    if (trace->first_step) refuse_at(node, "steps", "routing.steps says the range already");
    const auto [first, last] = range_of(node, "steps");
    trace->first_step = first;
    trace->last_step = last;
    return;
  }
  if (node.kind != YamlKind::sequence || node.items.empty()) {
    refuse_at(node, "steps",
              no_list_of(node, text("steps, each a list of ", scenario.world.dp, " token counts")));
  }
  bool empty = true;
  for (const YamlNode& item : node.items) {
    const std::string name = text("steps[", scenario.steps.size(), "]");
    scenario.written[name] = {item.place(), ""};
    scenario.steps.push_back(step_of(item, name, scenario.world.dp));
    const std::vector<Count>& step = scenario.steps.back();
    empty = empty && std::count(step.begin(), step.end(), 0) == std::ssize(step);
  }
  if (empty) refuse_at(node, "steps", "no rank has a token in any step");
}

}  // namespace moe::sim
