// What ranks of a group say of themselves before they act on it: whom it has, how many rows each
// gives. Statements as words of a fixed number, and the sentence that says how they differ; the
// check GROUP. TracedCommunicator exchanges the words; nothing here talks.

#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "comm/traced_communicator.h"

namespace moe {

// Words of a statement, however long what it says is: a digest, the length, the rank's number in
// its group, and the first few entries for the sentence.
Count words_per_statement();

// REQUIRES words to be of words_per_statement().
void put_statement(int rank_in_group, std::span<const Count> says, std::span<Count> words);

// all: the statements of all ranks, in their order. RETURNS nothing where they say the same and
// each rank has the number under which the group knows it.
std::optional<std::string> group_disagreement(std::string_view subject, std::span<const Count> all,
                                              const GroupWords& group);

}  // namespace moe
