// CONS, PROV and COUNT of the batched_experts format: every choice of an expert on this rank stands
// once in that expert's room, with its token's hidden states; what lies beyond the counts is
// nobody's.

#pragma once

#include "sim/conservation.h"

namespace moe::sim {

// As check_dispatched.
void check_batched(const ConservationFacts& facts, golden::Cell cell, const Dispatched& dispatched,
                   Memory& memory, CheckLedger& ledger);

// The valid rows of each expert's room: first row and count. Counts that do not fit are cut.
struct ValidRows {
  Count first = 0;
  Count count = 0;
};
std::vector<ValidRows> valid_rows(const Dispatched& dispatched, Memory& memory);

}  // namespace moe::sim
