// EPLB's statistics of a rank: what each physical expert had to do in a pass, the window of the
// last passes, the counter that says when to rearrange, and the balancedness that vLLM logs (vLLM:
// distributed/eplb/eplb_state.py; experts-and-oracles.md, 12.1). Nothing here talks.

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backends/placement/replica_maps.h"

namespace moe {

struct EplbSchedule {
  int window_size = 1000;
  int step_interval = 3000;
};

// Counts forward steps. The first rearrangement comes after a quarter of the interval.
class RearrangementClock {
 public:
  explicit RearrangementClock(const EplbSchedule& settings)
      : settings_(settings), step_(settings.step_interval - settings.step_interval / 4) {}

  // Whether the running step can still be in the window when the rearrangement comes.
  bool is_recording() const { return settings_.step_interval - step_ <= settings_.window_size; }

  // The running step is over. RETURNS whether a rearrangement is due, which starts the count anew.
  bool end_step();

 private:
  EplbSchedule settings_;
  int step_;
};

// Loads of the physical experts of all layers: [layer][physical expert].
using LayerLoads = std::vector<std::vector<std::int64_t>>;

// The last window_size passes that were recorded; an older one makes room.
class LoadWindow {
 public:
  LoadWindow(int num_layers, int num_physical, int window_size);

  // One token's choice in the pass that is running.
  void count(int layer, int physical) {
    ++pass_[static_cast<std::size_t>(layer)][static_cast<std::size_t>(physical)];
  }

  // The pass is over: it enters the window, and the next one starts at 0.
  void end_pass();

  // The sum over the window.
  LayerLoads sum() const;

 private:
  LayerLoads empty_;
  LayerLoads pass_;
  std::vector<LayerLoads> ring_;
  std::size_t next_ = 0;
  std::size_t window_size_;
};

// The load of each logical expert: the sum over its replicas. loads: one entry a slot of the maps.
std::vector<double> logical_loads(const ReplicaMaps& maps, std::span<const double> loads);

// How balancedness is averaged. over_ranks: the sum over layers of the ranks' mean, over the sum
// over layers of their maximum. over_layers: as shipped until #51813, mean and maximum are taken
// over the layers and summed over the ranks, which says nothing of balance.
enum class BalancednessAxis { over_ranks, over_layers };

// loads [layer][rank], all of one width. 0 where nothing was computed.
double balancedness(std::span<const std::vector<double>> loads, BalancednessAxis axis);

}  // namespace moe
