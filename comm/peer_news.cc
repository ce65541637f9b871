// Notes are "collectives;how". A rank that left with a note has done its part of all before, even
// where its process has ended since; one without a note is lost at any operation.

#include "comm/peer_news.h"

#include <algorithm>

#include "kernels/base/text.h"

namespace moe {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds ask_after{50};  // after all, while one is waited for

constexpr std::string_view left = "left";
constexpr std::string_view closed = "closed";
constexpr std::string_view failing = ";failing";

std::string key_of(std::string_view what, const std::string& group, int rank) {
  return text(what, "/", group, "/", rank);
}

std::string words_of(int rank, Count num_collectives, bool is_failing) {
  return text("peer rank ", rank, " has left after ", num_collectives, " collective operations",
              is_failing ? ", since it failed" : "");
}

}  // namespace

void PeerNews::say(std::string_view what, const std::string& note) const {
  try {
    store_.set(key_of(what, group_.name, group_.rank), note);
  } catch (const std::exception&) {
    return;  // peers that have lost the store as well hear that instead
  }
}

bool PeerNews::is_lost(int rank, const std::vector<int>& lost_members) const {
  return std::ranges::count(lost_members, group_.members[static_cast<std::size_t>(rank)]) > 0;
}

void PeerNews::leave(Count num_collectives, Leaving how) const {
  say(left, text(num_collectives, how == Leaving::failing ? failing : ";done"));
}

bool PeerNews::all_leave(milliseconds patience) const {
  return all_say(left, Going::in_peace, patience);
}

void PeerNews::close(Leaving how) const {
  say(closed, std::string(how == Leaving::failing ? failing : ""));
}

bool PeerNews::all_close(milliseconds patience) const {
  return all_say(closed, Going::in_peace, patience);
}

bool PeerNews::all_are_gone(milliseconds patience) const {
  return all_say(left, Going::anyhow, patience);
}

bool PeerNews::all_say(std::string_view what, Going going, milliseconds patience) const {
  const auto end = std::chrono::steady_clock::now() + patience;
  std::vector<int> missing;
  for (int rank = 0; rank < static_cast<int>(group_.members.size()); ++rank) {
    if (rank != group_.rank) missing.push_back(rank);
  }
  try {
    while (true) {
      const std::vector<int> lost = store_.lost_members();
      bool is_peaceful = true;
      std::erase_if(missing, [&](int rank) {
        const auto note = store_.get(key_of(what, group_.name, rank), milliseconds(0));
        const bool is_gone = note || is_lost(rank, lost);
        if (is_gone && (!note || note->ends_with(failing))) is_peaceful = false;
        return is_gone;
      });
      if (going == Going::in_peace && !is_peaceful) return false;
      if (missing.empty()) return true;
      if (std::chrono::steady_clock::now() > end) return false;
      store_.get(key_of(what, group_.name, missing.front()), ask_after);
    }
  } catch (const std::exception&) {
    return false;
  }
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
      if (is_lost(rank, lost)) return text("peer rank ", rank, " is gone without a word");
    }
  } catch (const std::exception& error) {
    return text("the store does not answer: ", error.what());
  }
  return std::nullopt;
}

}  // namespace moe
