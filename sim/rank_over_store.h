// One rank that meets its peers through a store, from joining to its report: what a rank that is a
// process of this machine and a rank of a job have in common. Starts no process.

#pragma once

#include "comm/makers.h"
#include "sim/rank_program.h"

namespace moe::sim {

// Never throws: failures are in the report, with the ranks that are gone where the store knows.
// REQUIRES meeting.store and a maker that can make.
RankReport run_rank_over_store(const RankJob& job, const CommunicatorMaker& maker,
                               const Meeting& meeting, int rank);

// The failure of a rank before its run: what is not a peer's or a wire's was there before anybody
// noticed, and comes first.
RankFailure failure_before_run(const std::exception& error);

// The ranks that the store has lost, added to a failure's message.
void name_lost_ranks(RankFailure& failure, StoreClient& store);

}  // namespace moe::sim
