// Which run lines are run: the scenario's or a trace's, with the command line's words in their
// place. What a line cannot have is refused here, before any rank starts.

#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/backend_choice.h"
#include "sim/registry.h"
#include "sim/run.h"

namespace moe::sim {
namespace {

std::string own_communicator(const RunLine& line) {
  if (!line.communicator.empty()) return line.communicator;
  return line.device == DeviceKind::cuda ? "nccl" : "gloo";
}

bool same_run(const RunLine& a, const RunLine& b) {
  return a.backend == b.backend && a.device == b.device && a.communicator == b.communicator &&
         a.ranks == b.ranks && a.profile == b.profile && a.platform == b.platform &&
         a.selection == b.selection && a.dispatch_site == b.dispatch_site &&
         a.arrival_seed == b.arrival_seed;
}

RunLine overridden(RunLine line, const RunOverrides& overrides) {
  line.device = overrides.device.value_or(line.device);
  line.communicator = overrides.communicator.value_or(line.communicator);
  line.ranks = overrides.ranks.value_or(line.ranks);
  line.profile = overrides.profile.value_or(line.profile);
  line.platform = overrides.platform.value_or(line.platform);
  line.selection = overrides.selection.value_or(line.selection);
  line.dispatch_site = overrides.dispatch_site.value_or(line.dispatch_site);
  line.communicator = own_communicator(line);
  return line;
}

}  // namespace

void add_line(std::vector<RunLine>& lines, const RunLine& line, const RunOverrides& overrides) {
  const RunLine added = overridden(line, overrides);
  const auto is_it = [&added](const RunLine& known) { return same_run(known, added); };
  if (std::ranges::none_of(lines, is_it)) lines.push_back(added);
}

std::vector<std::string> backends_for(const Scenario& scenario, const RunOverrides& overrides) {
  std::vector<std::string> backends;
  for (const RegistryRow& row : registry()) {
    const bool wanted =
        overrides.backends.empty() || std::ranges::count(overrides.backends, row.name) > 0;
    const bool fits =
        (row.backend->capabilities.moves_between_dp_ranks || scenario.world.dp == 1) &&
        backend_refusal(scenario, row.backend->capabilities, profile_with(row.name)).empty();
    if (wanted && fits) backends.emplace_back(row.name);
  }
  return backends;
}

std::vector<RunLine> lines_of(const Scenario& scenario, const RunOverrides& overrides) {
  std::vector<RunLine> lines;
  for (const RunLine& written : scenario.runs) {
    RunLine line = written;
    std::vector<std::string> backends = overrides.backends;
    if (backends.empty()) backends = {line.backend};
    for (const std::string& backend : backends) {
      check_backend_name(backend);
      line.backend = backend;
      add_line(lines, line, overrides);
    }
  }
  return lines;
}

namespace {

constexpr std::string_view no_lines =
    "none is emulated here and moves rows between DP ranks over a communicator that takes such "
    "ranks (moebius list backends)";

// The backends of the command line; without any, all of the registry.
std::vector<std::string> backends_asked(const RunOverrides& overrides) {
  for (const std::string& name : overrides.backends) check_backend_name(name);
  if (!overrides.backends.empty()) return overrides.backends;
  std::vector<std::string> all;
  for (const RegistryRow& row : registry()) all.emplace_back(row.name);
  return all;
}

// Why nobody would look for the backend here, who did not ask for it by name; empty: it runs.
std::string other_backend(const LoadedScenario& loaded, const RunLine& line) {
  const BackendDecision decision = backend_choice(loaded.scenario, line).decision;
  if (decision.backend == line.backend) return "";
  return decision.warnings.empty() ? text("it would be ", decision.backend)
                                   : decision.warnings.front();
}

}  // namespace

RunLine line_with(std::string_view backend) {
  RunLine line;
  line.backend = backend;
  line.profile = profile_with(backend).name;
  line.platform = name_of(platform_with(backend));
  line.communicator = "local";
  return line;
}

TraceLines lines_for_trace(const LoadedScenario& loaded, const RunOverrides& overrides) {
  TraceLines found;
  for (const std::string& backend : backends_asked(overrides)) {
    RunLine line = line_with(backend);
    const RunLine local = overridden(line, overrides);
    std::string why = line_refusal(loaded, local);
    if (!why.empty() && !overrides.backends.empty()) {
      throw ScenarioError(text("--backend ", backend, ": ", why));
    }
    if (why.empty() && overrides.backends.empty()) why = other_backend(loaded, local);
    if (!why.empty()) {
      found.left_out.push_back({local, why});
      continue;
    }
    add_line(found.lines, line, overrides);
    line.communicator = "gloo";
    add_line(found.lines, line, overrides);
    line.ranks = RanksAre::processes;
    add_line(found.lines, line, overrides);
  }
  std::erase_if(found.lines, [](const RunLine& line) {
    return line.communicator == "local" && line.ranks == RanksAre::processes;
  });
  if (found.lines.empty()) {
    throw ScenarioError(text(
        "no line can be made for this trace on ", loaded.scenario.world.dp, " DP ranks: of ",
        overrides.backends.empty() ? "all backends" : joined(overrides.backends), " ", no_lines,
        found.left_out.empty()
            ? ""
            : text("; ", found.left_out[0].line.backend, ": ", found.left_out[0].why)));
  }
  return found;
}

}  // namespace moe::sim
