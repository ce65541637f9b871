// Plans of messages. A list's tensors are told apart by their place in it, pieces of rows by
// theirs.

#include "comm/gloo_moves.h"

#include <algorithm>

#include "comm/exchange_sum.h"

namespace moe {
namespace {

// All ranks, beginning with this one and its next neighbour: not all write to rank 0 first.
std::vector<int> ranks_from(int rank, int size) {
  std::vector<int> all;
  for (int step = 0; step < size; ++step) all.push_back((rank + step) % size);
  return all;
}

int size_of(RowCounts counts) { return static_cast<int>(counts.size()); }

// The rows of one rank among those of all.
Tensor part_of(const Tensor& rows, RowCounts rows_per_rank, int rank) {
  return rows_of(rows, rows_before(rows_per_rank, rank),
                 rows_per_rank[static_cast<std::size_t>(rank)]);
}

void add_message(std::vector<WireMessage>& messages, const WireMessage& message) {
  if (bytes_of(message.rows) > 0) messages.push_back(message);
}

// The way of one tensor's rows to a peer and of that peer's rows to this rank.
struct Ways {
  int peer = 0;
  int tensor_id = 0;
  Tensor sent;
  Tensor received;
};

void add_ways(Moves& moves, int rank, const Ways& ways) {
  const auto& [peer, tensor_id, sent, received] = ways;
  if (peer == rank) {
    moves.kept.emplace_back(sent, received);
    return;
  }
  add_message(moves.sent, {peer, tensor_id, sent});
  add_message(moves.received, {peer, tensor_id, received});
}

// Rows of each piece of `rows`: both ends of a message know them.
std::vector<Count> pieces_of(const Tensor& rows) {
  const Count wanted = (bytes_of(rows) + sum_piece_bytes - 1) / sum_piece_bytes;
  const Count num_pieces = std::clamp<Count>(std::min(wanted, rows.rows), 1, sum_pieces_max);
  return even_split(rows.rows, static_cast<int>(num_pieces));
}

}  // namespace

Moves all_gather_moves(int rank, Tensors rows, RowCounts rows_per_rank, Tensors gathered) {
  Moves moves;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (const int peer : ranks_from(rank, size_of(rows_per_rank))) {
      add_ways(moves, rank,
               {peer, static_cast<int>(i), rows[i], part_of(gathered[i], rows_per_rank, peer)});
    }
  }
  return moves;
}

Moves all_to_all_moves(int rank, Tensors sent, RowCounts rows_to, RowCounts rows_from,
                       Tensors received) {
  Moves moves;
  for (std::size_t i = 0; i < sent.size(); ++i) {
    for (const int peer : ranks_from(rank, size_of(rows_to))) {
      add_ways(moves, rank,
               {peer, static_cast<int>(i), part_of(sent[i], rows_to, peer),
                part_of(received[i], rows_from, peer)});
    }
  }
  return moves;
}

Moves broadcast_moves(int rank, int size, Tensors rows, int root) {
  Moves moves;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const int tensor_id = static_cast<int>(i);
    if (root != rank) add_message(moves.received, {root, tensor_id, rows[i]});
    for (int peer = 0; root == rank && peer < size; ++peer) {
      if (peer != rank) add_message(moves.sent, {peer, tensor_id, rows[i]});
    }
  }
  return moves;
}

Moves barrier_moves(int rank, int size) {
  Moves moves;
  for (const int peer : ranks_from(rank, size)) {
    if (peer == rank) continue;
    moves.sent.push_back({peer, 0, {}});
    moves.received.push_back({peer, 0, {}});
  }
  return moves;
}

SumMoves reduce_scatter_moves(int rank, const Tensor& rows, RowCounts rows_per_rank,
                              const Tensor& others, const Tensor& own) {
  SumMoves moves;
  const int size = size_of(rows_per_rank);
  for (const int peer : ranks_from(rank, size)) {
    if (peer == rank) continue;
    const Tensor part = part_of(rows, rows_per_rank, peer);
    const std::vector<Count> pieces = pieces_of(part);
    for (int i = 0; i < size_of(pieces); ++i) {
      add_message(moves.sent, {peer, i, part_of(part, pieces, i)});
    }
  }
  const Tensor own_part = part_of(rows, rows_per_rank, rank);
  const std::vector<Count> pieces = pieces_of(own);
  for (int i = 0; i < size_of(pieces); ++i) {
    SumPiece& piece = moves.pieces.emplace_back();
    piece.sum = part_of(own, pieces, i);
    for (int peer = 0, other = 0; peer < size; ++peer) {
      const Tensor from = peer == rank ? own_part : rows_of(others, own.rows * other++, own.rows);
      piece.operands.push_back(part_of(from, pieces, i));
      if (peer == rank || bytes_of(piece.sum) == 0) continue;
      moves.received.push_back({peer, i, piece.operands.back()});
      ++piece.num_messages;
    }
  }
  return moves;
}

}  // namespace moe
