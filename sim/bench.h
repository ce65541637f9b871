// moebius bench: measured times of one layer's stages on real ranks, beside what this machine could
// do at best and, on demand, beside a peer. Times, never verdicts: what is right is `moebius
// run`'s.

#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/capabilities.h"
#include "comm/communicator.h"
#include "comm/store.h"
#include "comm/symmetric_memory.h"
#include "sim/json_document.h"
#include "sim/scenario.h"

namespace moe::sim {

struct BenchShape {
  std::string name;
  Count hidden_size = 2048;
  Count intermediate_size = 512;
  int num_experts = 32;
  int top_k = 4;
};

// layer: everything; moves: dispatch and combine alone, without experts and their weights.
enum class BenchOf { layer, moves };

enum class Pinning { none, one_core_each };

struct BenchSettings {
  BenchShape shape;
  Count num_tokens = 512;  // of each rank
  int world_size = 2;
  std::string backend = "allgather_reducescatter";
  std::string communicator = "gloo";
  RanksAre ranks = RanksAre::processes;
  DType dtype = DType::bf16;
  Pinning pinning = Pinning::none;
  int iterations = 30;
  DeviceKind device = DeviceKind::cpu;
  BenchOf of = BenchOf::layer;
  int deadline_ms = 60000;  // of every wait for a rank; they fill their weights at different speeds
};

// What is timed. bare_…: the same calls or products alone, on buffers that are kept; window_…: bare
// calls on symmetric windows; queued_…, replayed_…: by a device's own clock (bench_queue.h), the
// others on the host, from a barrier until all is done. checked_layer: the layer with poison, guard
// rows, agreement and provenance, on the host only.
enum class BenchStage {
  route,
  dispatch,
  experts,
  combine,
  layer,
  bare_dispatch,
  bare_experts,
  bare_combine,
  checked_layer,
  queued_dispatch,
  queued_combine,
  queued_pair,
  bare_queued_dispatch,
  bare_queued_combine,
  bare_queued_pair,
  window_queued_dispatch,
  window_queued_combine,
  window_queued_pair,
  replayed_dispatch,
  replayed_combine,
  replayed_pair,
  bare_replayed_dispatch,
  bare_replayed_combine,
  bare_replayed_pair,
  window_replayed_dispatch,
  window_replayed_combine,
  window_replayed_pair
};
inline constexpr std::array<std::string_view, 27> bench_stage_names = {"route",
                                                                       "dispatch",
                                                                       "experts",
                                                                       "combine",
                                                                       "layer",
                                                                       "bare_dispatch",
                                                                       "bare_experts",
                                                                       "bare_combine",
                                                                       "checked_layer",
                                                                       "queued_dispatch",
                                                                       "queued_combine",
                                                                       "queued_pair",
                                                                       "bare_queued_dispatch",
                                                                       "bare_queued_combine",
                                                                       "bare_queued_pair",
                                                                       "window_queued_dispatch",
                                                                       "window_queued_combine",
                                                                       "window_queued_pair",
                                                                       "replayed_dispatch",
                                                                       "replayed_combine",
                                                                       "replayed_pair",
                                                                       "bare_replayed_dispatch",
                                                                       "bare_replayed_combine",
                                                                       "bare_replayed_pair",
                                                                       "window_replayed_dispatch",
                                                                       "window_replayed_combine",
                                                                       "window_replayed_pair"};
static_assert(bench_stage_names.size() ==
              static_cast<std::size_t>(BenchStage::window_replayed_pair) + 1);

// Microseconds, an entry per iteration. The same stages and lengths on every rank; a stage that is
// not measured has none.
using BenchSamples = std::array<std::vector<double>, bench_stage_names.size()>;

struct BenchReport {
  int rank = 0;
  BenchSamples samples;
  Count dispatch_bytes = 0;  // that this rank sends in a layer
  Count combine_bytes = 0;
  double link_gb_per_s = 0;        // that this rank sent in a bare all-gather; 0: not asked
  double copies_gb_per_s = 0;      // that it wrote into a peer's window; 0: there is none
  std::string made_on;             // the device and its libraries; empty: the host
  std::vector<std::string> notes;  // what could not be measured, and why
  std::string failure;             // empty: none
};

// Rows of a rank that a backend with fixed capacity has room for: those that are measured, and what
// fills its multiple up; 0 for others.
Count bench_capacity(const BenchSettings& settings, const Capabilities& capabilities);

// What a rank meets its peers by. bare: for the limits; null: the wire's own calls are bare.
struct BenchWires {
  std::unique_ptr<Communicator> wire;
  std::unique_ptr<Communicator> bare;
  // A window between the ranks of bare. Empty: bare has none.
  std::function<std::unique_ptr<SymmetricMemory>(Count bytes)> window = {};
  // The ranks that are gone without a word; empty: nobody can be asked.
  std::function<std::vector<int>()> lost = {};
  // As Meeting's: for a bare call that waits in vain. Empty where bare is.
  std::function<void(const std::string& words)> end_process = {};
};

// What one rank does, in a thread or a process. settings.pinning has been obeyed by then.
BenchReport run_bench_rank(const BenchSettings& settings, BenchWires wires);

// All ranks of one world. program: this program's own file, for ranks as processes. Throws
// SystemError when a rank failed.
std::vector<BenchReport> run_bench_world(const BenchSettings& settings, const std::string& program,
                                         const std::atomic<bool>& stop);

// Where such a process leaves its report in the store.
std::string bench_report_key(int rank);

// A process that run_bench_world started. RETURNS its exit code.
int bench_rank_process(const StoreAddress& store, const std::string& token, int rank);

JsonValue to_json(const BenchSettings& settings);
BenchSettings bench_settings_from(const JsonValue& value);
JsonValue to_json(const BenchReport& report);
BenchReport bench_report_from(const JsonValue& value);

// The largest over ranks of each iteration, a world's samples.
BenchSamples largest_of_ranks(const std::vector<BenchReport>& reports);

// Percentile of samples, which are not empty; share 0 is the least.
double percentile(std::vector<double> samples, double share);

// One configuration of the peer, as its script reports it.
struct PeerRow {
  std::string method;
  double layer_us = 0;  // median
  double layer_min_us = 0;
};

// One turn of the peer over all its methods. Throws SystemError when it fails.
std::vector<PeerRow> run_peer(const BenchSettings& settings, const std::string& script);

// Why the peer cannot run here; nothing: it can.
std::optional<std::string> peer_absence();

// What a bench found.
struct BenchResult {
  BenchSettings settings;
  BenchSamples samples;
  Count dispatch_bytes = 0;  // of all ranks
  Count combine_bytes = 0;
  double link_gb_per_s = 0;  // the slowest rank's
  double copies_gb_per_s = 0;
  std::string made_on = {};
  std::vector<std::string> notes = {};
  std::vector<PeerRow> peer;  // the median turn's medians, the least minima; empty: none asked for
  std::string peer_absence;
};

// Microseconds that a rank's share of the bytes takes at the faster probe's rate, if all send
// alike; 0: no link was probed.
double bench_floor_us(const BenchResult& result, Count bytes);

JsonValue to_json(const BenchResult& result);
std::string bench_text(const BenchResult& result);

// A table of results in Markdown, a row for each way to make each move, below what made it: commit,
// machine, libraries and command.
std::string bench_markdown(const std::vector<BenchResult>& results, const std::string& command);

}  // namespace moe::sim
