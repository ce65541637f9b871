// Moments are noted between calls; a rank that is ahead waits inside of the next call, which
// counts. A recording holds several calls, since a launch of one costs as much as a small call.

#include "sim/bench_queue.h"

#include <utility>

#include "kernels/base/text.h"
#include "sim/host_copy.h"

namespace moe::sim {
namespace {

constexpr int warm_up = 10;
constexpr int calls_a_replay = 8;
constexpr int probes = 20;

std::vector<double>& at(BenchSamples& samples, BenchStage stage) {
  return samples[static_cast<std::size_t>(stage)];
}

// A recording, and where the time of each of its calls goes.
struct Track {
  BenchStage stage;
  std::unique_ptr<Replay> replay;
};

void time_queued(const std::vector<TimedMoves>& ways, DeviceQueue& queue,
                 const Iterations& iterations, BenchSamples& samples) {
  const int num_ways = static_cast<int>(ways.size());
  const int moments_each = 2 * num_ways + 1;
  const auto moments = queue.moments(moments_each * iterations.count);
  for (int i = -warm_up; i < iterations.count; ++i) {
    iterations.alive();
    const auto note = [&] {
      if (i >= 0) moments->note();
    };
    note();
    for (const TimedMoves& way : ways) {
      way.moves.hold(1);
      note();
      way.moves.combine();
      note();
    }
  }
  for (int i = 0; i < iterations.count; ++i) {
    for (int way = 0; way < num_ways; ++way) {
      const int begin = i * moments_each + 2 * way;
      const MovesStages& stages = ways[static_cast<std::size_t>(way)].stages;
      at(samples, stages.queued_dispatch).push_back(moments->microseconds(begin, begin + 1));
      at(samples, stages.queued_combine).push_back(moments->microseconds(begin + 1, begin + 2));
      at(samples, stages.queued_pair).push_back(moments->microseconds(begin, begin + 2));
    }
  }
}

// The recordings of one way; what cannot be recorded is said.
void record(const TimedMoves& way, DeviceQueue& queue, std::vector<Track>& tracks,
            std::vector<std::string>& why_not) {
  const std::vector<std::pair<BenchStage, const std::function<void()>*>> calls = {
      {way.stages.replayed_dispatch, &way.moves.dispatch},
      {way.stages.replayed_combine, &way.moves.combine},
      {way.stages.replayed_pair, &way.moves.pair}};
  for (const auto& [stage, call] : calls) {
    if (stage == way.stages.replayed_combine) way.moves.hold(calls_a_replay);
    Recording recording = queue.recorded([&] {
      for (int i = 0; i < calls_a_replay; ++i) (*call)();
    });
    if (recording.replay != nullptr) {
      tracks.push_back({stage, std::move(recording.replay)});
    } else {
      why_not.push_back(text(bench_stage_names[static_cast<std::size_t>(stage)],
                             ": cannot be recorded: ", recording.why_not));
    }
  }
}

void time_replays(const std::vector<Track>& tracks, DeviceQueue& queue,
                  const Iterations& iterations, BenchSamples& samples) {
  const int num_tracks = static_cast<int>(tracks.size());
  const auto moments = queue.moments((num_tracks + 1) * iterations.count);
  for (int i = -warm_up; i < iterations.count; ++i) {
    iterations.alive();
    for (const Track& track : tracks) {
      if (i >= 0) moments->note();
      track.replay->play();
    }
    if (i >= 0) moments->note();
  }
  for (int i = 0; i < iterations.count; ++i) {
    for (int track = 0; track < num_tracks; ++track) {
      const int begin = i * (num_tracks + 1) + track;
      at(samples, tracks[static_cast<std::size_t>(track)].stage)
          .push_back(moments->microseconds(begin, begin + 1) / calls_a_replay);
    }
  }
}

std::uint32_t word_of(int rank) { return 0x9E3779B9U * static_cast<std::uint32_t>(rank + 1); }

// A rate counts only if everything has come.
void check_pushed(Memory& memory, const Tensor& part, std::uint32_t word) {
  const HostCopy copy(part, memory);
  const auto* words = static_cast<const std::uint32_t*>(copy.tensor().data);
  const auto count = static_cast<std::size_t>(bytes_of(part) / 4);
  for (std::size_t i = 0; i < count; ++i) {
    if (words[i] == word) continue;
    throw SystemError(text("word ", i, " of a window is ", words[i],
                           ", the peer that wrote into it says ", word));
  }
}

}  // namespace

BenchMoves bare_moves(const BareCalls& dispatch, const BareCalls& combine) {
  return {[&dispatch](int count) {
            for (int i = 0; i < count; ++i) make_all(dispatch);
          },
          [&dispatch] { make_all(dispatch); }, [&combine] { make_all(combine); },
          [&dispatch, &combine] {
            make_all(dispatch);
            make_all(combine);
          }};
}

std::vector<std::string> time_moves(const std::vector<TimedMoves>& ways, Communicator& group,
                                    const Iterations& iterations, BenchSamples& samples) {
  DeviceQueue* queue = queue_of(group.memory());
  if (queue == nullptr) return {};
  group.barrier();
  time_queued(ways, *queue, iterations, samples);
  group.barrier();
  std::vector<Track> tracks;
  std::vector<std::string> why_not;
  for (const TimedMoves& way : ways) record(way, *queue, tracks, why_not);
  group.barrier();
  time_replays(tracks, *queue, iterations, samples);
  group.barrier();
  return why_not;
}

double probed_link(Communicator& group, const SymmetricMemory& window) {
  Memory& memory = group.memory();
  DeviceQueue* queue = queue_of(memory);
  const int size = group.size();
  if (queue == nullptr || size == 1) return 0;
  const Tensor to = window.part((group.rank() + 1) % size);
  const Buffer own(memory, {to.rows, to.columns, to.dtype});
  memory.fill(own.tensor(), word_of(group.rank()));
  const auto moments = queue->moments(probes + 1);
  for (int i = 0; i < warm_up; ++i) memory.copy(own.tensor(), to);
  group.barrier();
  for (int i = 0; i < probes; ++i) {
    moments->note();
    memory.copy(own.tensor(), to);
  }
  moments->note();
  std::vector<double> times;
  for (int i = 0; i < probes; ++i) times.push_back(moments->microseconds(i, i + 1));
  group.barrier();
  check_pushed(memory, window.part(group.rank()), word_of((group.rank() + size - 1) % size));
  return static_cast<double>(bytes_of(to)) / percentile(times, 0.5) / 1e3;
}

}  // namespace moe::sim
