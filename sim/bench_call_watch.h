// CallWatch: looks after the calls of a bench's rank that has bare ones, which have no watch of
// their own. The group's watch, whose words are better, has a moment more. Ends the process: to
// leave a bare call is to wait for its peers. Called by bench_rank.cc, and by a StuckWatch.

#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/base/text.h"

namespace moe::sim {

class CallWatch {
 public:
  struct Settings {
    std::chrono::milliseconds deadline{60000};
    std::string rank;   // as words say it: "rank 0 of 2"
    std::string calls;  // whose they are: "bare or of allgather_reducescatter"
    // The members of the store that are gone without a word; empty: nobody can be asked.
    std::function<std::vector<int>()> lost = {};
    std::function<void(const std::string& words)> end_process;
  };

  explicit CallWatch(Settings settings) : settings_(std::move(settings)) {}

  // A call begins; it is over. A rank's own work between calls waits for nobody and takes its time.
  void begin() { since_ = Clock::now(); }
  void end() { since_ = nobody_waits; }

  // Ends the process where a call waits in vain. THREAD: a watch's.
  void look() const {
    const Clock::time_point since = since_;
    if (since == nobody_waits) return;
    const auto lasts = Clock::now() - since;
    if (lasts > others_speak / 2) end_if_lost();
    if (lasts < settings_.deadline + others_speak) return;
    settings_.end_process(text(settings_.rank, ": no call, ", settings_.calls,
                               ", has ended within ", settings_.deadline.count(), " ms"));
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr Clock::time_point nobody_waits = Clock::time_point::max();
  static constexpr std::chrono::milliseconds others_speak{2000};

  void end_if_lost() const {
    if (!settings_.lost) return;
    std::vector<int> lost;
    try {
      lost = settings_.lost();
    } catch (const std::exception&) {
      return;  // without a store the deadline counts
    }
    if (lost.empty()) return;
    std::ranges::sort(lost);
    settings_.end_process(text(settings_.rank, ": a call, ", settings_.calls, ", waits: rank ",
                               joined(lost, ", rank "), " is gone without a word"));
  }

  const Settings settings_;
  std::atomic<Clock::time_point> since_ = nobody_waits;
};

}  // namespace moe::sim
