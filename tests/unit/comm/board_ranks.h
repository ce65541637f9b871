// Worlds with a board for the tests of comm: ranks are threads, each with an end of its own, as a
// process has. program_test.py has processes.

#pragma once

#include <fcntl.h>

#include "comm/board_communicator.h"
#include "tests/unit/comm/ranks.h"

namespace moe::test {

// For cases in which no deadline may be what ends them.
constexpr milliseconds patient{60000};
constexpr milliseconds short_deadline{200};

// One rank's end of a board with the world's communicator.
struct BoardRank {
  BoardRank(const Board& board, int rank)
      : end(BoardSeat{fcntl(board.descriptor(), F_DUPFD_CLOEXEC, 0), rank}),
        memory(make_host_memory(Poison::on)),
        world(make_board_communicator(end, *memory)) {}

  Board end;
  std::unique_ptr<Memory> memory;
  std::unique_ptr<Communicator> world;
};

// Runs program(rank) with an end of the board on every rank.
template <typename Program>
auto run_on(const Board& board, const Program& program) {
  return run_ranks(board.settings().size, [&](int number) {
    BoardRank rank(board, number);
    return program(rank);
  });
}

template <typename Program>
auto run_board(BoardSettings settings, const Program& program) {
  const Board board(settings);
  return run_on(board, program);
}

using Values = std::vector<std::int64_t>;

// What each rank shows of one value, in the order of ranks.
inline Values shown(Communicator& group, std::int64_t value) {
  const Buffer own = filled(group, Values{value});
  const Buffer all(group.memory(), {group.size(), 1, DType::i64});
  group.all_gather_v(one(own.tensor()), Counts(static_cast<std::size_t>(group.size()), 1),
                     one(all.tensor()));
  return values_in<std::int64_t>(all);
}

}  // namespace moe::test
