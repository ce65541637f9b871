// OperationWatch: looks after operations of a group that are queued and not awaited, from a thread
// of its own. What is not done by its deadline, or never will be because a peer has left, ends the
// group: its wire is cut, and whoever asks gets a SystemError with rank, operation and reason.
// Knows no library: the wire behind it is nccl_group.h's, or a test's.

#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "comm/operation.h"
#include "comm/peer_news.h"
#include "comm/stuck_watch.h"
#include "kernels/base/device_queue.h"

namespace moe {

// A group's part of a queue, as the watch sees it. THREAD: marks are of the watch's thread, beside
// the rank's; cut and say of any, one at a time.
class WatchedWire {
 public:
  virtual ~WatchedWire() = default;
  // Sets a mark behind all that is queued so far.
  virtual void mark() = 0;
  // Whether all before the oldest mark is done; the mark is gone then.
  virtual bool passes_mark() = 0;
  // Ends what is queued, and the call that the rank may be in. Nothing is asked of it after that;
  // a question that the device has not answered may be under way, from another thread.
  virtual void cut() = 0;
  // The group is broken, this is why, and it is cut next. A wire whose queue no cut ends does not
  // return.
  virtual void say(const std::string& /*words*/) {}
  // Whether it is cut, by this watch or with another group that stands on the same thing.
  virtual bool is_cut() const = 0;
};

struct WatchSettings {
  std::chrono::milliseconds deadline{5000};
  std::chrono::milliseconds turn{2};       // between two looks
  std::chrono::milliseconds patience{50};  // before peers are asked after, and between two askings
};

class OperationWatch final : public QueueWatch {
 public:
  // LIFETIME: the wire and the news outlive it.
  OperationWatch(WatchSettings settings, WatchedWire& wire, const PeerNews& news);

  // The rank enters an operation; its deadline starts. peer: the only rank that it waits for, -1:
  // all. Throws as check() does.
  // by_rank: the rank's call has a deadline of its own, and the wire is not cut meanwhile.
  enum class LookedAfter { by_watch, by_rank };
  void enter(Operation operation, int peer = -1, LookedAfter how = LookedAfter::by_watch);
  // It is in the queue, and its call is over. Where the queue is recording nothing of it is there.
  enum class Queued { for_real, recorded };
  void leave(Queued how = Queued::for_real);

  // Throws once the group is broken; waits where the words for it are still looked for. REQUIRES
  // that all that is queued is done: nobody looks after it any more.
  void check() override;
  void pause() override;
  void resume() override;

  // The rank itself has seen its current operation fail; nothing: it is late. Throws what check()
  // throws; earlier words stay.
  [[noreturn]] void fail(const std::optional<std::string>& why);

  bool is_broken() const;
  // Collectives that the rank has done its part of: where the group is broken, those before the one
  // that it broke in.
  Count num_collectives() const;

 private:
  using Clock = std::chrono::steady_clock;

  struct Pending {
    Count number;      // of all operations
    Count collective;  // of the group's collectives
    Operation operation;
    int peer;
    Clock::time_point since;  // when its deadline started
    LookedAfter how;
    bool is_queued;
  };
  enum class State { whole, breaking, broken };

  void throw_if_broken(std::unique_lock<std::mutex>& lock);
  void look_until(const std::stop_token& told);
  void look(std::unique_lock<std::mutex>& lock);
  void ask_device(std::unique_lock<std::mutex>& lock);
  void judge(std::unique_lock<std::mutex>& lock);
  void end_if_silent(std::unique_lock<std::mutex>& lock, Clock::time_point asked);
  bool is_looked_after() const;
  void mark_queued();
  void drop_done();
  std::optional<std::string> absence(std::unique_lock<std::mutex>& lock);
  Count last_in_mark_of(const Pending& pending) const;
  std::string at(const Pending& oldest) const;
  void give_up(std::unique_lock<std::mutex>& lock, const std::string& operation,
               const std::optional<std::string>& why);

  const WatchSettings settings_;
  WatchedWire& wire_;
  const PeerNews& news_;
  std::mutex asking_;  // of marks; taken before the other one
  mutable std::mutex mutex_;
  std::condition_variable_any told_;
  std::deque<Pending> pending_;  // the oldest first
  std::deque<Count> marks_;      // the last operation before each
  Clock::time_point asked_;      // when peers were asked after
  Count number_ = 0;             // of the next operation
  Count num_collectives_ = 0;
  Count last_marked_ = -1;
  int num_pauses_ = 0;
  State state_ = State::whole;
  std::string words_;
  StuckWatch stuck_;     // while the device is asked
  std::jthread thread_;  // the last to come, the first to go
};

}  // namespace moe
