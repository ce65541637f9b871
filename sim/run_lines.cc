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

// The backends of the command line, each of which must be able to take the trace; without any, all
// that can.
std::vector<std::string> backends_for_trace(const Scenario& scenario,
                                            const RunOverrides& overrides) {
  if (overrides.backends.empty()) return backends_for(scenario, overrides);
  for (const std::string& name : overrides.backends) {
    check_backend_name(name);
    const auto refuse = [&](const std::string& why) {
      throw ScenarioError(text("--backend ", name, ": ", why));
    };
    const auto row = std::ranges::find(registry(), emulation_of(name), &RegistryRow::name);
    if (row == registry().end()) refuse("vLLM has it, it is not emulated yet");
    const Capabilities& capabilities = row->backend->capabilities;
    if (!capabilities.moves_between_dp_ranks && scenario.world.dp > 1) {
      refuse(text("it moves no rows between DP ranks, and the trace has ", scenario.world.dp));
    }
    const std::string refusal = backend_refusal(scenario, capabilities, profile_with(name));
    if (!refusal.empty()) refuse(text("it ", refusal));
  }
  return overrides.backends;
}

}  // namespace

std::vector<RunLine> lines_for_trace(const Scenario& scenario, const RunOverrides& overrides) {
  std::vector<RunLine> lines;
  for (const std::string& backend : backends_for_trace(scenario, overrides)) {
    RunLine line;
    line.backend = backend;
    line.profile = profile_with(backend).name;
    line.communicator = "local";
    add_line(lines, line, overrides);
    line.communicator = "gloo";
    add_line(lines, line, overrides);
    line.ranks = RanksAre::processes;
    add_line(lines, line, overrides);
  }
  std::erase_if(lines, [](const RunLine& line) {
    return line.communicator == "local" && line.ranks == RanksAre::processes;
  });
  if (lines.empty()) {
    throw ScenarioError(
        text("no line can be made for this trace on ", scenario.world.dp, " DP ranks: of ",
             overrides.backends.empty() ? "all backends" : joined(overrides.backends),
             " none is emulated here and moves rows between DP ranks over a communicator that "
             "takes such ranks (moebius list backends)"));
  }
  return lines;
}

}  // namespace moe::sim
