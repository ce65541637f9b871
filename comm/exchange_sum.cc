// all_to_all_v, then operands in the order of the ranks: sums by Memory::add_rows (fp32, one
// rounding), those of counts, max and bitwise_or by plain loops on the host.

#include "comm/exchange_sum.h"

#include <algorithm>
#include <functional>

#include "kernels/base/buffer.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

Tensors one(const Tensor& tensor) { return {&tensor, 1}; }

// out = in[0] ∘ in[1] ∘ …, where in holds as many equal parts as out fits into it.
template <typename T, typename Combine>
void fold(const std::vector<std::byte>& in, std::vector<std::byte>& out, Combine combine) {
  const auto* next = reinterpret_cast<const T*>(in.data());
  auto* to = reinterpret_cast<T*>(out.data());
  const std::size_t count = out.size() / sizeof(T);
  std::copy_n(next, count, to);
  for (std::size_t i = count; i < in.size() / sizeof(T); ++i) {
    to[i % count] = combine(to[i % count], next[i]);
  }
}

// The larger value; a NaN beats every number.
template <typename T>
T larger(T a, T b) {
  return b > a || b != b ? b : a;
}

void fold_max(DType dtype, const std::vector<std::byte>& in, std::vector<std::byte>& out) {
  switch (dtype) {
    case DType::f32:
      return fold<float>(in, out, larger<float>);
    case DType::i32:
      return fold<std::int32_t>(in, out, larger<std::int32_t>);
    default:
      return fold<std::int64_t>(in, out, larger<std::int64_t>);
  }
}

// Counts are far from the ends of their type.
void fold_sum(DType dtype, const std::vector<std::byte>& in, std::vector<std::byte>& out) {
  if (dtype == DType::i32) return fold<std::int32_t>(in, out, std::plus<std::int32_t>());
  fold<std::int64_t>(in, out, std::plus<std::int64_t>());
}

// These are for votes and counts, so a trip through the host costs nothing.
void reduce_on_host(Memory& memory, const Tensor& parts, ReduceOp op, const Tensor& out) {
  std::vector<std::byte> in(static_cast<std::size_t>(bytes_of(parts)));
  std::vector<std::byte> result(static_cast<std::size_t>(bytes_of(out)));
  if (result.empty()) return;
  memory.copy_to_host(parts, {in.data(), parts.rows, parts.columns, parts.dtype, {}});
  if (op == ReduceOp::max) {
    fold_max(out.dtype, in, result);
  } else if (op == ReduceOp::sum) {
    fold_sum(out.dtype, in, result);
  } else {
    fold<std::uint8_t>(in, result, [](std::uint8_t a, std::uint8_t b) {
      return static_cast<std::uint8_t>(a | b);
    });
  }
  memory.copy_from_host({result.data(), out.rows, out.columns, out.dtype, {}}, out);
}

void sum_parts(Memory& memory, const Tensor& parts, const Tensor& out) {
  if (out.rows == 0) return;
  std::vector<Tensor> operands;
  for (Count begin = 0; begin < parts.rows; begin += out.rows) {
    operands.push_back(rows_of(parts, begin, out.rows));
  }
  memory.add_rows(operands, out);
}

void exchange_and_combine(Communicator& group, const Tensor& rows, RowCounts rows_per_rank,
                          ReduceOp op, const Tensor& own) {
  const std::vector<Count> rows_from(static_cast<std::size_t>(group.size()), own.rows);
  const Buffer parts(group.memory(), {own.rows * group.size(), own.columns, own.dtype});
  group.all_to_all_v(one(rows), rows_per_rank, rows_from, one(parts.tensor()));
  const bool is_rounded = own.dtype <= DType::f16;
  if (op == ReduceOp::sum && is_rounded) return sum_parts(group.memory(), parts.tensor(), own);
  reduce_on_host(group.memory(), parts.tensor(), op, own);
}

// All elements of a tensor as rows of one.
Tensor elements(const Tensor& tensor) {
  return {tensor.data, tensor.rows * tensor.columns, 1, tensor.dtype, tensor.device};
}

}  // namespace

void exchange_and_sum(Communicator& group, const Tensor& rows, RowCounts rows_per_rank,
                      const Tensor& own) {
  exchange_and_combine(group, rows, rows_per_rank, ReduceOp::sum, own);
}

void exchange_and_reduce(Communicator& group, const Tensor& in, ReduceOp op, const Tensor& out) {
  const std::vector<Count> parts = even_split(in.rows * in.columns, group.size());
  const Count own_rows = parts[static_cast<std::size_t>(group.rank())];
  const Buffer own(group.memory(), {own_rows, 1, in.dtype});
  exchange_and_combine(group, elements(in), parts, op, own.tensor());
  const Tensor all = elements(out);
  group.all_gather_v(one(own.tensor()), parts, one(all));
}

std::vector<Count> even_split(Count total, int parts) {
  std::vector<Count> split(static_cast<std::size_t>(parts), total / parts);
  for (Count i = 0; i < total % parts; ++i) ++split[static_cast<std::size_t>(i)];
  return split;
}

}  // namespace moe
