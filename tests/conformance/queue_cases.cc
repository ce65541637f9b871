// What holds where nobody waits between calls: order in the rank's queue, the same bits however
// ranks come late, an error that surfaces when the queue is waited for; and memory that peers
// reach. These run over a communicator as it is made, with nothing around it.

#include <algorithm>
#include <latch>
#include <optional>

#include "tests/conformance/conformance.h"

namespace moe::test {
namespace {

using Group = std::unique_ptr<Communicator>;

constexpr int repetitions = 100;
constexpr int repetitions_on_devices = 1000;
constexpr milliseconds soon{30000};

// Up to half a millisecond, another for each rank and turn.
void come_late(int rank, int turn) {
  const auto late = static_cast<int>(mix(20261127, rank, turn) % 500);
  std::this_thread::sleep_for(std::chrono::microseconds(late));
}

// Rows that are gathered, exchanged and summed home, nobody waiting in between.
Bytes moved_once(Communicator& group, int turn, bool is_late) {
  const int size = group.size();
  const Counts rows = [&] {
    Counts counts;
    for (int rank = 0; rank < size; ++rank) counts.push_back((rank * 5 + 3) % 7);
    return counts;
  }();
  const Counts even(static_cast<std::size_t>(size), 2);
  const Count own = rows[static_cast<std::size_t>(group.rank())];
  std::vector<float> parts;
  for (Count i = 0; i < total_rows(rows) * 9; ++i) {
    parts.push_back(static_cast<float>(mix(7, group.rank(), i) % 1000) * 0.37F);
  }
  const Buffer from = patterned(group, 0, {own, 33, DType::i32});
  const Buffer sent = patterned(group, 1, {2 * size, 17, DType::i64});
  const Buffer partial = filled(group, parts, 9);
  const Buffer gathered(group.memory(), {total_rows(rows), 33, DType::i32});
  const Buffer received(group.memory(), {2 * size, 17, DType::i64});
  const Buffer sum(group.memory(), {own, 9, DType::f32});
  if (is_late) come_late(group.rank(), 3 * turn);
  group.all_gather_v(one(from.tensor()), rows, one(gathered.tensor()));
  if (is_late) come_late(group.rank(), 3 * turn + 1);
  group.all_to_all_v(one(sent.tensor()), even, even, one(received.tensor()));
  if (is_late) come_late(group.rank(), 3 * turn + 2);
  group.reduce_scatter_v(partial.tensor(), rows, sum.tensor());
  Bytes all = bytes_on(group, gathered);
  for (const Buffer* more : {&received, &sum}) {
    const Bytes bytes = bytes_on(group, *more);
    all.insert(all.end(), bytes.begin(), bytes.end());
  }
  return all;
}

void same_bits_however_late(const Subject& subject, Troubles& troubles) {
  const bool is_host = subject.maker.device.value_or(subject.device) == DeviceKind::cpu;
  const int turns = is_host ? repetitions : repetitions_on_devices;
  for (const int size : {2, 4, 8}) {
    const auto outcomes = run_undressed(subject, size, [&](Group& group) {
      const Bytes first = moved_once(*group, 0, false);
      int num_others = 0;
      for (int turn = 0; turn < turns; ++turn) {
        num_others += moved_once(*group, turn, true) == first ? 0 : 1;
      }
      return num_others;
    });
    expect_all(troubles, outcomes, 0, text(turns, " repetitions"));
  }
}

// A peer that throws while others only queue: they hear of it when they wait.
void heard_when_waiting(const Subject& subject, Troubles& troubles) {
  const auto begin = std::chrono::steady_clock::now();
  Subject patient = subject;
  patient.deadline = milliseconds(60000);
  const auto outcomes = run_undressed(patient, 2, [](Group& group) {
    group->barrier();
    if (group->rank() == 1) throw std::runtime_error("an error of rank 1");
    for (int turn = 0; turn < 3; ++turn) {
      const Buffer own = patterned(*group, 0, {1, 4, DType::f32});
      const Buffer all(group->memory(), {2, 4, DType::f32});
      group->all_gather_v(one(own.tensor()), Counts{1, 1}, one(all.tensor()));
    }
    group->memory().synchronize();
    return true;
  });
  require(troubles, outcomes[0].kind == "SystemError",
          text("rank 0 should hear a SystemError, not '", outcomes[0].error, "'"));
  require(troubles, contains(outcomes[0].error, "rank 1"),
          text("nobody is named in '", outcomes[0].error, "'"));
  require(troubles, std::chrono::steady_clock::now() - begin < soon, "rank 0 waited on");
}

// A rank copies between its memories behind an operation to which its peer does not come: a driver
// that waits for the queue in such a copy may let nobody in who would end it.
void copies_behind_a_late_peer(const Subject& subject, Troubles& troubles) {
  Subject hasty = subject;
  hasty.deadline = milliseconds(200);
  for (const bool is_to_host : {true, false}) {
    std::latch done(1);
    const auto begin = std::chrono::steady_clock::now();
    const auto outcomes = run_undressed(hasty, 2, [&](Group& group) {
      std::optional<CountsDown> ends;
      if (group->rank() == 0) ends.emplace(done);
      group->barrier();
      if (group->rank() == 1) {
        done.wait();
        return std::string();
      }
      const auto outcome = outcome_of<bool>([&] {
        const Buffer own = patterned(*group, 0, {64, 1024, DType::f32});
        const Buffer all(group->memory(), {128, 1024, DType::f32});
        Bytes bytes(static_cast<std::size_t>(bytes_of(own.tensor())));
        const Tensor host = {bytes.data(), 64, 1024, DType::f32, {}};
        group->all_gather_v(one(own.tensor()), Counts{64, 64}, one(all.tensor()));
        if (is_to_host) group->memory().copy_to_host(own.tensor(), host);
        if (!is_to_host) group->memory().copy_from_host(host, own.tensor());
        return true;
      });
      return outcome.error;
    });
    const std::string words = outcomes[0].value.value_or("no copy: " + outcomes[0].kind);
    require(troubles, contains(words, "rank 1 did not") && contains(words, "within 200 ms"),
            text("a copy ", is_to_host ? "to" : "from", " the host ended with '", words, "'"));
    require(troubles, std::chrono::steady_clock::now() - begin < soon, "rank 0 waited on");
  }
}

// Each rank writes its pattern into a place of its own in every peer's part: by copies, and words
// by the device's own stores.
void peers_write(const Subject& subject, Troubles& troubles) {
  constexpr Count place = 5000;
  for (const int size : {1, 2, 4, 8}) {
    const auto outcomes = run_undressed(subject, size, [&](Group& group) {
      const int rank = group->rank();
      Memory& memory = group->memory();
      const auto window = subject.maker.make_symmetric(*group, 2 * place * size);
      const auto place_in = [&](int peer, int index) {
        Tensor part = window->part(peer);
        part.data = static_cast<std::byte*>(part.data) + index * place;
        part.columns = place;
        return part;
      };
      const Buffer own = patterned(*group, 3, {1, place, DType::u8});
      for (int peer = 0; peer < size; ++peer) {
        memory.copy(own.tensor(), place_in(peer, rank));
        memory.fill(place_in(peer, size + rank),
                    0x01010101U * static_cast<std::uint32_t>(rank + 1));
      }
      memory.synchronize();
      group->barrier();
      Bytes seen(static_cast<std::size_t>(2 * place * size));
      const Tensor part = window->part(rank);
      memory.copy_to_host(part, {seen.data(), 1, part.columns, DType::u8, {}});
      group->barrier();
      return seen;
    });
    Bytes expected;
    for (int rank = 0; rank < size; ++rank) {
      const Bytes bytes = pattern(rank, 3, place);
      expected.insert(expected.end(), bytes.begin(), bytes.end());
    }
    for (int rank = 0; rank < size; ++rank) {
      expected.insert(expected.end(), static_cast<std::size_t>(place),
                      static_cast<std::uint8_t>(rank + 1));
    }
    expect_all(troubles, outcomes, expected);
  }
}

}  // namespace

std::vector<ConformanceCase> queue_cases() {
  return {
      {"queue: the same bits at every repetition, however late ranks come", same_bits_however_late},
      {"queue: a peer that throws is heard of when the queue is waited for", heard_when_waiting},
      {"queue: a copy behind an operation that a peer does not come to ends by the deadline",
       copies_behind_a_late_peer},
      {"symmetric memory: what peers write lies in each rank's part", peers_write, false, true},
  };
}

}  // namespace moe::test
