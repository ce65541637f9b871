// Rows from places to places, as wide as both ends allow at once. What permute, gather, scatter and
// the batched format have in common; whose rows go where is theirs.

#pragma once

#include "kernels/cuda/cuda_memory.cuh"

namespace moe::cuda {

// Row i of count goes from row from_place[i] to row to_place[i]; null: row i. A negative place: the
// row stays. bytes of each row move; the ends have rows of their own widths.
struct RowMove {
  const void* from = nullptr;
  void* to = nullptr;
  Count count = 0;
  Count bytes = 0;
  Count from_bytes = 0;
  Count to_bytes = 0;
  const std::int32_t* from_place = nullptr;
  const std::int32_t* to_place = nullptr;
};

// Of equal widths.
inline RowMove whole_rows(const Tensor& from, const Tensor& to, Count count) {
  const Count bytes = row_bytes(to);
  return {from.data, to.data, count, bytes, bytes, bytes};
}

template <typename Unit>
void move_rows_by(cudaStream_t stream, const RowMove& move) {
  const Count units = move.bytes / static_cast<Count>(sizeof(Unit));
  for_each(stream, move.count * units, [=] __device__(Count i) {
    const Count row = i / units;
    const Count from = move.from_place == nullptr ? row : move.from_place[row];
    const Count to = move.to_place == nullptr ? row : move.to_place[row];
    if (from < 0 || to < 0) return;
    const auto* source = static_cast<const char*>(move.from) + from * move.from_bytes;
    auto* target = static_cast<char*>(move.to) + to * move.to_bytes;
    reinterpret_cast<Unit*>(target)[i % units] = reinterpret_cast<const Unit*>(source)[i % units];
  });
}

inline void move_rows(cudaStream_t stream, const RowMove& move) {
  if (move.bytes == 0) return;
  const auto places = reinterpret_cast<std::uintptr_t>(move.from) |
                      reinterpret_cast<std::uintptr_t>(move.to) |
                      static_cast<std::uintptr_t>(move.bytes | move.from_bytes | move.to_bytes);
  if (places % 16 == 0) return move_rows_by<int4>(stream, move);
  if (places % 4 == 0) return move_rows_by<std::uint32_t>(stream, move);
  if (places % 2 == 0) return move_rows_by<std::uint16_t>(stream, move);
  move_rows_by<std::uint8_t>(stream, move);
}

// The expert whose rows hold this one: the last that starts at it or before. first_row as in
// RowPlan.
__device__ inline int expert_of_row(const std::int32_t* first_row, int num_experts, Count row) {
  int low = 0;
  int high = num_experts;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (first_row[middle + 1] <= row) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// The end of the last expert's rows, for which the host waits.
Count num_grouped_rows(CudaMemory& memory, const Tensor& first_row);

}  // namespace moe::cuda
