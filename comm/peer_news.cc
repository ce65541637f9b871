// Notes are "collectives;how". A rank that left with a note has done its part of all before, even
// where its process has ended since; one without a note is lost at any operation.

#include "comm/peer_news.h"

#include <algorithm>

#include "kernels/base/text.h"

namespace moe {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds ask_after{50};  // whether somebody is lost who has not left

const std::string left = "left";
const std::string closed = "closed";
const std::string failing = ";failing";

std::string key_of(const std::string& what, const std::string& group, int rank) {
  return text(what, "/", group, "/", rank);
}

std::string words_of(int rank, Count num_collectives, bool is_failing) {
  return text("peer rank ", rank, " has left after ", num_collectives, " collective operations",
              is_failing ? ", since it failed" : "");
}

}  // namespace

void PeerNews::leave(Count num_collectives, Leaving how) const {
  try {
    store_.set(key_of(left, group_.name, group_.rank),
               text(num_collectives, how == Leaving::failing ? failing : ";done"));
  } catch (const std::exception&) {
    return;  // peers that have lost the store as well hear that instead
  }
}

bool PeerNews::all_leave(milliseconds patience) const { return all_say(left, patience); }

void PeerNews::close() const {
  try {
    store_.set(key_of(closed, group_.name, group_.rank), "");
  } catch (const std::exception&) {
    return;
  }
}

bool PeerNews::all_close(milliseconds patience) const { return all_say(closed, patience); }

bool PeerNews::all_say(const std::string& what, milliseconds patience) const {
  const auto end = std::chrono::steady_clock::now() + patience;
  const auto is_lost = [this](int rank) {
    const int member = group_.members[static_cast<std::size_t>(rank)];
    return std::ranges::count(store_.lost_members(), member) > 0;
  };
  try {
    for (int rank = 0; rank < static_cast<int>(group_.members.size()); ++rank) {
      if (rank == group_.rank) continue;
      auto note = store_.get(key_of(what, group_.name, rank), ask_after);
      while (!note) {
        if (is_lost(rank) || std::chrono::steady_clock::now() > end) return false;
        note = store_.get(key_of(what, group_.name, rank), ask_after);
      }
      if (note->ends_with(failing)) return false;
    }
  } catch (const std::exception&) {
    return false;
  }
  return true;
}

std::optional<std::string> PeerNews::absence(Count collective, int peer) const {
  try {
    const std::vector<int> lost = store_.lost_members();
    for (int rank = 0; rank < static_cast<int>(group_.members.size()); ++rank) {
      if (rank == group_.rank || (peer >= 0 && rank != peer)) continue;
      if (const auto note = store_.get(key_of(left, group_.name, rank), milliseconds(0))) {
        const Count num_collectives = std::stoll(*note);
        if (peer < 0 && num_collectives > collective) continue;
        return words_of(rank, num_collectives, note->ends_with(failing));
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
