// moebius bench: our layer, and the peer's in turns with it where one is asked for, so that both
// meet the same machine. Prints one table or one JSON object.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "kernels/base/text.h"
#include "sim/bench_operators.h"
#include "sim/commands.h"

namespace moe::sim {
namespace {

constexpr int turns_with_peer = 3;

// The peer's script, here or around the program, as scenarios are found.
std::string peer_script(const std::string& program) {
  namespace fs = std::filesystem;
  const fs::path script = fs::path("tests") / "bench" / "peer_torch_gloo.py";
  if (fs::exists(script)) return script.string();
  for (fs::path at = fs::path(program).parent_path(); at.has_relative_path();
       at = at.parent_path()) {
    if (fs::exists(at / script)) return (at / script).string();
  }
  throw ScenarioError(text("--peer torch: no ", script.string(), " here or around the program"));
}

void add(BenchSamples& samples, const BenchSamples& more) {
  for (std::size_t stage = 0; stage < samples.size(); ++stage) {
    samples[stage].insert(samples[stage].end(), more[stage].begin(), more[stage].end());
  }
}

void add_world(BenchResult& result, const BenchSettings& settings,
               const Surroundings& surroundings) {
  const auto reports = run_bench_world(settings, surroundings.program, surroundings.stop);
  add(result.samples, largest_of_ranks(reports));
  result.dispatch_bytes = 0;
  result.combine_bytes = 0;
  result.link_gb_per_s = reports.front().link_gb_per_s;
  result.copies_gb_per_s = reports.front().copies_gb_per_s;
  result.made_on = reports.front().made_on;
  result.notes = reports.front().notes;
  for (const BenchReport& report : reports) {
    result.link_gb_per_s = std::min(result.link_gb_per_s, report.link_gb_per_s);
    result.copies_gb_per_s = std::min(result.copies_gb_per_s, report.copies_gb_per_s);
    result.dispatch_bytes += report.dispatch_bytes;
    result.combine_bytes += report.combine_bytes;
  }
}

// Each method's median of its turns' medians, and its least minimum.
std::vector<PeerRow> joined_turns(const std::vector<std::vector<PeerRow>>& turns) {
  std::vector<PeerRow> joined_rows = turns.front();
  for (std::size_t method = 0; method < joined_rows.size(); ++method) {
    std::vector<double> medians;
    std::vector<double> minima;
    for (const auto& rows : turns) {
      medians.push_back(rows.at(method).layer_us);
      minima.push_back(rows.at(method).layer_min_us);
    }
    joined_rows[method].layer_us = percentile(medians, 0.5);
    joined_rows[method].layer_min_us = percentile(minima, 0);
  }
  return joined_rows;
}

BenchResult measured(const BenchSettings& settings, bool has_peer,
                     const Surroundings& surroundings) {
  BenchResult result{.settings = settings};
  if (has_peer) result.peer_absence = peer_absence().value_or("");
  if (!has_peer || !result.peer_absence.empty()) {
    add_world(result, settings, surroundings);
    return result;
  }
  const std::string script = peer_script(surroundings.program);
  BenchSettings turn = settings;
  turn.iterations = (settings.iterations + turns_with_peer - 1) / turns_with_peer;
  std::vector<std::vector<PeerRow>> turns;
  for (int i = 0; i < turns_with_peer; ++i) {
    if (surroundings.is_error_terminal) {
      std::cerr << "moebius: turn " << i + 1 << " of " << turns_with_peer
                << ": this program's layer, then the peer's four methods" << std::endl;
    }
    add_world(result, turn, surroundings);
    turns.push_back(run_peer(turn, script));
  }
  result.peer = joined_turns(turns);
  return result;
}

// What was measured until the run was told to stop, which also ends ranks and the peer in the
// middle.
std::vector<BenchResult> measured_until_stopped(const BenchCommand& bench,
                                                const Surroundings& surroundings) {
  std::vector<BenchResult> results;
  try {
    for (const BenchSettings& settings : bench.all()) {
      results.push_back(measured(settings, !bench.peer.empty(), surroundings));
      if (bench.json != "-") std::cout << bench_text(results.back()) << std::flush;
    }
  } catch (const SystemError&) {
    if (!surroundings.stop.load()) throw;
  }
  return results;
}

std::ofstream opened(const std::string& option, const std::string& path, std::ios::openmode how) {
  std::ofstream file;
  if (path.empty() || path == "-") return file;
  file.open(path, how);
  if (!file) throw ScenarioError(text(option, ": cannot write ", path));
  return file;
}

}  // namespace

int bench_command(const BenchCommand& bench, const Surroundings& surroundings) {
  std::ofstream json = opened("--json", bench.json, std::ios::out);
  if (bench.operators) {
    const OperatorBench result = run_operator_bench(
        bench.settings, bench.says_sizes ? bench.all() : std::vector<BenchSettings>());
    if (json.is_open()) json << json_text(to_json(result)) << std::endl;
    std::cout << (bench.json == "-" ? json_text(to_json(result)) + "\n" : operators_text(result))
              << std::flush;
    if (!json) throw ScenarioError("the result cannot be written");
    return 0;
  }
  std::ofstream markdown = opened("--results", bench.results, std::ios::app);
  const std::vector<BenchResult> results = measured_until_stopped(bench, surroundings);
  for (const BenchResult& result : results) {
    if (json.is_open()) json << json_text(to_json(result)) << std::endl;
    if (bench.json == "-") std::cout << json_text(to_json(result)) << std::endl;
  }
  if (markdown.is_open() && !results.empty()) {
    markdown << bench_markdown(results, bench.words) << std::flush;
  }
  if (results.size() < bench.all().size()) return 130;
  if (!json || !markdown) throw ScenarioError("the result cannot be written");
  return 0;
}

}  // namespace moe::sim
