// Who is really to blame when an exchange fails: ranks that give up leave a note of whom they
// waited for in the store, so that one that waits for a waiting rank names the rank behind it.
// Called by a communicator that gives up, where it can after its wires are closed, so that its
// peers learn of it at once; moves no rows.

#pragma once

#include <chrono>
#include <string>

#include "comm/gloo_messages.h"
#include "comm/store.h"

namespace moe {

// What a rank gave up at, "operation 3 (barrier)", and because of whom.
struct FailureNote {
  std::string what;
  WireFailure failure;
};

struct NoteWriter {
  std::string group;  // its notes are apart from other groups'
  int rank = 0;       // in the group
  std::chrono::milliseconds deadline{5000};
};

// Leaves the rank's note, waits a moment for those of the ranks that it blames, and RETURNS who did
// what. Without a store that answers: what the note itself says.
std::string blame(const FailureNote& note, const NoteWriter& writer, StoreClient& store);

}  // namespace moe
