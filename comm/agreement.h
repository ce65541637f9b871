// What ranks compare before an operation: records as words of a fixed number, and the sentence that
// says how they differ. TracedCommunicator exchanges the words; this room of it talks to nobody.

#pragma once

#include <optional>
#include <vector>

#include "comm/traced_communicator.h"

namespace moe {

// Words of a record in a group of that size, the same whatever the operation.
Count words_per_record(int size);

// REQUIRES words to be of words_per_record(size).
void put_record(const OperationRecord& record, std::span<Count> words);
OperationRecord record_of(std::span<const Count> words);

// "operation 6 (all_gather_v, step 3 layer 0 dispatch)", "operation 6 of group dp [1, 3] (…)".
std::string operation_text(const OperationRecord& record, const StageNames& stage_names,
                           const GroupWords& group = {});

struct Disagreement {
  std::string check;  // "SEQ" or "COUNT"
  std::string message;
};

// RETURNS nothing where the records of all ranks, in their order, fit together. The message has the
// world's numbers of ranks where the group's words say them.
std::optional<Disagreement> disagreement_of(std::span<const OperationRecord> records,
                                            const StageNames& stage_names,
                                            const GroupWords& group = {});

}  // namespace moe
