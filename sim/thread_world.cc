// Ranks as threads. Each owns its memory and its communicator; the first failure breaks the local
// group, so that nobody waits for a rank that has left.

#include <optional>
#include <thread>

#include "kernels/base/text.h"
#include "sim/rank_memory.h"
#include "sim/rank_worlds.h"

namespace moe::sim {
namespace {

// What all ranks of the world share: the group that their rows may travel in, and the one for the
// checks' own words where those would take a longer way with the rows, through the store's wires or
// a device. Both break when a rank fails.
struct SharedWorld {
  const CommunicatorMaker& maker;
  LocalGroup& group;
  LocalGroup& words;
  std::optional<StoreAddress> store;
  Meeting meeting;
};

// Everything of one thread, from joining to its report.
RankReport thread_program(const RankJob& job, const SharedWorld& world, int rank) {
  Meeting meeting = world.meeting;
  const std::unique_ptr<Memory> host = make_host_memory(Poison::on);
  std::unique_ptr<Memory> memory;
  std::optional<StoreClient> client;
  RankReport report;
  try {
    meeting.local_rank = rank;
    meeting.share_process = true;
    memory = rank_memory(job, world.maker, meeting);
    RankWires wires;
    if (world.store) {
      client.emplace(*world.store, "threads", rank, meeting.deadline);
      meeting.store = &*client;
    }
    if (world.store || job.line.device != DeviceKind::cpu) {
      wires.side = world.words.communicator(rank, *host);
    }
    wires.wire = world.maker.make(meeting, rank, *memory);
    report = run_rank(job, std::move(wires));
    if (client) client->goodbye();
  } catch (const std::exception& error) {
    report.rank = rank;
    report.failure = failure_of(error);
  }
  if (report.failure.kind != FailureKind::none) {
    for (LocalGroup* group : {&world.group, &world.words}) {
      group->abort(text("rank ", rank, " failed: ", report.failure.message));
    }
  }
  return report;
}

}  // namespace

std::vector<RankReport> run_threads(const RankJob& job, const CommunicatorMaker& maker) {
  const int size = job.scenario.world.num_ranks();
  const std::chrono::milliseconds deadline(job.scenario.deadline_ms);
  LocalGroup group(size, deadline);
  LocalGroup words(size, deadline);
  std::optional<StoreServer> server;
  if (maker.needs_store) server.emplace(StoreAddress{}, "threads");
  const SharedWorld world{maker,
                          group,
                          words,
                          server ? std::optional(server->address()) : std::nullopt,
                          {size, deadline, maker.needs_store ? nullptr : &group, nullptr}};
  std::vector<RankReport> reports(static_cast<std::size_t>(size));
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back(
        [&, rank] { reports[static_cast<std::size_t>(rank)] = thread_program(job, world, rank); });
  }
  threads.clear();  // joins
  return reports;
}

}  // namespace moe::sim
