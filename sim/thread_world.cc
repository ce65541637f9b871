// Ranks as threads. Each owns its memory and its communicator; the first failure breaks the local
// group, so that nobody waits for a rank that has left.

#include <optional>
#include <thread>

#include "kernels/base/text.h"
#include "sim/rank_worlds.h"

namespace moe::sim {
namespace {

RankReport failed_before(int rank, const std::exception& error) {
  RankReport report;
  report.rank = rank;
  const bool is_system = dynamic_cast<const SystemError*>(&error) != nullptr;
  report.failure = {is_system ? FailureKind::system : FailureKind::contract, error.what(),
                    std::chrono::steady_clock::now().time_since_epoch().count()};
  return report;
}

// Everything of one thread, from joining to its report.
RankReport thread_program(const RankJob& job, const CommunicatorMaker& maker, Meeting meeting,
                          const std::optional<StoreAddress>& store, int rank) {
  const std::unique_ptr<Memory> memory = make_host_memory(Poison::on);
  std::optional<StoreClient> client;
  RankReport report;
  try {
    if (store) {
      client.emplace(*store, "threads", rank, meeting.deadline);
      meeting.store = &*client;
    }
    report = run_rank(job, maker.make(meeting, rank, *memory));
    if (client) client->goodbye();
  } catch (const std::exception& error) {
    report = failed_before(rank, error);
  }
  if (report.failure.kind != FailureKind::none && meeting.group != nullptr) {
    meeting.group->abort(text("rank ", rank, " failed: ", report.failure.message));
  }
  return report;
}

}  // namespace

std::vector<RankReport> run_threads(const RankJob& job, const CommunicatorMaker& maker) {
  const int size = job.scenario.world.num_ranks();
  const std::chrono::milliseconds deadline(job.scenario.deadline_ms);
  LocalGroup group(size, deadline);
  std::optional<StoreServer> server;
  std::optional<StoreAddress> address;
  if (maker.needs_store) {
    server.emplace(StoreAddress{}, "threads");
    address = server->address();
  }
  const Meeting meeting{size, deadline, maker.needs_store ? nullptr : &group, nullptr};
  std::vector<RankReport> reports(static_cast<std::size_t>(size));
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      reports[static_cast<std::size_t>(rank)] = thread_program(job, maker, meeting, address, rank);
    });
  }
  threads.clear();  // joins
  return reports;
}

}  // namespace moe::sim
