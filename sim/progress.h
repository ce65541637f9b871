// Progress: ranks count what they have done, and one line on a terminal's standard error shows it.
// Where there is no terminal nothing is shown; no result depends on it.

#pragma once

#include <atomic>
#include <condition_variable>
#include <iosfwd>
#include <list>
#include <mutex>
#include <string>
#include <thread>

#include "kernels/base/dtype.h"

namespace moe::sim {

// What the ranks of one run line have done so far. Ranks that are processes cannot count here.
struct LineProgress {
  std::atomic<int> steps{0};   // that rank 0 has begun
  std::atomic<Count> rows{0};  // judged, of all ranks
};

// What a run line will do in all.
struct LineWork {
  std::string words;  // scenario and line
  int steps = 0;
  Count rows = 0;
};

// THREAD: any.
class ProgressDisplay {
 public:
  // lines: how many run lines there are to do. stream null: shows nothing.
  ProgressDisplay(std::ostream* stream, Count lines);
  ~ProgressDisplay();
  ProgressDisplay(const ProgressDisplay&) = delete;
  ProgressDisplay& operator=(const ProgressDisplay&) = delete;

  class Line;

  // The line as it stands now, without what a terminal needs around it; empty if nothing runs.
  std::string words() const;

  // Takes the line away while results are printed by function.
  template <typename Function>
  void hidden_while(const Function& function) {
    const std::lock_guard lock(mutex_);
    erase();
    function();
  }

 private:
  struct Running {
    LineWork work;
    LineProgress progress;
  };

  void show_until_told(const std::stop_token& told);
  void erase();
  std::string words_locked() const;

  std::ostream* stream_;
  Count lines_;
  Count begun_ = 0;
  bool is_shown_ = false;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::list<Running> running_;
  std::jthread thread_;
};

// One run line's stay in the display. display may be null.
class ProgressDisplay::Line {
 public:
  Line(ProgressDisplay* display, LineWork work);
  ~Line();
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  // Where its ranks count; null without a display.
  LineProgress* progress() const;

 private:
  ProgressDisplay* display_;
  std::list<Running>::iterator at_;
};

}  // namespace moe::sim
