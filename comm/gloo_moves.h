// Which rows travel in each collective operation, to whom, and which only change their place: plans
// that gloo_communicator.cc carries out. Ranks of a group; every rank derives the same messages.

#pragma once

#include <utility>
#include <vector>

#include "comm/communicator.h"
#include "comm/gloo_messages.h"

namespace moe {

// Messages of one operation, and rows that stay on this rank ({from, to}).
struct Moves {
  std::vector<WireMessage> sent;
  std::vector<WireMessage> received;
  std::vector<std::pair<Tensor, Tensor>> kept;
};

// Arguments as those of the operations of Communicator.
Moves all_gather_moves(int rank, Tensors rows, RowCounts rows_per_rank, Tensors gathered);
Moves all_to_all_moves(int rank, Tensors sent, RowCounts rows_to, RowCounts rows_from,
                       Tensors received);
Moves broadcast_moves(int rank, int size, Tensors rows, int root);
Moves barrier_moves(int rank, int size);

// sum = operands[0] + operands[1] + …, in the order of the ranks, once num_messages more of the
// messages to receive are there.
struct SumPiece {
  std::size_t num_messages = 0;
  std::vector<Tensor> operands;
  Tensor sum;
};

struct SumMoves {
  std::vector<WireMessage> sent;
  std::vector<WireMessage> received;  // piece by piece
  std::vector<SumPiece> pieces;
};

// others: room for own.rows rows of each other rank. Rows are cut into pieces of about
// sum_piece_bytes, at most sum_pieces_max of them, by how many rows their receiver has.
SumMoves reduce_scatter_moves(int rank, const Tensor& rows, RowCounts rows_per_rank,
                              const Tensor& others, const Tensor& own);

inline constexpr Count sum_piece_bytes = 256 * 1024;
inline constexpr int sum_pieces_max = 32;

}  // namespace moe
