// Looks after work that takes long, from a thread of its own: a wait in a library that cannot be
// asked whether its peer still lives is looked at now and then. Knows no wire and no rank.

#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace moe {

class StuckWatch {
 public:
  StuckWatch() : thread_([this](const std::stop_token& told) { look_until(told); }) {}

  // While it lives, look() is called every second turn at the latest, from the watch's thread.
  class Work {
   public:
    Work(StuckWatch& watch, std::function<void()> look) : watch_(watch) {
      const std::lock_guard lock(watch_.mutex_);
      watch_.look_ = std::move(look);
      watch_.is_new_ = true;
    }
    ~Work() {
      const std::lock_guard lock(watch_.mutex_);  // a look under way ends first
      watch_.look_ = nullptr;
    }
    Work(const Work&) = delete;
    Work& operator=(const Work&) = delete;

   private:
    StuckWatch& watch_;
  };

 private:
  static constexpr std::chrono::milliseconds turn{150};

  void look_until(const std::stop_token& told) {
    std::unique_lock lock(mutex_);
    while (!told.stop_requested()) {
      told_.wait_for(lock, told, turn, [] { return false; });
      if (look_ && !std::exchange(is_new_, false)) look_();
    }
  }

  std::mutex mutex_;
  std::condition_variable_any told_;
  std::function<void()> look_;
  bool is_new_ = false;
  std::jthread thread_;  // the last to come, the first to go
};

}  // namespace moe
