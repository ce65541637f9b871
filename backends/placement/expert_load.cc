// Sums and counters; a rank's loads are added up over the group by whoever holds its communicator.
// Recording stops outside the window so that a long interval costs nothing.

#include "backends/placement/expert_load.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

// Mean and maximum of each line, each summed over the lines.
double mean_over_maximum(std::span<const std::vector<double>> lines) {
  double means = 0;
  double maxima = 0;
  for (const std::vector<double>& line : lines) {
    if (line.empty()) continue;
    means += std::accumulate(line.begin(), line.end(), 0.0) / static_cast<double>(line.size());
    maxima += std::ranges::max(line);
  }
  return maxima > 0 ? means / maxima : 0;
}

}  // namespace

bool RearrangementClock::end_step() {
  if (++step_ < settings_.step_interval) return false;
  step_ = 0;
  return true;
}

LoadWindow::LoadWindow(int num_layers, int num_physical, int window_size)
    : empty_(static_cast<std::size_t>(num_layers),
             std::vector<std::int64_t>(static_cast<std::size_t>(num_physical))),
      pass_(empty_),
      window_size_(static_cast<std::size_t>(window_size)) {
  MOE_CHECK(window_size > 0, text("a window of ", window_size, " passes"));
}

void LoadWindow::end_pass() {
  LayerLoads ended = std::exchange(pass_, empty_);
  if (ring_.size() < window_size_) {
    ring_.push_back(std::move(ended));
    return;
  }
  ring_[next_] = std::move(ended);
  next_ = (next_ + 1) % window_size_;
}

LayerLoads LoadWindow::sum() const {
  LayerLoads total = empty_;
  for (const LayerLoads& pass : ring_) {
    for (std::size_t layer = 0; layer < total.size(); ++layer) {
      for (std::size_t slot = 0; slot < total[layer].size(); ++slot) {
        total[layer][slot] += pass[layer][slot];
      }
    }
  }
  return total;
}

std::vector<double> logical_loads(const ReplicaMaps& maps, std::span<const double> loads) {
  MOE_CHECK(std::ssize(loads) == maps.num_physical(),
            text(loads.size(), " loads for ", maps.num_physical(), " slots"));
  std::vector<double> of_logical(maps.logical_to_physical.size());
  for (std::size_t slot = 0; slot < loads.size(); ++slot) {
    of_logical[static_cast<std::size_t>(maps.physical_to_logical[slot])] += loads[slot];
  }
  return of_logical;
}

double balancedness(std::span<const std::vector<double>> loads, BalancednessAxis axis) {
  if (axis == BalancednessAxis::over_ranks || loads.empty()) return mean_over_maximum(loads);
  std::vector<std::vector<double>> by_rank(loads.front().size());
  for (const std::vector<double>& layer : loads) {
    for (std::size_t rank = 0; rank < by_rank.size(); ++rank) by_rank[rank].push_back(layer[rank]);
  }
  return mean_over_maximum(by_rank);
}

}  // namespace moe
