// The batched_experts format on a GPU: grouped rows to capacity slots for each expert and back.
// Slots without a row are never read and never written (experts-and-oracles.md, trap 18).

#include "kernels/cuda/cuda_operators.cuh"
#include "kernels/cuda/row_moves.cuh"

namespace moe::cuda {
namespace {

// place[r] = the slot of grouped row r; -1 where its expert has more rows than slots.
void write_slots(CudaMemory& memory, const Tensor& first_row, Count capacity,
                 const Tensor& places) {
  const auto* first = device_elements<std::int32_t>(first_row);
  auto* place = device_elements<std::int32_t>(places);
  const auto num_experts = static_cast<int>(first_row.rows - 1);
  for_each(memory.queue(), places.rows, [=] __device__(Count row) {
    const int expert = expert_of_row(first, num_experts, row);
    const bool is_one = expert < num_experts;
    const Count slot = is_one ? row - first[expert] : 0;
    place[row] =
        is_one && slot < capacity ? static_cast<std::int32_t>(expert * capacity + slot) : -1;
  });
}

Tensor places_in(const Scratch<std::int32_t>& scratch, const Tensor& rows) {
  return {scratch.data(), rows.rows, 1, DType::i32, rows.device};
}

}  // namespace

void to_batched_experts(CudaMemory& memory, const Tensor& rows, const Tensor& first_row,
                        const BatchedRows& batched) {
  const auto* first = device_elements<std::int32_t>(first_row);
  auto* counts = device_elements<std::int32_t>(batched.expert_num_tokens);
  const Count num_experts = first_row.rows - 1;
  if (num_experts == 0) return;
  const Count capacity = batched.hidden_states.rows / num_experts;
  Refusal* refusal = memory.refusal();
  for_each(memory.queue(), num_experts, [=] __device__(Count expert) {
    const Count count = first[expert + 1] - first[expert];
    if (count > capacity) {
      refuse(refusal, {Refused::full_expert, static_cast<int>(expert), count, capacity});
    }
    counts[expert] = static_cast<std::int32_t>(count);
  });
  const Scratch<std::int32_t> places(memory, rows.rows);
  write_slots(memory, first_row, capacity, places_in(places, rows));
  RowMove move = whole_rows(rows, batched.hidden_states, rows.rows);
  move.to_place = places.data();
  move_rows(memory.queue(), move);
}

void from_batched_experts(CudaMemory& memory, const BatchedRows& batched, const Tensor& first_row,
                          const Tensor& out) {
  const auto* first = device_elements<std::int32_t>(first_row);
  const auto* counts = device_elements<std::int32_t>(batched.expert_num_tokens);
  const Count num_experts = first_row.rows - 1;
  if (num_experts == 0) return;
  const Count capacity = batched.hidden_states.rows / num_experts;
  Refusal* refusal = memory.refusal();
  for_each(memory.queue(), num_experts, [=] __device__(Count expert) {
    const Count count = first[expert + 1] - first[expert];
    if (counts[expert] == count && count <= capacity) return;
    refuse(refusal, {Refused::other_count, static_cast<int>(expert), counts[expert], count});
  });
  const Scratch<std::int32_t> places(memory, out.rows);
  write_slots(memory, first_row, capacity, places_in(places, out));
  RowMove move = whole_rows(batched.hidden_states, out, out.rows);
  move.from_place = places.data();
  move_rows(memory.queue(), move);
}

}  // namespace moe::cuda
