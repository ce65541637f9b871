// Communicator: one rank's endpoint of a group of ranks, and the collectives that move rows. A
// seam. It never learns what a token is. Public functions check once; the private do_… only move
// bytes.

#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "kernels/base/memory.h"

namespace moe {

using Tensors = std::span<const Tensor>;

enum class ReduceOp { sum, max, bitwise_or };

std::string_view name_of(ReduceOp op);

// What a tensor is in a call that moves rows, and its number in the call's list.
enum class RowsAre { to_gather, gathered, to_scatter, scattered };
struct RowPlace {
  RowsAre rows = RowsAre::to_gather;
  int index = 0;
};

// Every collective is called by all ranks of the group in the same order. A list moves in one group
// call; tensor i of all ranks has the same columns and dtype. A call may return when it is queued.
// Errors: SystemError when a peer, a wire or a deadline fails, from the call, the next one or the
// memory's synchronize(); the communicator is dead after that. ContractError when shapes do not fit
// what is said to move. THREAD: one thread at a time.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // The memory whose tensors this communicator moves.
  virtual Memory& memory() = 0;

  // Where a Buffer of such rows lies best: all_gather_v and reduce_scatter_v move rows from
  // anywhere, and may move those at their place faster. memory(), or another of the same device.
  // Collective, the first time. REQUIRES that all ranks ask for places, and make and end what they
  // keep there, in the same order, and for gathered and to_scatter in the same shapes.
  virtual Memory& memory_for(RowPlace /*place*/) { return memory(); }

  // How many bytes this rank has copied between a device's memory and the host's so that its rows
  // could move, in this group and in those split from it. 0: rows move from where they lie.
  virtual Count staged_bytes() const { return 0; }

  // gathered[i] = the ranks' rows[i] one after the other. ORDER: ranks ascending.
  // REQUIRES rows[i].rows == rows_per_rank[rank()], gathered[i].rows == sum of rows_per_rank, and
  // the same rows_per_rank on every rank. Zero rows are legal, also on all ranks.
  void all_gather_v(Tensors rows, RowCounts rows_per_rank, Tensors gathered);

  // own = round(sum over ranks of their rows' part for this rank): part r is the r-th run of
  // rows_per_rank[r] rows. ORDER: ranks ascending, fp32, one rounding (numerics.md, 3).
  // REQUIRES rows.rows == sum of rows_per_rank, own.rows == rows_per_rank[rank()].
  void reduce_scatter_v(const Tensor& rows, RowCounts rows_per_rank, const Tensor& own);

  // sent[i] holds runs of rows_to[r] rows for each rank r ascending; received[i] gets runs of
  // rows_from[r] rows, ranks ascending. REQUIRES rows_from[r] to be what rank r sends here.
  void all_to_all_v(Tensors sent, RowCounts rows_to, RowCounts rows_from, Tensors received);

  // Every rank's rows become the root's.
  void broadcast(Tensors rows, int root);

  // out = the reduction over all ranks, in the same bits on every rank. sum as reduce_scatter_v
  // does, and of i32 and i64; max for f32 (a NaN wins), i32, i64; bitwise_or for integers. in may
  // be out.
  void all_reduce(const Tensor& in, ReduceOp op, const Tensor& out);

  // Rows from one rank to another; all other operations are collective. send may wait until the
  // receiver takes the rows, so two ranks that both send first wait for each other in vain.
  void send(Tensors rows, int to);
  void recv(Tensors rows, int from);

  void barrier();

  // The ranks that pass the same color form a group, ordered by (key, rank). Collective over this
  // group. color < 0: in no group, RETURNS null. LIFETIME: shorter than this.
  std::unique_ptr<Communicator> split(int color, int key);

 private:
  virtual void do_all_gather_v(Tensors rows, RowCounts rows_per_rank, Tensors gathered) = 0;
  virtual void do_reduce_scatter_v(const Tensor& rows, RowCounts rows_per_rank,
                                   const Tensor& own) = 0;
  virtual void do_all_to_all_v(Tensors sent, RowCounts rows_to, RowCounts rows_from,
                               Tensors received) = 0;
  virtual void do_broadcast(Tensors rows, int root) = 0;
  virtual void do_all_reduce(const Tensor& in, ReduceOp op, const Tensor& out) = 0;
  virtual void do_send(Tensors rows, int to) = 0;
  virtual void do_recv(Tensors rows, int from) = 0;
  virtual void do_barrier() = 0;
  virtual std::unique_ptr<Communicator> do_split(int color, int key) = 0;
};

// The sum of counts, and of the counts before a rank.
Count total_rows(RowCounts rows_per_rank);
Count rows_before(RowCounts rows_per_rank, int rank);

}  // namespace moe
