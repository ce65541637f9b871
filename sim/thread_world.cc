// Ranks as threads. Each owns its memory and its communicator; the first failure breaks the local
// group, so that nobody waits for a rank that has left.

#include <optional>
#include <thread>

#include "kernels/base/text.h"
#include "kernels/device_makers.h"
#include "sim/rank_worlds.h"

namespace moe::sim {
namespace {

// What all ranks of the world share. Ranks of a communicator that meets through the store still
// have the local group as their side way, and to break when one of them fails.
struct SharedWorld {
  const CommunicatorMaker& maker;
  LocalGroup& group;
  std::optional<StoreAddress> store;
  Meeting meeting;
};

// Ranks that meet in one process share a device: the first, as many ranks as there are.
constexpr int device_ordinal = 0;

// Everything of one thread, from joining to its report.
RankReport thread_program(const RankJob& job, const SharedWorld& world, int rank) {
  Meeting meeting = world.meeting;
  std::unique_ptr<Memory> memory;
  std::optional<StoreClient> client;
  RankReport report;
  try {
    memory = device_maker(job.line.device).make_memory(device_ordinal, Poison::on);
    RankWires wires;
    if (world.store) {
      client.emplace(*world.store, "threads", rank, meeting.deadline);
      meeting.store = &*client;
      wires.side = world.group.communicator(rank, *memory);
    }
    wires.wire = world.maker.make(meeting, rank, *memory);
    report = run_rank(job, std::move(wires));
    if (client) client->goodbye();
  } catch (const std::exception& error) {
    report.rank = rank;
    report.failure = failure_of(error);
  }
  if (report.failure.kind != FailureKind::none) {
    world.group.abort(text("rank ", rank, " failed: ", report.failure.message));
  }
  return report;
}

}  // namespace

std::vector<RankReport> run_threads(const RankJob& job, const CommunicatorMaker& maker) {
  const int size = job.scenario.world.num_ranks();
  const std::chrono::milliseconds deadline(job.scenario.deadline_ms);
  LocalGroup group(size, deadline);
  std::optional<StoreServer> server;
  if (maker.needs_store) server.emplace(StoreAddress{}, "threads");
  const SharedWorld world{maker,
                          group,
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
