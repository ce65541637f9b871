// Running: a scenario is loaded once, each of its run lines becomes a world, the world's reports
// become an Outcome. The only place that sees both the layer and the judge.

#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "sim/log.h"
#include "sim/progress.h"
#include "sim/scenario_source.h"
#include "sim/verdict.h"

namespace moe::sim {

class JoinedWorld;

// A scenario with everything its run lines share. Stays where it was made.
struct LoadedScenario {
  // Throws ScenarioError.
  explicit LoadedScenario(const ScenarioSource& source);
  // One that no file holds: the oracle judges it, and its ranks cannot be processes.
  explicit LoadedScenario(Scenario made);
  LoadedScenario(const LoadedScenario&) = delete;
  LoadedScenario& operator=(const LoadedScenario&) = delete;

  ScenarioSource source;
  Scenario scenario;
  std::optional<golden::Golden> golden;
  WorldInputs inputs;
};

struct RunSettings {
  std::vector<FaultSpec> faults;      // of the command line, beside the scenario's own
  std::vector<std::string> required;  // a skip for want of one of these fails
  std::string program;                // this program's own file, for ranks that are processes
  const std::atomic<bool>& stop;
  const Log* log = nullptr;
  ProgressDisplay* progress = nullptr;
  JoinedWorld* joined = nullptr;  // ranks that are processes are then those of this job
};

// The backends that can take the scenario's world, in the registry's order; those of the command
// line if it names some.
std::vector<std::string> backends_for(const Scenario& scenario, const RunOverrides& overrides);

// A line with the backend, under a profile and on a platform that have it.
RunLine line_with(std::string_view backend);

// Adds the line with the command line's words in their place, unless it is there already.
void add_line(std::vector<RunLine>& lines, const RunLine& line, const RunOverrides& overrides);

// The scenario's run lines with the command line's words in their place, none twice. Communicators
// are filled in. Throws ScenarioError for a backend that does not exist.
std::vector<RunLine> lines_of(const Scenario& scenario, const RunOverrides& overrides);

// For a trace without a scenario: every backend that can take its world, on local threads and on
// Gloo as threads and as processes, on a platform that has it. Left out is what cannot, or would be
// another backend there, each with its reason. Throws ScenarioError where the command line names
// one that cannot, or nothing is left.
struct LeftOut {
  RunLine line;
  std::string why;
};
struct TraceLines {
  std::vector<RunLine> lines;
  std::vector<LeftOut> left_out;
};
TraceLines lines_for_trace(const LoadedScenario& loaded, const RunOverrides& overrides);

// Why no build can run the line; empty: one could.
std::string line_refusal(const LoadedScenario& loaded, const RunLine& line);

// Throws ScenarioError where the line asks for what cannot be: a backend that does not fit the
// world, local processes, a fault in a place that the world does not have.
void check_line(const LoadedScenario& loaded, const RunLine& line, const RunSettings& settings);

// Checks the line; whatever happens to the ranks is in the Outcome.
Outcome run_line(const LoadedScenario& loaded, const RunLine& line, const RunSettings& settings);

}  // namespace moe::sim
