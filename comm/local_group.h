// LocalGroup::State, the meeting room of ranks that are threads of one process: who has arrived,
// what each shows the others, who still reads. Only local_communicator.cc uses it; it moves no
// rows.

#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "comm/local_communicator.h"
#include "comm/operation.h"
#include "comm/split.h"

namespace moe {

// What a rank shows its peers while it is in a collective.
struct Shown {
  Operation operation = Operation::barrier;
  Tensors tensors = {};
  RowCounts counts = {};    // rows_per_rank, or rows_to
  int root = 0;             // of broadcast
  SplitChoice choice = {};  // of split
};

class LocalGroup::State {
 public:
  State(int size, std::chrono::milliseconds deadline);

  int size() const { return static_cast<int>(shown_.size()); }

  // Marks a rank's endpoint as taken; each is taken once.
  void take(int rank);

  // The rank's endpoint is gone: who waits for it need not wait any longer.
  void leave(int rank);

  // Breaks this group and those split from it: all waiting ranks wake with a SystemError.
  void abort(const std::string& why);

  // Waits until all ranks are in the same operation. Throws SystemError when that does not happen.
  // After enter, what the others show may be read until exit; exit waits until nobody reads.
  void enter(int rank, const Shown& shown);
  void exit();
  const Shown& shown_by(int rank) const { return *shown_[static_cast<std::size_t>(rank)]; }

  // "operation 7 (all_gather_v)", for a rank that has entered.
  std::string current(int rank);

  // send and recv: send returns when the receiver has called taken().
  void offer(std::pair<int, int> from_to, Tensors tensors);
  Tensors await_offer(std::pair<int, int> from_to);
  void taken(std::pair<int, int> from_to);

  // The state that all ranks of one color get in the split that they are in now.
  State& child(int color, int size);

 private:
  struct Offer {
    Tensors tensors = {};
    bool being_taken = false;
    bool done = false;
  };
  using Lock = std::unique_lock<std::mutex>;

  void throw_if_broken() const;
  void break_group(const std::string& why);
  [[noreturn]] void fail(const std::string& why);
  std::vector<int> absent_ranks() const;
  bool somebody_will_not_come() const;
  std::string not_arrived(Operation operation) const;

  const std::chrono::milliseconds deadline_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<std::string> broken_;  // why, once it is
  Count meetings_ = 0;                 // collectives in which all ranks have met
  int num_arrived_ = 0;
  int num_inside_ = 0;
  std::vector<const Shown*> shown_;
  std::vector<bool> arrived_;
  std::vector<bool> taken_;
  std::vector<bool> left_;
  std::map<std::pair<int, int>, Offer*> offers_;
  std::map<std::pair<Count, int>, State*> colors_;  // by meeting and color
  std::vector<std::unique_ptr<State>> children_;
};

}  // namespace moe
