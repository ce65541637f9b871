// One queue: workers take the next number, the caller takes the next result. Workers stay a little
// ahead of the caller, never far.

#include "sim/ordered_jobs.h"

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

namespace moe::sim {
namespace {

constexpr Count ahead_max = 64;

class Queue {
 public:
  explicit Queue(const OrderedJobs& jobs) : jobs_(jobs), working_(jobs.threads) {}

  // What one worker does until nothing is left.
  void work(const std::function<std::vector<Outcome>(Count)>& run) {
    while (const std::optional<Count> number = next()) {
      try {
        finish(*number, run(*number));
      } catch (...) {
        fail(std::current_exception());
      }
    }
    const std::lock_guard lock(mutex_);
    --working_;
    changed_.notify_all();
  }

  // The results of the next number; nothing when no more will come.
  std::optional<std::vector<Outcome>> taken() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return done_.contains(taken_) || working_ == 0; });
    const auto found = done_.find(taken_);
    if (found == done_.end()) return std::nullopt;
    std::vector<Outcome> outcomes = std::move(found->second);
    done_.erase(found);
    ++taken_;
    changed_.notify_all();
    return outcomes;
  }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

  // Lets the workers end: the caller takes no more.
  void abandon() {
    const std::lock_guard lock(mutex_);
    abandoned_ = true;
    changed_.notify_all();
  }

 private:
  std::optional<Count> next() {
    std::unique_lock lock(mutex_);
    const auto is_over = [this] {
      return started_ == jobs_.count || error_ || abandoned_ || jobs_.stop.load();
    };
    changed_.wait(lock, [&] { return is_over() || started_ - taken_ < ahead_max; });
    if (is_over()) return std::nullopt;
    return started_++;
  }

  void finish(Count number, std::vector<Outcome> outcomes) {
    const std::lock_guard lock(mutex_);
    done_[number] = std::move(outcomes);
    changed_.notify_all();
  }

  void fail(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
    changed_.notify_all();
  }

  const OrderedJobs& jobs_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Count, std::vector<Outcome>> done_;
  Count started_ = 0;
  Count taken_ = 0;
  int working_;
  bool abandoned_ = false;
  std::exception_ptr error_;
};

// Abandons the queue before its workers are joined, also when the caller throws.
class Workers {
 public:
  Workers(Queue& queue, const OrderedJobs& jobs,
          const std::function<std::vector<Outcome>(Count)>& run)
      : queue_(queue) {
    for (int i = 0; i < jobs.threads; ++i) threads_.emplace_back([&] { queue_.work(run); });
  }
  ~Workers() { queue_.abandon(); }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

 private:
  Queue& queue_;
  std::vector<std::jthread> threads_;
};

}  // namespace

void run_in_order(const OrderedJobs& jobs, const std::function<std::vector<Outcome>(Count)>& run,
                  const std::function<void(const std::vector<Outcome>&)>& take) {
  if (jobs.threads == 1) {
    for (Count number = 0; number < jobs.count && !jobs.stop.load(); ++number) take(run(number));
    return;
  }
  Queue queue(jobs);
  {
    const Workers workers(queue, jobs, run);
    while (const auto outcomes = queue.taken()) take(*outcomes);
  }
  queue.rethrow();
}

}  // namespace moe::sim
