// What only the referee can do: be aborted from outside, many ranks on few cores, and say exactly
// who shows what where ranks disagree.

#include <latch>

#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"

namespace moe::test {

TEST_CASE("local: abort wakes ranks that wait in the world and in groups split from it") {
  constexpr int size = 6;
  World world({Wire::local, size, milliseconds(60000)});
  std::latch split_done(size);
  std::thread aborter([&] {
    split_done.wait();
    world.group().abort("rank 9 saw a fire");
  });
  const auto outcomes = run_ranks(size, [&](int rank) {
    const Endpoint endpoint = world.endpoint(rank);
    const auto half = endpoint.communicator->split(rank % 2, 0);
    const auto quarter = half->split(half->rank() == 0 ? 0 : 1, 0);
    split_done.count_down();
    if (rank == 0) {
      endpoint.communicator->barrier();
    } else if (rank == 1 || rank == 2) {
      half->barrier();
    } else if (rank == 5) {
      split_done.wait();  // and is in nobody's way
      quarter->barrier();
      quarter->barrier();
    } else {
      const Buffer row = patterned(*quarter, 0, {1, 1, DType::f32});
      quarter->recv(one(row.tensor()), 1 - quarter->rank());
    }
    return true;
  });
  aborter.join();
  for (int rank = 0; rank < size; ++rank) {
    CAPTURE(rank);
    CHECK(outcomes[static_cast<std::size_t>(rank)].kind == "SystemError");
    CHECK(outcomes[static_cast<std::size_t>(rank)].error == "rank 9 saw a fire");
  }
}

TEST_CASE("local: a group that is split after an abort is born aborted") {
  World world({Wire::local, 1, milliseconds(1000)});
  const Endpoint endpoint = world.endpoint(0);
  world.group().abort("over");
  CHECK_THROWS_WITH(endpoint.communicator->split(0, 0), "over");
  CHECK_THROWS_WITH(endpoint.communicator->barrier(), "over");
}

TEST_CASE("local: 64 ranks gather, sum and split") {
  constexpr int size = 64;
  const auto outcomes = run_world({Wire::local, size}, [](Communicator& world) {
    const auto group = world.split(world.rank() / 8, 0);
    const Buffer own = filled(*group, std::vector<float>{static_cast<float>(world.rank())});
    group->all_reduce(own.tensor(), ReduceOp::sum, own.tensor());
    world.all_reduce(own.tensor(), ReduceOp::sum, own.tensor());
    return values_in<float>(own)[0];
  });
  for (const auto& outcome : outcomes) {
    REQUIRE(outcome.error == "");
    CHECK(*outcome.value == 8.0F * 63.0F * 32.0F);
  }
}

TEST_CASE("local: the referee says who shows what") {
  const auto rows = run_world({Wire::local, 2}, [](Communicator& group) {
    const Counts to = group.rank() == 0 ? Counts{0, 4} : Counts{0, 0};
    const Counts from = group.rank() == 0 ? Counts{0, 0} : Counts{3, 0};
    const Buffer sent = patterned(group, 0, {total_rows(to), 2, DType::f32});
    const Buffer received(group.memory(), {total_rows(from), 2, DType::f32});
    group.all_to_all_v(one(sent.tensor()), to, from, one(received.tensor()));
    return true;
  });
  CHECK(rows[1].error == "operation 0 (all_to_all_v): rank 0 gives 4 rows where rank 1 expects 3");

  const auto widths = run_world({Wire::local, 2}, [](Communicator& group) {
    const Buffer row = patterned(group, 0, {1, 2 + group.rank(), DType::f32});
    group.broadcast(one(row.tensor()), 1);
    return true;
  });
  CHECK(
      widths[0].error ==
      "operation 0 (broadcast): rank 1 shows [1, 3] f32 on cpu where rank 0 expects [1, 2] f32 on "
      "cpu");

  const auto roots = run_world({Wire::local, 2}, [](Communicator& group) {
    const Buffer row = patterned(group, 0, {1, 2, DType::f32});
    group.broadcast(one(row.tensor()), group.rank());
    return true;
  });
  for (const auto& outcome : roots) CHECK(outcome.kind.empty());

  const auto pair = run_world({Wire::local, 2}, [](Communicator& group) {
    const Buffer row = patterned(group, 0, {1 + group.rank(), 2, DType::f32});
    if (group.rank() == 0) group.send(one(row.tensor()), 1);
    if (group.rank() == 1) group.recv(one(row.tensor()), 0);
    return true;
  });
  CHECK(contains(pair[1].error, "rank 0 sends [1, 2] f32 on cpu where rank 1 expects [2, 2]"));
}

TEST_CASE("local: peers may overwrite their rows as soon as their call returns") {
  const auto outcomes = run_world({Wire::local, 4}, [](Communicator& group) {
    const Buffer own(group.memory(), {1, 1024, DType::i32});
    const Buffer all(group.memory(), {4, 1024, DType::i32});
    bool intact = true;
    for (int turn = 0; turn < 200; ++turn) {
      for (auto& value : elements_of<std::int32_t>(own.tensor())) value = turn;
      group.all_gather_v(one(own.tensor()), Counts(4, 1), one(all.tensor()));
      for (auto& value : elements_of<std::int32_t>(own.tensor())) value = -1;
      for (const auto value : elements_of<std::int32_t>(all.tensor())) {
        intact = intact && value == turn;
      }
    }
    return intact;
  });
  for (const auto& outcome : outcomes) {
    REQUIRE(outcome.error == "");
    CHECK(*outcome.value);
  }
}

}  // namespace moe::test
