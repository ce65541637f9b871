// The public doors of Communicator: shapes, counts and ranks are checked here, once, before any
// byte moves. Every implementation and every decorator is behind these.

#include "comm/communicator.h"

#include <numeric>

#include "kernels/base/text.h"

namespace moe {
namespace {

bool is_integer(DType dtype) { return dtype >= DType::i8; }

bool can_reduce(ReduceOp op, DType dtype) {
  switch (op) {
    case ReduceOp::sum:
      return dtype <= DType::f16;
    case ReduceOp::max:
      return dtype == DType::f32 || dtype == DType::i32 || dtype == DType::i64;
    default:
      return is_integer(dtype);
  }
}

void check_rank(int rank, int size, const char* what) {
  MOE_CHECK(rank >= 0 && rank < size, text(what, " ", rank, " of a group of ", size, " ranks"));
}

void check_counts(RowCounts counts, int size, const char* name) {
  MOE_CHECK(static_cast<int>(counts.size()) == size,
            text(name, " has ", counts.size(), " entries for ", size, " ranks"));
  for (const Count count : counts) {
    MOE_CHECK(count >= 0, text(name, " [", joined(counts), "] has a negative count"));
  }
}

void check_tensor(const Tensor& tensor, Device device) {
  MOE_CHECK(tensor.rows >= 0 && tensor.columns >= 0, text("no such shape: ", shape_text(tensor)));
  MOE_CHECK(tensor.device == device,
            text(shape_text(tensor), " ", tensor.device.ordinal, " handed to a communicator of ",
                 name_of(device.kind), " ", device.ordinal));
  MOE_CHECK(tensor.data != nullptr || bytes_of(tensor) == 0,
            text(shape_text(tensor), " without memory"));
}

void check_list(Tensors tensors, Device device) {
  MOE_CHECK(!tensors.empty(), "a call with no tensors");
  for (const Tensor& tensor : tensors) check_tensor(tensor, device);
}

// Two lists of one call: tensor i of both has the same columns and dtype.
void check_pair(Tensors from, Tensors to, Device device) {
  check_list(from, device);
  check_list(to, device);
  MOE_CHECK(from.size() == to.size(),
            text("a list of ", from.size(), " tensors to move into ", to.size()));
  for (std::size_t i = 0; i < from.size(); ++i) {
    MOE_CHECK(from[i].columns == to[i].columns && from[i].dtype == to[i].dtype,
              text("tensor ", i, ": ", shape_text(from[i]), " to move into ", shape_text(to[i])));
  }
}

void check_rows(Tensors tensors, Count rows, const char* what) {
  for (const Tensor& tensor : tensors) {
    MOE_CHECK(tensor.rows == rows,
              text(what, " is ", shape_text(tensor), " where the counts say ", rows, " rows"));
  }
}

Tensors one(const Tensor& tensor) { return {&tensor, 1}; }

}  // namespace

void Communicator::all_gather_v(Tensors rows, RowCounts rows_per_rank, Tensors gathered) {
  check_counts(rows_per_rank, size(), "rows_per_rank");
  check_pair(rows, gathered, memory().stream().device);
  check_rows(rows, rows_per_rank[static_cast<std::size_t>(rank())], "a rank's own tensor");
  check_rows(gathered, total_rows(rows_per_rank), "the gathered tensor");
  do_all_gather_v(rows, rows_per_rank, gathered);
}

void Communicator::reduce_scatter_v(const Tensor& rows, RowCounts rows_per_rank,
                                    const Tensor& own) {
  check_counts(rows_per_rank, size(), "rows_per_rank");
  check_pair(one(rows), one(own), memory().stream().device);
  check_rows(one(rows), total_rows(rows_per_rank), "the tensor to reduce");
  check_rows(one(own), rows_per_rank[static_cast<std::size_t>(rank())], "a rank's own tensor");
  MOE_CHECK(can_reduce(ReduceOp::sum, rows.dtype),
            text("rows of ", name_of(rows.dtype), " cannot be summed"));
  do_reduce_scatter_v(rows, rows_per_rank, own);
}

void Communicator::all_to_all_v(Tensors sent, RowCounts rows_to, RowCounts rows_from,
                                Tensors received) {
  check_counts(rows_to, size(), "rows_to");
  check_counts(rows_from, size(), "rows_from");
  check_pair(sent, received, memory().stream().device);
  check_rows(sent, total_rows(rows_to), "the sent tensor");
  check_rows(received, total_rows(rows_from), "the received tensor");
  const auto own = static_cast<std::size_t>(rank());
  MOE_CHECK(rows_to[own] == rows_from[own], text("rank ", own, " sends itself ", rows_to[own],
                                                 " rows and expects ", rows_from[own]));
  do_all_to_all_v(sent, rows_to, rows_from, received);
}

void Communicator::broadcast(Tensors rows, int root) {
  check_rank(root, size(), "broadcast from rank");
  check_list(rows, memory().stream().device);
  do_broadcast(rows, root);
}

void Communicator::all_reduce(const Tensor& in, ReduceOp op, const Tensor& out) {
  check_pair(one(in), one(out), memory().stream().device);
  check_rows(one(out), in.rows, "the reduced tensor");
  const bool is_count = in.dtype == DType::i32 || in.dtype == DType::i64;
  MOE_CHECK(can_reduce(op, in.dtype) || (op == ReduceOp::sum && is_count),
            text("rows of ", name_of(in.dtype), " cannot be reduced by ", name_of(op)));
  do_all_reduce(in, op, out);
}

void Communicator::send(Tensors rows, int to) {
  check_rank(to, size(), "send to rank");
  MOE_CHECK(to != rank(), text("rank ", to, " sends to itself"));
  check_list(rows, memory().stream().device);
  do_send(rows, to);
}

void Communicator::recv(Tensors rows, int from) {
  check_rank(from, size(), "recv from rank");
  MOE_CHECK(from != rank(), text("rank ", from, " receives from itself"));
  check_list(rows, memory().stream().device);
  do_recv(rows, from);
}

void Communicator::barrier() { do_barrier(); }

std::unique_ptr<Communicator> Communicator::split(int color, int key) {
  return do_split(color, key);
}

std::string_view name_of(ReduceOp op) {
  switch (op) {
    case ReduceOp::sum:
      return "sum";
    case ReduceOp::max:
      return "max";
    default:
      return "bitwise_or";
  }
}

Count total_rows(RowCounts rows_per_rank) {
  return std::accumulate(rows_per_rank.begin(), rows_per_rank.end(), Count{0});
}

Count rows_before(RowCounts rows_per_rank, int rank) {
  return total_rows(rows_per_rank.first(static_cast<std::size_t>(rank)));
}

}  // namespace moe
