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
  for (const BenchReport& report : reports) {
    result.link_gb_per_s = std::min(result.link_gb_per_s, report.link_gb_per_s);
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

BenchResult measured(const BenchCommand& bench, const Surroundings& surroundings) {
  BenchResult result{.settings = bench.settings};
  if (!bench.peer.empty()) result.peer_absence = peer_absence().value_or("");
  if (bench.peer.empty() || !result.peer_absence.empty()) {
    add_world(result, bench.settings, surroundings);
    return result;
  }
  const std::string script = peer_script(surroundings.program);
  BenchSettings turn = bench.settings;
  turn.iterations = (bench.settings.iterations + turns_with_peer - 1) / turns_with_peer;
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

// Nothing: the run was told to stop, which also ends ranks and the peer in the middle.
std::optional<BenchResult> measured_unless_stopped(const BenchCommand& bench,
                                                   const Surroundings& surroundings) {
  try {
    return measured(bench, surroundings);
  } catch (const SystemError&) {
    if (!surroundings.stop.load()) throw;
    return std::nullopt;
  }
}

}  // namespace

int bench_command(const BenchCommand& bench, const Surroundings& surroundings) {
  std::ofstream file;
  const bool to_file = !bench.json.empty() && bench.json != "-";
  if (to_file) file.open(bench.json);
  if (to_file && !file) throw ScenarioError(text("--json: cannot write ", bench.json));
  std::string table;
  std::string json;
  if (bench.operators) {
    const OperatorBench result = run_operator_bench(bench.settings);
    table = operators_text(result);
    json = json_text(to_json(result));
  } else {
    const std::optional<BenchResult> result = measured_unless_stopped(bench, surroundings);
    if (!result) return 130;
    table = bench_text(*result);
    json = json_text(to_json(*result));
  }
  if (to_file) file << json << std::endl;
  std::cout << (bench.json == "-" ? json + "\n" : table) << std::flush;
  if (!std::cout || (to_file && !file)) throw ScenarioError("the result cannot be written");
  return 0;
}

}  // namespace moe::sim
