// What a device's own clock says about a layer's moves: calls queued one behind the other, and
// recorded calls that are played again. No host waits inside what is timed.

#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/base/device_queue.h"
#include "sim/bench.h"
#include "sim/bench_calls.h"

namespace moe::sim {

// One way to make a layer's moves. combine takes up one of the dispatches that were held; dispatch
// drops what it got.
struct BenchMoves {
  std::function<void(int count)> hold;
  std::function<void()> dispatch;
  std::function<void()> combine;
  std::function<void()> pair;  // combine of its own dispatch
};

// Where the times of one way go.
struct MovesStages {
  BenchStage queued_dispatch;
  BenchStage queued_combine;
  BenchStage queued_pair;
  BenchStage replayed_dispatch;
  BenchStage replayed_combine;
  BenchStage replayed_pair;
};

inline constexpr MovesStages layer_stages = {
    BenchStage::queued_dispatch,   BenchStage::queued_combine,   BenchStage::queued_pair,
    BenchStage::replayed_dispatch, BenchStage::replayed_combine, BenchStage::replayed_pair};
inline constexpr MovesStages bare_stages = {
    BenchStage::bare_queued_dispatch,  BenchStage::bare_queued_combine,
    BenchStage::bare_queued_pair,      BenchStage::bare_replayed_dispatch,
    BenchStage::bare_replayed_combine, BenchStage::bare_replayed_pair};
inline constexpr MovesStages window_stages = {
    BenchStage::window_queued_dispatch,  BenchStage::window_queued_combine,
    BenchStage::window_queued_pair,      BenchStage::window_replayed_dispatch,
    BenchStage::window_replayed_combine, BenchStage::window_replayed_pair};

// The library's own calls. LIFETIME: not longer than the calls.
BenchMoves bare_moves(const BareCalls& dispatch, const BareCalls& combine);

struct TimedMoves {
  BenchMoves moves;
  MovesStages stages;
};

// How often, and whom each tells that calls still end.
struct Iterations {
  int count = 0;
  std::function<void()> alive;
};

// Times all ways in turns, so that a busy machine slows them alike: an entry per iteration, of
// replays the share of one call. RETURNS why some calls could not be recorded, one sentence each.
// Collective over the group, which ends with a barrier: what hangs in a replay misses its deadline.
std::vector<std::string> time_moves(const std::vector<TimedMoves>& ways, Communicator& group,
                                    const Iterations& iterations, BenchSamples& samples);

// Of a window to probe the link with: long enough that its start does not count.
inline constexpr Count probe_window_bytes = Count{64} << 20U;

// GB/s at which this rank writes into the next one's part of a window, while all do; by the
// device's own copies.
double probed_link(Communicator& group, const SymmetricMemory& window);

}  // namespace moe::sim
