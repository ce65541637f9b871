// Loading: YAML, then the command line's changes, then the golden, each refused with what to do.
// Used by the main process and by the processes that are ranks, which must load the same.

#include "sim/scenario_source.h"

#include <filesystem>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/golden_file.h"
#include "sim/json_reading.h"
#include "sim/scenario_reader.h"

namespace moe::sim {

bool has_own_values(const ScenarioSource& source) {
  return !source.path.empty() && source.trace.empty() && !source.values && !source.dtype &&
         !source.seed;
}

namespace {

// Numbers of the other kind: their own experts and their own judgement.
void take_values(Values values, Scenario& scenario) {
  if (scenario.values == values) return;
  const bool is_real = values == Values::real;
  scenario.values = values;
  scenario.model.kernel = is_real ? ExpertKernel::real : ExpertKernel::probe;
  scenario.expect = is_real ? Expectation::derived : Expectation::same_bytes;
  for (const char* key : {"model.kernel", "expect", "values"}) scenario.written.erase(key);
}

}  // namespace

void take_delay(int delay_max_ms, Scenario& scenario) {
  if (delay_max_ms >= scenario.deadline_ms) {
    throw ScenarioError(text("--delay ", delay_max_ms, ": the deadline of ", scenario.deadline_ms,
                             " ms ends first (--deadline)"));
  }
  scenario.delay_max_ms = delay_max_ms;
}

Scenario load_scenario(const ScenarioSource& source) {
  Scenario scenario = source.path.empty() ? scenario_for_trace(source.trace)
                                          : read_scenario(source.path, source.folders.scenarios);
  if (!source.path.empty() && !source.trace.empty()) adopt_trace(scenario, source.trace);
  if (source.values) take_values(*source.values, scenario);
  if (source.dtype) scenario.model.dtype = *source.dtype;
  if (source.seed) scenario.seed = *source.seed;
  if (source.deadline_ms) scenario.deadline_ms = *source.deadline_ms;
  if (source.delay_max_ms) take_delay(*source.delay_max_ms, scenario);
  check_world(scenario);
  return scenario;
}

std::optional<golden::Golden> load_golden(const ScenarioSource& source, const Scenario& scenario) {
  const bool has_outputs = !std::holds_alternative<ExpectedError>(scenario.end);
  if (!has_own_values(source) || !has_outputs) return std::nullopt;
  const std::string path = text(source.folders.goldens, "/", scenario.name, ".golden.json");
  std::error_code error;  // said when it is opened
  if (!std::filesystem::exists(path, error) && !error) {
    throw ScenarioError(text(path, ": no golden judges ", scenario.name,
                             ": run golden/make_golden.py ", scenario.path));
  }
  golden::Golden golden = read_golden(path);
  try {
    check_golden_fits(golden, scenario);
  } catch (const ScenarioError& error) {
    throw ScenarioError(text(path, ": ", error.what()));
  }
  return golden;
}

void check_routing_digests(const golden::Golden& golden, const WorldInputs& inputs,
                           const Scenario& scenario) {
  if (!inputs.is_recorded()) return;
  for (int step = 0; step < inputs.num_steps(); ++step) {
    const auto& recorded = golden.steps[static_cast<std::size_t>(step)].routing_digest;
    const std::uint64_t digest = inputs.routing_digest(step);
    if (recorded == digest) continue;
    throw ScenarioError(text(scenario.path, ": step ", step, " of the trace has routing digest ",
                             hex16(digest), ", the golden recorded ",
                             recorded ? hex16(*recorded) : "none",
                             ": the trace has changed; run golden/make_golden.py ", scenario.path));
  }
}

JsonValue to_json(const ScenarioSource& source) {
  const auto or_null = [](const auto& value) {
    return value ? JsonValue(static_cast<std::int64_t>(*value)) : JsonValue(nullptr);
  };
  return JsonObject{{"scenarios", source.folders.scenarios},
                    {"goldens", source.folders.goldens},
                    {"path", source.path},
                    {"trace", source.trace},
                    {"values", or_null(source.values)},
                    {"dtype", or_null(source.dtype)},
                    {"seed", or_null(source.seed)},
                    {"deadline_ms", or_null(source.deadline_ms)},
                    {"delay_max_ms", or_null(source.delay_max_ms)}};
}

ScenarioSource scenario_source_from(const JsonValue& value) {
  ScenarioSource source{
      .folders = {string_at(value, "scenarios"), string_at(value, "goldens")},
      .path = string_at(value, "path"),
      .trace = string_at(value, "trace"),
      .values = {},
      .dtype = {},
      .seed = {},
      .deadline_ms = {},
      .delay_max_ms = {},
  };
  if (!member(value, "values").is_null()) {
    source.values = static_cast<Values>(integer_at(value, "values"));
  }
  if (!member(value, "dtype").is_null()) {
    source.dtype = static_cast<DType>(integer_at(value, "dtype"));
  }
  if (!member(value, "seed").is_null()) {
    source.seed = static_cast<std::uint64_t>(integer_at(value, "seed"));
  }
  if (!member(value, "deadline_ms").is_null()) {
    source.deadline_ms = static_cast<int>(integer_at(value, "deadline_ms"));
  }
  if (!member(value, "delay_max_ms").is_null()) {
    source.delay_max_ms = static_cast<int>(integer_at(value, "delay_max_ms"));
  }
  return source;
}

}  // namespace moe::sim
