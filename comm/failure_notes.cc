// Notes are "closed;silent;what". A rank without a note is stopped, gone, or still busy: it is to
// blame. Ranks that wait for others learn of the first failure at once, since its wires close.

#include "comm/failure_notes.h"

#include <map>
#include <optional>
#include <thread>
#include <vector>

#include "comm/store_frame.h"

namespace moe {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds wait_for_notes{300};
constexpr milliseconds pause{5};

using Notes = std::map<int, FailureNote>;

std::vector<int> listed(const std::set<int>& ranks) { return {ranks.begin(), ranks.end()}; }

std::set<int> set_of(const std::string& words) {
  const std::vector<int> ranks = members_of(words);
  return {ranks.begin(), ranks.end()};
}

std::string encoded(const FailureNote& note) {
  return text(members_text(listed(note.failure.closed)), ";",
              members_text(listed(note.failure.silent)), ";", note.what);
}

FailureNote decoded_note(const std::string& words) {
  const std::size_t first = words.find(';');
  const std::size_t second = words.find(';', first + 1);
  MOE_CHECK(second != std::string::npos, text("'", words, "' is no note of a failure"));
  return {words.substr(second + 1),
          {set_of(words.substr(0, first)), set_of(words.substr(first + 1, second - first - 1))}};
}

std::string key_of(const NoteWriter& writer, int rank) {
  return text("gave up/", writer.group, "/", rank);
}

std::set<int> suspects_of(const WireFailure& failure) {
  std::set<int> all = failure.closed;
  all.insert(failure.silent.begin(), failure.silent.end());
  return all;
}

WireFailure only(const WireFailure& failure, const std::set<int>& ranks) {
  WireFailure kept = failure;
  const auto is_other = [&ranks](int rank) { return !ranks.contains(rank); };
  std::erase_if(kept.closed, is_other);
  std::erase_if(kept.silent, is_other);
  return kept;
}

// Ranks that the known notes lead to and that have left none.
std::set<int> unknown(const Notes& notes) {
  std::set<int> ranks;
  for (const auto& [writer, note] : notes) {
    for (const int suspect : suspects_of(note.failure)) {
      if (!notes.contains(suspect)) ranks.insert(suspect);
    }
  }
  return ranks;
}

// The notes that lead from this rank's on, as far as they are written in time.
Notes collected(const FailureNote& own, const NoteWriter& writer, StoreClient& store) {
  Notes notes = {{writer.rank, own}};
  const auto end = std::chrono::steady_clock::now() + wait_for_notes;
  for (std::set<int> asked = unknown(notes); !asked.empty(); asked = unknown(notes)) {
    bool has_news = false;
    for (const int rank : asked) {
      const auto words = store.get(key_of(writer, rank), milliseconds(0));
      if (!words) continue;
      notes.emplace(rank, decoded_note(*words));
      has_news = true;
    }
    if (has_news) continue;
    if (std::chrono::steady_clock::now() >= end) break;
    std::this_thread::sleep_for(pause);
  }
  return notes;
}

std::string told_by(const Notes& notes, const NoteWriter& writer) {
  const FailureNote& own = notes.at(writer.rank);
  const std::set<int> culprits = unknown(notes);
  const WireFailure direct = only(own.failure, culprits);
  if (direct.any()) return direct.words(writer.deadline);
  for (const auto& [rank, note] : notes) {
    const WireFailure behind = only(note.failure, culprits);
    if (!behind.any()) continue;
    return text("peer rank ", rank, " gave up at ", note.what, ": ", behind.words(writer.deadline));
  }
  // Everybody waits for somebody: they are not in the same operation.
  std::string words = own.failure.words(writer.deadline);
  for (const int rank : suspects_of(own.failure)) {
    words += text("; rank ", rank, " gave up at ", notes.at(rank).what);
  }
  return words;
}

}  // namespace

std::string blame(const FailureNote& note, const NoteWriter& writer, StoreClient& store) {
  try {
    store.set(key_of(writer, writer.rank), encoded(note));
    return told_by(collected(note, writer, store), writer);
  } catch (const SystemError& error) {
    return text(note.failure.words(writer.deadline), "; ", error.what());
  }
}

}  // namespace moe
