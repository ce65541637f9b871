// The suite that every communicator passes: cases as functions that say what went wrong, so that
// the same cases can be run over a communicator of which it is known what it lacks. Cases know no
// communicator by name; conformance_test.cc runs them over all of makers.cc.

#pragma once

#include <functional>
#include <latch>

#include "tests/conformance/awaited_communicator.h"
#include "tests/unit/comm/ranks.h"

namespace moe::test {

// A communicator as the suite meets it.
struct Subject {
  const CommunicatorMaker& maker;
  // Around each rank's communicator, empty: nothing.
  std::function<std::unique_ptr<Communicator>(std::unique_ptr<Communicator>)> dressed = {};
  milliseconds deadline{20000};
  DeviceKind device = DeviceKind::cpu;  // where the communicator moves any device's rows
};

using Troubles = std::vector<std::string>;

struct ConformanceCase {
  std::string name;
  // Adds what is wrong; what was found before a world was too large stays.
  std::function<void(const Subject&, Troubles&)> look;
  // What a maker may say that it lacks.
  bool compares_operations = false;
  bool needs_symmetric_memory = false;
};

std::vector<ConformanceCase> move_cases();
std::vector<ConformanceCase> sum_cases();
std::vector<ConformanceCase> group_cases();
std::vector<ConformanceCase> place_cases();
std::vector<ConformanceCase> queue_cases();
std::vector<ConformanceCase> failure_cases();

// A case wants more ranks than a communicator has devices for.
struct TooFewDevices {
  int ranks = 0;
  int devices = 0;
};

// Runs program(communicator) on every rank of a new world of the subject as its maker makes it.
// Throws TooFewDevices.
template <typename Program>
auto run_undressed(const Subject& subject, int size, const Program& program) {
  if (subject.maker.one_device_each) {
    const int devices = device_maker(subject.device).count();
    if (size > devices) throw TooFewDevices{size, devices};
  }
  World world(subject.maker, size, subject.deadline, subject.device);
  return run_ranks(size, [&](int rank) {
    Endpoint endpoint = world.endpoint(rank);
    return program(endpoint.communicator);
  });
}

// The same with awaited calls, and with what the subject has around them.
template <typename Program>
auto run_subject(const Subject& subject, int size, const Program& program) {
  return run_undressed(subject, size, [&](std::unique_ptr<Communicator>& group) {
    group = awaited(std::move(group));
    if (subject.dressed) group = subject.dressed(std::move(group));
    return program(*group);
  });
}

// What a rank holds, after its queue is done.
inline Bytes bytes_on(Communicator& group, const Buffer& buffer) {
  const Tensor& tensor = buffer.tensor();
  Bytes bytes(static_cast<std::size_t>(bytes_of(tensor)));
  group.memory().copy_to_host(tensor,
                              {bytes.data(), tensor.rows, tensor.columns, tensor.dtype, {}});
  return bytes;
}

// Adds a trouble where a rank's outcome is an error or another value.
template <typename T>
void expect(Troubles& troubles, const std::vector<Outcome<T>>& outcomes, int rank,
            const std::type_identity_t<T>& expected, std::string_view what = "") {
  const Outcome<T>& outcome = outcomes[static_cast<std::size_t>(rank)];
  if (outcome.value == expected) return;
  troubles.push_back(text("rank ", rank, " of ", outcomes.size(), what.empty() ? "" : ", ", what,
                          ": ", outcome.value ? "other values than are due" : outcome.error));
}

template <typename T>
void expect_all(Troubles& troubles, const std::vector<Outcome<T>>& outcomes,
                const std::type_identity_t<T>& expected, std::string_view what = "") {
  for (int rank = 0; rank < static_cast<int>(outcomes.size()); ++rank) {
    expect(troubles, outcomes, rank, expected, what);
  }
}

// Counts a latch down when it goes, however its rank ends.
class CountsDown {
 public:
  explicit CountsDown(std::latch& latch) : latch_(latch) {}
  ~CountsDown() { latch_.count_down(); }
  CountsDown(const CountsDown&) = delete;
  CountsDown& operator=(const CountsDown&) = delete;

 private:
  std::latch& latch_;
};

// Adds a trouble where what must hold does not.
inline void require(Troubles& troubles, bool holds, std::string_view words) {
  if (!holds) troubles.emplace_back(words);
}

}  // namespace moe::test
