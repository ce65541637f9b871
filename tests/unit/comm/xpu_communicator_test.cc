// Ranks whose rows are staged: what is counted, by hand. That rows and sums arrive is the
// conformance suite's, which runs on every device. And vLLM's first XPU communicator, anywhere.

#include "comm/xpu_communicator.h"

#include <iostream>

#include "comm/faulty_communicator.h"
#include "comm/first_xpu_collectives.h"
#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"

namespace moe::test {
namespace {

// Why no rank's rows can be staged here; empty where they can.
std::string absence() {
  if (gloo_maker.make == nullptr) return text("gloo: ", gloo_maker.absence);
  const std::string xpu = device_maker(DeviceKind::xpu).absence();
  return xpu.empty() ? "" : text("xpu: ", xpu);
}

// Program on ranks of xpu over Gloo. RETURNS nothing, and says SKIP, where there is none.
template <typename Program>
auto on_xpu(int size, const Program& program) {
  World world(maker_of("gloo"), absence().empty() ? size : 1, milliseconds(20000),
              absence().empty() ? DeviceKind::xpu : DeviceKind::cpu);
  if (!absence().empty()) std::cout << "SKIP " << absence() << "\n";
  return run_ranks(absence().empty() ? size : 0, [&](int rank) {
    Endpoint endpoint = world.endpoint(rank);
    return program(*endpoint.communicator);
  });
}

constexpr Count row = 16;  // four columns of f32

Buffer rows_in(Communicator& group, Count count) {
  return Buffer(group.memory(), {count, 4, DType::f32});
}

}  // namespace

TEST_CASE("xpu communicator: what goes down to the host and up again is counted, once each") {
  const auto outcomes = on_xpu(3, [](Communicator& group) {
    const Count own = group.rank() + 1;
    const Counts each = {1, 2, 3};
    const Buffer mine = rows_in(group, own);
    const Buffer all = rows_in(group, 6);
    Counts seen = {group.staged_bytes()};
    const auto after = [&] { seen.push_back(group.staged_bytes()); };
    group.all_gather_v(one(mine.tensor()), each, one(all.tensor()));
    after();
    group.reduce_scatter_v(all.tensor(), each, mine.tensor());
    after();
    group.broadcast(one(all.tensor()), 1);
    after();
    group.all_reduce(all.tensor(), ReduceOp::sum, all.tensor());
    after();
    group.barrier();
    after();
    return seen;
  });
  for (int rank = 0; rank < std::ssize(outcomes); ++rank) {
    INFO("rank " << rank);
    const Count own = rank + 1;
    const Count gathered = (own + 6) * row;  // as many as a reduce-scatter's
    const Count sent = 6 * row;              // down at the root, up at the others
    CHECK(outcomes[static_cast<std::size_t>(rank)].value ==
          Counts{0, gathered, 2 * gathered, 2 * gathered + sent, 2 * gathered + 3 * sent,
                 2 * gathered + 3 * sent});
  }
}

TEST_CASE("xpu communicator: groups count where they were split from, messages at both ends") {
  const auto outcomes = on_xpu(3, [](Communicator& group) {
    const auto part = group.split(group.rank() < 2 ? 0 : 1, 0);
    const Buffer rows = rows_in(group, 2);
    if (group.rank() == 0) part->send(one(rows.tensor()), 1);
    if (group.rank() == 1) part->recv(one(rows.tensor()), 0);
    return Counts{group.staged_bytes(), part->staged_bytes()};
  });
  for (int rank = 0; rank < std::ssize(outcomes); ++rank) {
    const Count bytes = rank < 2 ? 2 * row : 0;
    CHECK(outcomes[static_cast<std::size_t>(rank)].value == Counts{bytes, bytes});
  }
}

TEST_CASE("xpu communicator: what a decorator stands around still counts what it stages") {
  const auto outcomes = on_xpu(2, [](Communicator& group) {
    const auto around = with_own_rank_added_first(group.split(0, group.rank()));
    const Buffer mine = rows_in(group, 1);
    const Buffer all = rows_in(group, 2);
    around->all_gather_v(one(mine.tensor()), Counts{1, 1}, one(all.tensor()));
    return around->staged_bytes();
  });
  for (const auto& outcome : outcomes) CHECK(outcome.value == 3 * row);
}

TEST_CASE("xpu communicator: host memory and a host's communicator belong together") {
  auto memory = make_host_memory(Poison::off);
  LocalGroup group(1, milliseconds(1000));
  auto host = group.communicator(0, *memory);
  const auto other = make_host_memory(Poison::off);
  CHECK_THROWS_WITH(make_xpu_communicator(std::move(memory), std::move(host), *other),
                    Catch::Contains("rows of cpu staged"));
}

TEST_CASE("first xpu collectives: right where the group is the world and sizes differ") {
  const auto outcomes = run_owned({.size = 2}, [](std::unique_ptr<Communicator> world) {
    const auto group = with_first_xpu_collectives(std::move(world), 2);
    const Buffer mine = patterned(*group, 0, {group->rank() + 1, 4, DType::f32});
    const Buffer all(group->memory(), {3, 4, DType::f32});
    group->all_gather_v(one(mine.tensor()), Counts{1, 2}, one(all.tensor()));
    group->reduce_scatter_v(all.tensor(), Counts{1, 2}, mine.tensor());
    return bytes_in(all);
  });
  Bytes expected = pattern(0, 0, row);
  const Bytes second = pattern(1, 0, 2 * row);
  expected.insert(expected.end(), second.begin(), second.end());
  for (const auto& outcome : outcomes) CHECK(outcome.value == expected);
}

TEST_CASE("first xpu collectives: a list of the group's length is refused by a larger world") {
  const auto outcomes = run_owned({.size = 4}, [](std::unique_ptr<Communicator> world) {
    auto half = world->split(world->rank() % 2, 0);
    const auto group = with_first_xpu_collectives(std::move(half), 4);
    const Buffer mine(group->memory(), {group->rank(), 4, DType::f32});
    const Buffer all(group->memory(), {1, 4, DType::f32});
    std::vector<std::string> said;
    for (const bool gathers : {true, false}) {
      const auto outcome = outcome_of<int>([&] {
        if (gathers) group->all_gather_v(one(mine.tensor()), Counts{0, 1}, one(all.tensor()));
        if (!gathers) group->reduce_scatter_v(all.tensor(), Counts{0, 1}, mine.tensor());
        return 0;
      });
      said.push_back(outcome.error);
    }
    world->barrier();
    return said;
  });
  for (const auto& outcome : outcomes) {
    CHECK(outcome.value ==
          std::vector<std::string>{
              "all_gather without a group runs on the world: a list of 2 for its 4 ranks, of a "
              "group of 2",
              "reduce_scatter without a group runs on the world: a list of 2 for its 4 ranks, of "
              "a group of 2"});
  }
}

TEST_CASE("first xpu collectives: equal sizes make a list of one, which no world of two takes") {
  const auto outcomes = run_owned({.size = 2}, [](std::unique_ptr<Communicator> world) {
    const auto group = with_first_xpu_collectives(std::move(world), 2);
    const Buffer mine(group->memory(), {1, 4, DType::f32});
    const Buffer all(group->memory(), {2, 4, DType::f32});
    group->reduce_scatter_v(all.tensor(), Counts{1, 1}, mine.tensor());  // cut in two, rightly
    group->all_gather_v(one(mine.tensor()), Counts{1, 1}, one(all.tensor()));
    return 0;
  });
  for (const auto& outcome : outcomes) {
    CHECK(outcome.kind == "SystemError");
    CHECK_THAT(outcome.error, Catch::Contains("a list of 1 for its 2 ranks"));
  }
}

}  // namespace moe::test
