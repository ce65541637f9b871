// Rows on an OpenCL device: moved from places to places, into the batched format and back, signed,
// weighed, added and reduced. What rounds where is rows.cl.

#include <algorithm>

#include "kernels/xpu/xpu_operators.h"

namespace moe::xpu {
namespace {

Count size(const Tensor& tensor) { return tensor.rows * tensor.columns; }

int word_of(DType dtype) { return static_cast<int>(dtype); }

// Rows of `from` to rows of `to`, as many as count; places as moe_move_rows has them, null: each
// row to its own number.
struct RowMove {
  Tensor from;
  Tensor to;
  Count count = 0;
  Tensor from_place = {};
  Tensor to_place = {};
};

// As wide as all places allow at once.
void move_rows(XpuMemory& memory, const RowMove& move) {
  const Count from_bytes = row_bytes(move.from);
  const Count to_bytes = row_bytes(move.to);
  const Count bytes = std::min(from_bytes, to_bytes);
  const auto places = reinterpret_cast<std::uintptr_t>(move.from.data) |
                      reinterpret_cast<std::uintptr_t>(move.to.data) |
                      static_cast<std::uintptr_t>(from_bytes | to_bytes | bytes);
  const int unit = places % 16 == 0 ? 16 : places % 4 == 0 ? 4 : places % 2 == 0 ? 2 : 1;
  const Count units = bytes / unit;
  memory.run({"moe_move_rows", move.count * units}, move.from, move.from_place, from_bytes, move.to,
             move.to_place, to_bytes, units, unit);
}

}  // namespace

void gather_rows(XpuMemory& memory, const Tensor& rows, const Tensor& places, const Tensor& out) {
  move_rows(memory, {.from = rows, .to = out, .count = out.rows, .from_place = places});
}

void scatter_rows(XpuMemory& memory, const Tensor& rows, const Tensor& places, const Tensor& to) {
  move_rows(memory, {.from = rows, .to = to, .count = rows.rows, .to_place = places});
}

void resize_columns(XpuMemory& memory, const Tensor& rows, const Tensor& out) {
  if (rows.columns < out.columns) memory.fill(out, 0);
  move_rows(memory, {.from = rows, .to = out, .count = out.rows});
}

void to_batched_experts(XpuMemory& memory, const Tensor& rows, const Tensor& first_row,
                        const BatchedRows& batched) {
  const Count num_experts = first_row.rows - 1;
  if (num_experts == 0) return;
  const Count capacity = batched.hidden_states.rows / num_experts;
  memory.run({"moe_count_batched", num_experts}, first_row, capacity, batched.expert_num_tokens,
             memory.refusal());
  const Scratch places(memory, {rows.rows, 1, DType::i32});
  memory.run({"moe_write_slots", rows.rows}, first_row, static_cast<int>(num_experts), capacity,
             places.tensor());
  move_rows(
      memory,
      {.from = rows, .to = batched.hidden_states, .count = rows.rows, .to_place = places.tensor()});
}

void from_batched_experts(XpuMemory& memory, const BatchedRows& batched, const Tensor& first_row,
                          const Tensor& out) {
  const Count num_experts = first_row.rows - 1;
  if (num_experts == 0) return;
  const Count capacity = batched.hidden_states.rows / num_experts;
  memory.run({"moe_check_batched", num_experts}, first_row, capacity, batched.expert_num_tokens,
             memory.refusal());
  const Scratch places(memory, {out.rows, 1, DType::i32});
  memory.run({"moe_write_slots", out.rows}, first_row, static_cast<int>(num_experts), capacity,
             places.tensor());
  move_rows(
      memory,
      {.from = batched.hidden_states, .to = out, .count = out.rows, .from_place = places.tensor()});
}

void probe_experts(XpuMemory& memory, const Tensor& rows, const Tensor& first_row,
                   const Tensor& signs) {
  memory.run({"moe_probe_experts", size(rows)}, rows, word_of(rows.dtype), rows.columns, first_row,
             static_cast<int>(signs.rows), signs);
}

void weight_rows(XpuMemory& memory, const Tensor& rows, const Tensor& weights, const Tensor& out) {
  memory.run({"moe_weight_rows", size(rows)}, rows, word_of(rows.dtype), rows.columns, weights,
             out);
}

void scale_rows(XpuMemory& memory, const Tensor& rows, float factor) {
  memory.run({"moe_scale_rows", size(rows)}, rows, word_of(rows.dtype), factor);
}

void add_rows(XpuMemory& memory, const Tensor& rows, const Tensor& to) {
  memory.run({"moe_add_rows", size(rows)}, rows, word_of(rows.dtype), to);
}

void weight_and_reduce(XpuMemory& memory, WeightedSum how, const WeightedRows& weighted,
                       const Tensor& out) {
  memory.run({"moe_weight_and_reduce", size(out)}, weighted.rows, word_of(out.dtype), out.columns,
             weighted.row_of, weighted.row_of.columns, weighted.topk_weights, static_cast<int>(how),
             out);
}

}  // namespace moe::xpu
