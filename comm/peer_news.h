// PeerNews: what the ranks of a group leave in the store when they leave the group, and what the
// store knows of those that left without a word. For wires that do not tell when a peer is gone.

#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "comm/store.h"
#include "kernels/base/tensor.h"

namespace moe {

// A rank's group as the store knows it.
struct NewsGroup {
  std::string name;  // notes of groups with other names are apart
  int rank = 0;
  std::vector<int> members;  // of the store, by rank
};

// How a rank leaves.
enum class Leaving { done, failing };

// THREAD: any.
class PeerNews {
 public:
  PeerNews(NewsGroup group, StoreClient& store) : group_(std::move(group)), store_(store) {}

  const NewsGroup& group() const { return group_; }
  StoreClient& store() const { return store_; }

  // This rank leaves after so many collective operations. Without a store that answers: nothing.
  void leave(Count num_collectives, Leaving how) const;

  // Whether every peer leaves with its work done, so long at most. Waits for those that have not;
  // for nobody, with false, once one is lost, has left failing, or the store is gone.
  bool all_leave(std::chrono::milliseconds patience) const;

  // The same of what a rank does after that: it says that nothing of it waits for a peer any more,
  // or that it could not see to that.
  void close(Leaving how) const;
  bool all_close(std::chrono::milliseconds patience) const;

  // Whether every peer has left, however, or is lost.
  bool all_are_gone(std::chrono::milliseconds patience) const;

  // Who will never come to the collective operation of that number, counted from 0, in words;
  // nothing: nobody is known. peer: only this rank's absence matters, at any number; -1: any
  // rank's. Throws nothing: where the store is gone, that is the news.
  std::optional<std::string> absence(Count collective, int peer) const;

 private:
  enum class Going { in_peace, anyhow };
  bool all_say(std::string_view what, Going going, std::chrono::milliseconds patience) const;
  void say(std::string_view what, const std::string& note) const;
  bool is_lost(int rank, const std::vector<int>& lost_members) const;

  NewsGroup group_;
  StoreClient& store_;
};

}  // namespace moe
