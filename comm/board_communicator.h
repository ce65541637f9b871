// BoardCommunicator: ranks that are processes of one machine show each other small records of equal
// size over a board, without a wire. The checks' own words go this way; rows do not.

#pragma once

#include <memory>

#include "comm/board.h"
#include "comm/communicator.h"

namespace moe {

// The world's endpoint of the rank whose end of the board this is. It can all_gather_v records of
// as many rows from each rank, barrier and split; the rest throws ContractError. A rank that does
// not come in time breaks the board. LIFETIME: not longer than board and memory.
std::unique_ptr<Communicator> make_board_communicator(Board& board, Memory& memory);

}  // namespace moe
