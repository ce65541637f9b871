// Ranks that share a board: every rank sees every record, groups by themselves and at once, and
// traced communicators that agree over it.

#include "tests/catch.h"
#include "tests/unit/comm/board_ranks.h"

namespace moe::test {
namespace {

// A world's communicator that needs no peer: what is agreed on over the side never moves.
std::unique_ptr<TracedCommunicator> traced(LocalGroup& wires, BoardRank& rank) {
  return std::make_unique<TracedCommunicator>(wires.communicator(rank.end.rank(), *rank.memory),
                                              Agreement::checked, StageNames{}, LastTensor::payload,
                                              std::move(rank.world));
}

}  // namespace

TEST_CASE("board: every rank sees every rank's records, for more meetings than there are slots") {
  const int size = GENERATE(1, 2, 5);
  CAPTURE(size);
  const auto outcomes = run_board({size, patient}, [](BoardRank& rank) {
    bool is_right = true;
    for (std::int64_t turn = 0; turn < 300; ++turn) {
      const Values all = shown(*rank.world, 1000 * turn + rank.world->rank());
      for (std::size_t peer = 0; peer < all.size(); ++peer) {
        is_right = is_right && all[peer] == 1000 * turn + static_cast<std::int64_t>(peer);
      }
      if (turn % 7 == 0) rank.world->barrier();
    }
    return is_right;
  });
  for (const auto& outcome : outcomes) {
    REQUIRE(outcome.error == "");
    CHECK(*outcome.value);
  }
}

TEST_CASE("board: a list of tensors is one record, and a record may be empty") {
  const auto outcomes = run_board({3, patient}, [](BoardRank& rank) {
    Communicator& world = *rank.world;
    const Buffer first = patterned(world, 0, {2, 3, DType::bf16});
    const Buffer second = patterned(world, 1, {2, 1, DType::i64});
    const Buffer all_first(world.memory(), {6, 3, DType::bf16});
    const Buffer all_second(world.memory(), {6, 1, DType::i64});
    const Tensor own[] = {first.tensor(), second.tensor()};
    const Tensor all[] = {all_first.tensor(), all_second.tensor()};
    world.all_gather_v(own, Counts(3, 2), all);
    const Buffer none(world.memory(), {0, 3, DType::bf16});
    world.all_gather_v(one(none.tensor()), Counts(3, 0), one(none.tensor()));
    Bytes seen = bytes_in(all_first);
    for (const auto byte : bytes_in(all_second)) seen.push_back(byte);
    return seen;
  });
  Bytes expected;
  for (const auto& [tensor, bytes] : {std::pair(0, 12), std::pair(1, 16)}) {
    for (int rank = 0; rank < 3; ++rank) {
      for (const auto byte : pattern(rank, tensor, bytes)) expected.push_back(byte);
    }
  }
  for (const auto& outcome : outcomes) {
    REQUIRE(outcome.error == "");
    CHECK(*outcome.value == expected);
  }
}

TEST_CASE("board: 64 ranks agree, split by eights and by the place in them, and agree there") {
  constexpr int size = 64;
  const auto outcomes = run_board({size, patient}, [](BoardRank& rank) {
    const int number = rank.world->rank();
    const auto row = rank.world->split(number / 8, 0);
    const auto column = rank.world->split(number % 8, 0);
    std::int64_t sum = 0;
    for (int turn = 0; turn < 5; ++turn) {
      for (Communicator* group : {row.get(), column.get(), rank.world.get()}) {
        for (const auto value : shown(*group, number)) sum += value;
      }
    }
    return sum;
  });
  for (int rank = 0; rank < size; ++rank) {
    const auto& outcome = outcomes[static_cast<std::size_t>(rank)];
    REQUIRE(outcome.error == "");
    const int row = 8 * (rank / 8 * 8) + 28;
    const int column = 8 * (rank % 8) + 8 * 28;
    CHECK(*outcome.value == 5 * (row + column + 2016));
  }
}

TEST_CASE("board: uneven groups by color and key, one of one rank, one of no rank, split again") {
  const auto outcomes = run_board({6, patient}, [](BoardRank& rank) {
    const int number = rank.world->rank();
    // Ranks 5, 3, 1, 0 in this order; 2 alone; 4 in none.
    const int color = number == 2 ? 7 : number == 4 ? -1 : 0;
    const auto group = rank.world->split(color, -number);
    if (group == nullptr) return Values{-1};
    const auto part = group->split(group->rank() < 3 ? 0 : 1, 0);
    Values seen = shown(*group, number);
    for (const auto value : shown(*part, number)) seen.push_back(value);
    for (const auto value : shown(*group, 10 + group->rank())) seen.push_back(value);
    return seen;
  });
  const std::vector<Values> expected = {{5, 3, 1, 0, 0, 10, 11, 12, 13},
                                        {5, 3, 1, 0, 5, 3, 1, 10, 11, 12, 13},
                                        {2, 2, 10},
                                        {5, 3, 1, 0, 5, 3, 1, 10, 11, 12, 13},
                                        {-1},
                                        {5, 3, 1, 0, 5, 3, 1, 10, 11, 12, 13}};
  for (std::size_t rank = 0; rank < expected.size(); ++rank) {
    CAPTURE(rank);
    REQUIRE(outcomes[rank].error == "");
    CHECK(*outcomes[rank].value == expected[rank]);
  }
}

TEST_CASE("board: groups that are split at the same time by different ranks do not mix") {
  const auto outcomes = run_board({4, patient}, [](BoardRank& rank) {
    const int number = rank.world->rank();
    const auto half = rank.world->split(number / 2, 0);
    Values seen;
    std::vector<std::unique_ptr<Communicator>> groups;
    for (int turn = 0; turn < 5; ++turn) {
      groups.push_back(half->split(0, turn % 2 == 0 ? number : -number));
      for (const auto value : shown(*groups.back(), 10 * turn + number)) seen.push_back(value);
    }
    for (const auto value : shown(*groups.front(), number)) seen.push_back(value);
    return seen;
  });
  for (int rank = 0; rank < 4; ++rank) {
    const auto& outcome = outcomes[static_cast<std::size_t>(rank)];
    REQUIRE(outcome.error == "");
    const std::int64_t low = rank / 2 * 2;
    const std::int64_t high = low + 1;
    CHECK(*outcome.value == Values{low, high, 10 + high, 10 + low, 20 + low, 20 + high, 30 + high,
                                   30 + low, 40 + low, 40 + high, low, high});
  }
}

TEST_CASE("board: a rank out of areas is told how many there are, as all ranks of its group are") {
  const auto outcomes = run_board({2, patient}, [](BoardRank& rank) {
    std::vector<std::unique_ptr<Communicator>> groups;
    for (int turn = 0; turn < 7; ++turn) groups.push_back(rank.world->split(0, 0));
    // Rank 1 leads none so far.
    groups.push_back(rank.world->split(0, -rank.world->rank()));
    rank.world->split(0, 0);
    return true;
  });
  for (const auto& outcome : outcomes) {
    CHECK(outcome.kind == "ContractError");
    CHECK(contains(outcome.error,
                   "rank 0 leads 8 groups and is to lead another; a board has areas for 8 a rank, "
                   "16 in all"));
  }
}

TEST_CASE("board: as the side of traced communicators it carries every record") {
  LocalGroup wires(3, patient);
  const Board board(BoardSettings{3, patient});
  const auto agreed = run_on(board, [&](BoardRank& rank) {
    const auto world = traced(wires, rank);
    const auto group = world->split(world->rank() == 0 ? 0 : 1, 0);
    for (int turn = 0; turn < 3; ++turn) {
      group->barrier();
      shown(*world, turn);
    }
    world->finish();
    return world->last_operation();
  });
  for (const auto& outcome : agreed) {
    REQUIRE(outcome.error == "");
    CHECK(contains(*outcome.value, "finished after "));
  }
}

TEST_CASE("board: records that differ are a disagreement on every rank") {
  LocalGroup wires(3, patient);
  const Board board(BoardSettings{3, patient});
  const auto outcomes = run_on(board, [&](BoardRank& rank) {
    const auto world = traced(wires, rank);
    const Counts rows = world->rank() == 2 ? Counts{1, 1, 2} : Counts{1, 1, 1};
    const Buffer own(world->memory(), {rows[static_cast<std::size_t>(world->rank())], 1});
    const Buffer all(world->memory(), {total_rows(rows), 1});
    world->all_gather_v(one(own.tensor()), rows, one(all.tensor()));
    return true;
  });
  for (const auto& outcome : outcomes) {
    CHECK(outcome.kind == "COUNT");
    CHECK(outcome.error ==
          "operation 0 (all_gather_v): rank 2 says rows_per_rank [1, 1, 2], ranks 0, 1 say "
          "[1, 1, 1]");
  }
}

}  // namespace moe::test
