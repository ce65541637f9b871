// The top level of a scenario file: its name, its sections in the order they depend on each other.
// Sections have files of their own.

#include "sim/scenario_reader.h"

#include <algorithm>
#include <cstddef>
#include <span>

#include "kernels/base/check.h"
#include "kernels/base/digest.h"
#include "kernels/base/text.h"
#include "sim/input_file.h"
#include "sim/relatives.h"
#include "sim/scenario_map.h"
#include "sim/scenario_sections.h"
#include "sim/yaml_document.h"

namespace moe::sim {
namespace {

constexpr std::int64_t seed_max = INT64_MAX;
constexpr std::int64_t deadline_max_ms = 3'600'000;
constexpr std::int64_t capacity_max = std::int64_t{1} << 40;

std::filesystem::path absolute_path(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::path found = std::filesystem::weakly_canonical(path, error);
  return error ? path : found;
}

// The name must be the path below root, or for a file elsewhere the end of its path.
void check_name(const ScenarioMap& map, const Scenario& scenario,
                const std::filesystem::path& root) {
  const std::filesystem::path path = absolute_path(scenario.path).replace_extension();
  const std::string below = path.lexically_relative(absolute_path(root)).generic_string();
  const YamlNode* node = map.find("name");
  const bool inside = !below.empty() && below != "." && !below.starts_with("..");
  const std::string expected = inside ? below : path.filename().string();
  if (node == nullptr) refuse_at(map.node(), "name", text("is missing; write name: ", expected));
  const bool fits =
      inside ? scenario.name == below : path.generic_string().ends_with(text("/", scenario.name));
  if (!fits) {
    refuse_at(
        *node, "name",
        text("'", scenario.name, "' is not the file's path without extension, '", expected, "'"));
  }
}

void read_tags(const ScenarioMap& map, Scenario& scenario) {
  const YamlNode* node = map.find("tags");
  if (node == nullptr) return;
  if (node->kind != YamlKind::sequence) {
    refuse_at(*node, "tags", text(described(*node), " is not a list of words"));
  }
  for (const YamlNode& item : node->items) {
    if (item.kind != YamlKind::scalar || item.scalar.empty()) {
      refuse_at(item, "tags", text(described(item), " is not a word"));
    }
    if (std::count(scenario.tags.begin(), scenario.tags.end(), item.scalar) > 0) {
      refuse_at(item, "tags", text("'", item.scalar, "' is given twice"));
    }
    scenario.tags.push_back(item.scalar);
  }
}

void read_plain_keys(const ScenarioMap& map, Scenario& scenario) {
  scenario.name = map.line_of_text("name", "");
  scenario.why = map.line_of_text("why", "");
  scenario.seed = static_cast<std::uint64_t>(map.integer("seed", {0, seed_max}, 1));
  scenario.values = map.word("values", "integers") == "real" ? Values::real : Values::integers;
  const bool is_real = scenario.values == Values::real;
  if (is_real) scenario.model.kernel = ExpertKernel::real;
  scenario.expect = is_real ? Expectation::derived : Expectation::same_bytes;
  if (const YamlNode* node = map.find("expect")) read_expect(*node, scenario);
  if (const YamlNode* node = map.find("defects")) read_defects(*node, scenario);
  read_tags(map, scenario);
  if (const YamlNode* node = map.find("capacity")) {
    const ScenarioMap capacity(*node, "capacity", "capacity", scenario);
    const auto deadline =
        capacity.integer("deadline_ms", {1, deadline_max_ms}, scenario.deadline_ms);
    scenario.deadline_ms = static_cast<int>(deadline);
    if (capacity.find("max_num_batched_tokens") != nullptr) {
      scenario.max_num_batched_tokens =
          capacity.integer("max_num_batched_tokens", {1, capacity_max}, 1);
    }
  }
}

// The trace's own errors, at the key that names it.
RoutingTrace trace_header(const Scenario& scenario) {
  try {
    return read_routing_trace_header(std::get<TraceRouting>(scenario.routing).path);
  } catch (const ScenarioError& error) {
    throw ScenarioError(
        text(scenario.place_of("routing.trace"), ": routing.trace: ", error.what()));
  }
}

// Steps belong to the world that the routing settles: a trace sets the number of ranks.
void read_routing_and_steps(const ScenarioMap& map, const std::filesystem::path& root,
                            Scenario& scenario) {
  if (const YamlNode* node = map.find("routing")) read_routing(*node, root, scenario);
  const YamlNode* steps = map.find("steps");
  const YamlNode* engine = map.find("engine");
  if (engine != nullptr && steps != nullptr) {
    refuse_at(*steps, "steps", "the engine decides the steps: leave them out");
  }
  if (steps != nullptr) read_steps(*steps, scenario);
  if (std::holds_alternative<TraceRouting>(scenario.routing)) {
    if (engine != nullptr) {
      refuse_at(*engine, "engine", "the trace says the steps: requests go with made-up routing");
    }
    const RoutingTrace trace = trace_header(scenario);
    check_trace_agrees(scenario, trace);
    take_from_trace(scenario, trace);
    return;
  }
  check_traced_defaults(scenario);
  if (engine != nullptr) return read_engine(*engine, scenario);
  if (steps == nullptr) {
    refuse_at(map.node(), "steps", "is missing: list the tokens of each rank, step by step");
  }
}

Scenario scenario_of(const YamlNode& document, const std::filesystem::path& root,
                     Scenario scenario) {
  if (document.kind != YamlKind::map) {
    refuse_at(document, "",
              text("the file holds ", described(document), ", not a scenario's keys"));
  }
  const ScenarioMap map(document, "", "", scenario);
  read_plain_keys(map, scenario);
  check_name(map, scenario, root);
  if (const YamlNode* node = map.find("world")) read_world(*node, scenario);
  if (const YamlNode* node = map.find("model")) read_model(*node, scenario);
  read_routing_and_steps(map, root, scenario);
  if (const YamlNode* node = map.find("eplb")) read_eplb(*node, scenario);
  if (const YamlNode* node = map.find("dp_chunking")) read_dp_chunking(*node, scenario);
  if (const YamlNode* node = map.find("faults")) read_faults(*node, scenario);
  if (const YamlNode* node = map.find("runs")) read_runs(*node, scenario);
  if (scenario.runs.empty()) scenario.runs = {RunLine{}};
  if (scenario.engine) settle_engine(scenario);
  if (!scenario.faults.empty() && !std::holds_alternative<std::monostate>(scenario.end)) {
    refuse_at(map.node(), "expect", "seeded faults expect their own end: one of the two");
  }
  if (const YamlNode* node = map.find("same_under")) read_same_under(*node, scenario);
  check_world(scenario);
  return scenario;
}

}  // namespace

Scenario read_scenario(const std::filesystem::path& path, const std::filesystem::path& root) {
  Scenario scenario;
  scenario.path = path.string();
  const std::string content = read_input_text(scenario.path, yaml_bytes_max);
  scenario.sha256 = sha256_of(std::as_bytes(std::span(content)));
  const YamlNode document = parse_yaml(content, scenario.path);
  return scenario_of(document, root, std::move(scenario));
}

}  // namespace moe::sim
