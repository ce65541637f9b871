// Turns: threads one after the other in the order in which they came. A plain mutex may let the
// same thread in again and again while others wait.

#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace moe {

class Turns {
 public:
  // Held while it is a thread's turn.
  class Turn {
   public:
    explicit Turn(Turns& turns) : turns_(turns) {
      std::unique_lock lock(turns_.mutex_);
      const std::int64_t ticket = turns_.next_ticket_++;
      turns_.over_.wait(lock, [&] { return turns_.now_served_ == ticket; });
    }
    ~Turn() {
      const std::lock_guard lock(turns_.mutex_);
      ++turns_.now_served_;
      turns_.over_.notify_all();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Turns& turns_;
  };

 private:
  std::mutex mutex_;
  std::condition_variable over_;
  std::int64_t next_ticket_ = 0;
  std::int64_t now_served_ = 0;
};

}  // namespace moe
