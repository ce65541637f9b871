// A wire may break before the store notices that its member is gone, so a failed rank gives it a
// moment before it blames anybody.

#include "sim/rank_over_store.h"

#include <unistd.h>

#include <chrono>
#include <thread>

#include "comm/board_communicator.h"
#include "kernels/base/text.h"
#include "sim/rank_memory.h"

namespace moe::sim {

RankFailure failure_before_run(const std::exception& error) {
  RankFailure failure = failure_of(error);
  if (failure.kind != FailureKind::system) failure.at_ns = 0;
  return failure;
}

void name_lost_ranks(RankFailure& failure, StoreClient& store) {
  try {
    for (int tries = 0; tries < 20; ++tries) {
      const std::vector<int> lost = store.lost_members();
      if (!lost.empty()) {
        failure.message += text("; gone without a word: rank ", joined(lost, ", rank "));
        return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  } catch (const SystemError& error) {
    failure.message += text("; ", error.what());
  }
}

namespace {

// Tells the others of this rank's failure. Where a peer failed, what is known of it is added: by
// those who share a board, else by the store. What this rank's own watch told there adds nothing.
void tell_and_ask(RankReport& report, const Meeting& meeting) {
  RankFailure& failure = report.failure;
  const auto known = meeting.board == nullptr ? std::nullopt : meeting.board->broken();
  if (meeting.board != nullptr) {
    meeting.board->abort(text("rank ", report.rank, " failed: ", failure.message));
  }
  if (failure.kind != FailureKind::system) return;
  if (!known || *known == failure.message) return name_lost_ranks(failure, *meeting.store);
  if (failure.message.find(*known) == std::string::npos) failure.message += text("; ", *known);
}

// The way of the checks' own words: between the memories of the hosts, where it costs nothing that
// is counted. Null: rows travel there as well.
std::unique_ptr<Communicator> way_of_words(const RankJob& job, const CommunicatorMaker& maker,
                                           const Meeting& meeting, int rank, Memory& host) {
  if (meeting.board != nullptr) return make_board_communicator(*meeting.board, host);
  if (maker.staged_device != job.line.device) return nullptr;
  Meeting aside = meeting;
  aside.mesh += "/words";
  return maker.make(aside, rank, host);
}

}  // namespace

RankReport run_rank_over_store(const RankJob& job, const CommunicatorMaker& maker,
                               const Meeting& meeting, int rank) {
  RankReport report;
  report.rank = rank;
  try {
    const std::unique_ptr<Memory> host = make_host_memory(Poison::on);
    const std::unique_ptr<Memory> memory = rank_memory_beside_peers(job, maker, meeting, rank);
    RankWires wires;
    wires.wire = maker.make(meeting, rank, *memory);
    wires.side = way_of_words(job, maker, meeting, rank, *host);
    report = run_rank(job, std::move(wires));
  } catch (const std::exception& error) {
    report.failure = failure_before_run(error);
  }
  if (report.failure.kind == FailureKind::interrupted) {
    report.failure.kind = FailureKind::system;  // for the others it is a peer that left
    report.failure.message =
        text("rank ", rank, " (process ", getpid(), ") was interrupted by a signal");
    if (meeting.board != nullptr) meeting.board->abort(report.failure.message);
  } else if (report.failure.kind != FailureKind::none) {
    tell_and_ask(report, meeting);
  }
  return report;
}

}  // namespace moe::sim
