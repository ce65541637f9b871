// Notes are "collectives;how". A rank that left with a note has done its part of all before, even
// where its process has ended since; one without a note is lost at any operation.

#include "comm/peer_news.h"

#include <algorithm>

#include "kernels/base/text.h"

namespace moe {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds ask_after{50};  // whether somebody is lost who has not left

std::string key_of(const std::string& group, int rank) { return text("left/", group, "/", rank); }

std::string words_of(int rank, Count num_collectives, bool is_failing) {
  return text("peer rank ", rank, " has left after ", num_collectives, " collective operations",
              is_failing ? ", since it failed" : "");
}

}  // namespace

void PeerNews::leave(Count num_collectives, Leaving how) const {
  try {
    store_.set(key_of(group_.name, group_.rank),
               text(num_collectives, how == Leaving::failing ? ";failing" : ";done"));
  } catch (const std::exception&) {
    return;  // peers that have lost the store as well hear that instead
  }
}

void PeerNews::await_leaving(milliseconds patience) const {
  const auto end = std::chrono::steady_clock::now() + patience;
  const auto is_lost = [this](int rank) {
    const int member = group_.members[static_cast<std::size_t>(rank)];
    return std::ranges::count(store_.lost_members(), member) > 0;
  };
  try {
    for (int rank = 0; rank < static_cast<int>(group_.members.size()); ++rank) {
      if (rank == group_.rank) continue;
      while (!store_.get(key_of(group_.name, rank), ask_after) && !is_lost(rank)) {
        if (std::chrono::steady_clock::now() > end) return;
      }
    }
  } catch (const std::exception&) {
    return;
  }
}

std::optional<std::string> PeerNews::absence(Count collective, int peer) const {
  try {
    const std::vector<int> lost = store_.lost_members();
    for (int rank = 0; rank < static_cast<int>(group_.members.size()); ++rank) {
      if (rank == group_.rank || (peer >= 0 && rank != peer)) continue;
      if (const auto note = store_.get(key_of(group_.name, rank), milliseconds(0))) {
        const Count num_collectives = std::stoll(*note);
        if (peer < 0 && num_collectives > collective) continue;
        return words_of(rank, num_collectives, note->ends_with("failing"));
      }
      const int member = group_.members[static_cast<std::size_t>(rank)];
      if (std::ranges::count(lost, member) > 0) {
        return text("peer rank ", rank, " is gone without a word");
      }
    }
  } catch (const std::exception& error) {
    return text("the store does not answer: ", error.what());
  }
  return std::nullopt;
}

}  // namespace moe
