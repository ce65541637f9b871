// Ranks that are late at random: what moves is right, in groups split from the late one, too, and
// every call waits. Only lower bounds of time are asked for: a machine may always be slower.

#include "comm/delaying_communicator.h"

#include <functional>

#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"

namespace moe::test {
namespace {

using Clock = std::chrono::steady_clock;

// 40 delays of 0 to 4 ms: less than 8 ms in all happens once in 10^28 times.
constexpr int num_calls = 40;
constexpr milliseconds delay_max{4};
constexpr milliseconds time_min{8};

using Call = std::function<void(Communicator&)>;

std::vector<std::pair<std::string, Call>> calls() {
  const auto rows_of = [](Communicator& group, Count rows) {
    return patterned(group, 0, {rows, 2, DType::f32});
  };
  return {
      {"all_gather_v",
       [=](Communicator& group) {
         const Buffer own = rows_of(group, 1);
         const Buffer all = rows_of(group, 2);
         group.all_gather_v(one(own.tensor()), Counts{1, 1}, one(all.tensor()));
       }},
      {"reduce_scatter_v",
       [=](Communicator& group) {
         const Buffer all = rows_of(group, 2);
         const Buffer own = rows_of(group, 1);
         group.reduce_scatter_v(all.tensor(), Counts{1, 1}, own.tensor());
       }},
      {"all_to_all_v",
       [=](Communicator& group) {
         const Buffer sent = rows_of(group, 2);
         const Buffer received = rows_of(group, 2);
         group.all_to_all_v(one(sent.tensor()), Counts{1, 1}, Counts{1, 1}, one(received.tensor()));
       }},
      {"broadcast",
       [=](Communicator& group) {
         const Buffer rows = rows_of(group, 1);
         group.broadcast(one(rows.tensor()), 0);
       }},
      {"all_reduce",
       [=](Communicator& group) {
         const Buffer rows = rows_of(group, 1);
         group.all_reduce(rows.tensor(), ReduceOp::sum, rows.tensor());
       }},
      {"send and recv",
       [=](Communicator& group) {
         const Buffer rows = rows_of(group, 1);
         if (group.rank() == 0) {
           group.send(one(rows.tensor()), 1);
         } else {
           group.recv(one(rows.tensor()), 0);
         }
       }},
      {"barrier", [](Communicator& group) { group.barrier(); }},
      {"split", [](Communicator& group) { group.split(0, group.rank()); }},
  };
}

}  // namespace

TEST_CASE("random delays: every call of a late rank waits, and of the groups split from it") {
  const auto [name, call] = GENERATE(from_range(calls()));
  const bool is_split = GENERATE(false, true);
  CAPTURE(name, is_split);
  const auto outcomes = run_owned({Wire::local, 2}, [&](std::unique_ptr<Communicator> inner) {
    const auto late = with_random_delays(std::move(inner), delay_max);
    const auto part = is_split ? late->split(0, late->rank()) : nullptr;
    Communicator& group = is_split ? *part : *late;
    const Clock::time_point begin = Clock::now();
    for (int i = 0; i < num_calls; ++i) call(group);
    return Clock::now() - begin;
  });
  for (const auto& outcome : outcomes) {
    CHECK(outcome.error == "");
    CHECK(outcome.value >= time_min);
  }
}

TEST_CASE("random delays: rows are the same bytes, whoever comes first") {
  const Wire wire = GENERATE(from_range(wires()));
  CAPTURE(name_of(wire));
  const Counts rows = {1, 0, 3};
  const auto summed = [&rows](Communicator& group) {
    const Buffer from = patterned(group, 0, {4, 4, DType::f32});
    const Buffer to(group.memory(), {rows[static_cast<std::size_t>(group.rank())], 4, DType::f32});
    group.reduce_scatter_v(from.tensor(), rows, to.tensor());
    return bytes_in(to);
  };
  const auto plain =
      run_owned({wire, 3}, [&](std::unique_ptr<Communicator> inner) { return summed(*inner); });
  for (int repeat = 0; repeat < 10; ++repeat) {
    const auto late = run_owned({wire, 3}, [&](std::unique_ptr<Communicator> inner) {
      return summed(*with_random_delays(std::move(inner), milliseconds(2)));
    });
    for (std::size_t rank = 0; rank < rows.size(); ++rank) {
      CHECK(late[rank].error == "");
      CHECK(late[rank].value == plain[rank].value);
    }
  }
}

}  // namespace moe::test
