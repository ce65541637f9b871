// Communicators that lie, for seeded faults: one rank swaps counts, comes late, stalls or dies.
// Each is a decorator around a healthy communicator and stands between a layer and what checks it.

#pragma once

#include <chrono>
#include <memory>
#include <stop_token>

#include "comm/communicator.h"

namespace moe {

// On that rank, in every all_gather_v whose two counts differ, they change places. The rank's own
// rows are cut, or continued with poison, to the number that it now claims.
struct SwappedCounts {
  int rank = 0;
  int first = 0;
  int second = 1;
};

std::unique_ptr<Communicator> with_swapped_counts(std::unique_ptr<Communicator> inner,
                                                  SwappedCounts fault);

// A reduce-scatter whose sum starts with the rank's own part and goes round from there, so that its
// bits depend on who owns the rows. One operation of another kind moves the parts.
std::unique_ptr<Communicator> with_own_rank_added_first(std::unique_ptr<Communicator> inner);

// A receiver whose flags overtake the rows: of each dispatch it gets counts, ids and tags of this
// one, and in the first rows of the payload, the list's first tensor, still those of the one
// before. Lists of fewer than three tensors are no dispatch.
std::unique_ptr<Communicator> with_late_payload(std::unique_ptr<Communicator> inner);

// An all-to-all whose sender takes rows that are strided for flat memory: each row leaves with its
// halves exchanged. Only this rank's own calls.
std::unique_ptr<Communicator> with_strided_send(std::unique_ptr<Communicator> inner);

// Where a rank goes wrong: before its operation of that number, counted from 0 at this decorator,
// send and recv included.
struct FaultyMoment {
  int rank = 0;
  Count operation = 0;
};

// That rank comes to the operation so much later, unless it is told to stop.
std::unique_ptr<Communicator> with_delay(std::unique_ptr<Communicator> inner, FaultyMoment moment,
                                         std::chrono::milliseconds delay,
                                         std::stop_token stop = {});

// That rank does not come: it throws SystemError once it is told to stop or the time is over.
std::unique_ptr<Communicator> with_stall(std::unique_ptr<Communicator> inner, FaultyMoment moment,
                                         std::chrono::milliseconds time_max,
                                         std::stop_token stop = {});

// That rank throws SystemError at once.
std::unique_ptr<Communicator> with_failure(std::unique_ptr<Communicator> inner,
                                           FaultyMoment moment);

}  // namespace moe
