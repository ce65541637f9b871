// What ranks with a board hear of one that is late, fails, or does something else, and what a board
// refuses. Nothing hangs.

#include <unistd.h>

#include <atomic>
#include <latch>

#include "tests/catch.h"
#include "tests/unit/comm/board_ranks.h"

namespace moe::test {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

TEST_CASE("board: a late rank is named after the deadline, and the board is broken for all") {
  const bool in_group = GENERATE(false, true);
  CAPTURE(in_group);
  std::latch over(2);
  const auto outcomes = run_board({4, short_deadline}, [&](BoardRank& rank) {
    const int number = rank.world->rank();
    const auto odd = rank.world->split(number % 2, 0);
    Communicator& group = in_group ? *odd : *rank.world;
    const bool is_late = number == 3 || (in_group && number % 2 == 0);
    std::string words;
    if (is_late) {
      over.wait();
    } else {
      words = outcome_of<bool>([&] { return !shown(group, 1).empty(); }).error;
      over.count_down(in_group ? 2 : number == 2 ? 0 : 1);
    }
    const Clock::time_point begin = Clock::now();
    const std::string later = outcome_of<bool>([&] {
                                rank.world->barrier();
                                return true;
                              }).error;
    const bool is_same = is_late || later == words;
    return text(later, is_same ? "" : " unlike before",
                Clock::now() - begin < short_deadline / 2 ? "" : " late");
  });
  for (const auto& outcome : outcomes) {
    CHECK(outcome.error == "");
    CHECK(outcome.value ==
          (in_group
               ? "rank 3 did not reach operation 0 of group [1, 3] (all_gather_v) within 200 ms"
               : "rank 3 did not reach operation 1 (all_gather_v) within 200 ms"));
  }
}

TEST_CASE("board: who misses several ranks gives those a moment to say for whom they wait") {
  const Board board(BoardSettings{3, short_deadline});
  std::latch waits(1);
  std::latch over(1);
  Clock::time_point begin;
  const auto outcomes = run_on(board, [&](BoardRank& rank) {
    const int number = rank.world->rank();
    if (number == 0) {
      begin = Clock::now();
      waits.count_down();
      const auto outcome = outcome_of<bool>([&] { return !shown(*rank.world, 1).empty(); });
      over.count_down();
      return outcome.error;
    }
    waits.wait();
    if (number == 1) {
      // Waits elsewhere for rank 2, and says so after rank 0's deadline.
      const auto late = begin + short_deadline + milliseconds(200);
      rank.end.await_ring(rank.end.area(Board::world_area, 3), 0, late);
      rank.end.abort("rank 1 failed: peer rank 2 did not answer within 200 ms");
    }
    over.wait();
    return std::string();
  });
  CHECK(outcomes[1].error == "");
  CHECK(outcomes[0].value == "rank 1 failed: peer rank 2 did not answer within 200 ms");
}

TEST_CASE("board: who came last and was stopped before it rang holds nobody beyond the deadline") {
  const auto outcomes = run_board({2, short_deadline}, [](BoardRank& rank) {
    const Board::Area world = rank.end.area(Board::world_area, 2);
    if (rank.world->rank() == 0) {
      const Buffer none(rank.world->memory(), {0, 1, DType::i64});
      rank.world->all_gather_v(one(none.tensor()), Counts(2, 0), one(none.tensor()));
      return true;
    }
    // Shows an empty record and says that it has come, half the deadline after rank 0.
    rank.end.await_ring(world, 0, Clock::now() + short_deadline / 2);
    std::atomic_ref<std::uint32_t>(world.arrived[1]) = 1;
    return rank.end.await_ring(world, 0, Clock::now() + patient);
  });
  for (const auto& outcome : outcomes) {
    CHECK(outcome.error == "");
    CHECK(outcome.value == true);
  }
}

TEST_CASE(
    "board: abort from outside wakes ranks in all groups at once, and the first reason stays") {
  Board board(BoardSettings{6, patient});
  std::latch split_done(6);
  std::thread aborter([&] {
    split_done.wait();
    board.abort("rank 9 saw a fire");
    board.abort("and a flood");
  });
  const Clock::time_point begin = Clock::now();
  const auto outcomes = run_on(board, [&](BoardRank& rank) {
    const int number = rank.world->rank();
    const auto half = rank.world->split(number % 2, 0);
    const auto quarter = half->split(half->rank() == 0 ? 0 : 1, 0);
    split_done.count_down();
    Communicator& group = number == 0 ? *rank.world : number < 3 ? *half : *quarter;
    if (number == 5) split_done.wait();  // and is in nobody's way
    while (true) group.barrier();
    return true;
  });
  aborter.join();
  CHECK(Clock::now() - begin < patient / 2);
  for (const auto& outcome : outcomes) {
    CHECK(outcome.kind == "SystemError");
    CHECK(outcome.error == "rank 9 saw a fire");
  }
  CHECK(board.broken() == "rank 9 saw a fire");
}

TEST_CASE("board: a rank's reason is heard by the others, cut where it is endless") {
  const auto outcomes = run_board({2, patient}, [](BoardRank& rank) {
    if (rank.world->rank() == 0) {
      rank.end.abort(text("rank 0 failed: ", std::string(5000, 'x')));
      return true;
    }
    while (true) rank.world->barrier();
    return true;
  });
  CHECK(outcomes[0].error == "");
  CHECK(contains(outcomes[1].error, "rank 0 failed: xxx"));
  CHECK(outcomes[1].error.size() == 2047);
}

TEST_CASE("board: ranks in different operations or with records of different sizes hear of it") {
  const auto operations = run_board({3, patient}, [](BoardRank& rank) {
    if (rank.world->rank() == 1) rank.world->barrier();
    if (rank.world->rank() != 1) shown(*rank.world, 1);
    return true;
  });
  const auto sizes = run_board({2, patient}, [](BoardRank& rank) {
    const Count rows = 1 + rank.world->rank();
    const Buffer own(rank.world->memory(), {rows, 1, DType::i64});
    const Buffer all(rank.world->memory(), {2 * rows, 1, DType::i64});
    rank.world->all_gather_v(one(own.tensor()), Counts(2, rows), one(all.tensor()));
    return true;
  });
  for (const auto& outcome : operations) {
    CHECK(outcome.kind == "SystemError");
    CHECK(contains(outcome.error, "ranks are out of step: rank "));
    CHECK(contains(outcome.error, "operation 0 (all_gather_v)"));
    CHECK(contains(outcome.error, "operation 0 (barrier)"));
  }
  for (const auto& outcome : sizes) {
    CHECK(outcome.kind == "SystemError");
    CHECK(contains(outcome.error, "operation 0 (all_gather_v): rank "));
    CHECK(contains(outcome.error, " bytes where rank "));
    CHECK(contains(outcome.error, "16"));
  }
}

TEST_CASE("board: what it cannot do is refused with a reason") {
  const Board board(BoardSettings{2, patient});
  BoardRank rank(board, 0);
  Communicator& world = *rank.world;
  const Buffer row(world.memory(), {1, 1, DType::f32});
  const Buffer rows(world.memory(), {2, 1, DType::f32});
  const std::string reason = " asked of one; it can all_gather_v, barrier and split";
  const auto refused = [&](const char* name, const auto& call) {
    CHECK_THROWS_WITH(call(), text("a board moves records of ranks, not rows: ", name, reason));
  };
  refused("reduce_scatter_v", [&] {
    world.reduce_scatter_v(rows.tensor(), Counts{1, 1}, row.tensor());
  });
  refused("all_to_all_v", [&] {
    world.all_to_all_v(one(rows.tensor()), Counts{1, 1}, Counts{1, 1}, one(rows.tensor()));
  });
  refused("broadcast", [&] { world.broadcast(one(row.tensor()), 0); });
  refused("all_reduce", [&] { world.all_reduce(row.tensor(), ReduceOp::sum, row.tensor()); });
  refused("send", [&] { world.send(one(row.tensor()), 1); });
  refused("recv", [&] { world.recv(one(row.tensor()), 1); });

  const auto gathered = [&](const Counts& counts, Count columns) {
    const Buffer own(world.memory(), {counts[0], columns, DType::i64});
    const Buffer all(world.memory(), {total_rows(counts), columns, DType::i64});
    return outcome_of<bool>([&] {
      world.all_gather_v(one(own.tensor()), counts, one(all.tensor()));
      return true;
    });
  };
  CHECK(contains(gathered({1, 2}, 1).error, "as many rows of each rank, not [1, 2]"));
  const auto large = gathered({1, 1}, 1000);
  CHECK(large.kind == "ContractError");
  CHECK(contains(large.error, "a record of 8000 bytes for a board that takes "));
}

TEST_CASE("board: a descriptor that is none is refused, as is a rank that the world has not") {
  const auto refused = [](BoardSeat seat) {
    return outcome_of<bool>([&] {
             const Board board(seat);
             return true;
           })
        .error;
  };
  CHECK(refused({-1, 0}) == "rank 0: descriptor -1 is no board of its world");
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  CHECK(contains(refused({ends[0], 1}), "is no board of its world"));
  close(ends[0]);
  close(ends[1]);
  const Board board(BoardSettings{2, patient});
  CHECK(contains(refused({board.descriptor(), 2}), "rank 2: descriptor "));
}

}  // namespace moe::test
