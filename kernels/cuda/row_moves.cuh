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
  int targets = 1;  // rows that each goes to: to_place [count, targets]
};

// Of equal widths.
inline RowMove whole_rows(const Tensor& from, const Tensor& to, Count count) {
  const Count bytes = row_bytes(to);
  return {from.data, to.data, count, bytes, bytes, bytes};
}

// Several threads a row, so many that each has a few units to bring, which are on their way at
// once.
inline constexpr Count units_a_thread = 4;

struct RowThreads {
  int each = warp;  // a power of two: threads of one row

  explicit RowThreads(Count units) {
    while (each < threads_a_block && each * units_a_thread < units) each *= 2;
  }
  Grid grid(Count rows) const {
    const Count rows_a_block = threads_a_block / each;
    return {(rows + rows_a_block - 1) / rows_a_block};
  }
  __device__ Count row() const {
    return static_cast<Count>(blockIdx.x) * (threads_a_block / each) +
           static_cast<int>(threadIdx.x) / each;
  }
  __device__ int first() const { return static_cast<int>(threadIdx.x) % each; }
};

template <typename Unit>
__global__ void move_units(RowMove move, Count units, RowThreads threads) {
  const Count row = threads.row();
  if (row >= move.count) return;
  const Count from = move.from_place == nullptr ? row : move.from_place[row];
  if (from < 0) return;
  const auto* source =
      reinterpret_cast<const Unit*>(static_cast<const char*>(move.from) + from * move.from_bytes);
  for (Count first = threads.first(); first < units; first += threads.each * units_a_thread) {
    Unit brought[units_a_thread];
#pragma unroll
    for (int i = 0; i < units_a_thread; ++i) {
      const Count at = first + i * threads.each;
      if (at < units) brought[i] = source[at];
    }
    for (int target = 0; target < move.targets; ++target) {
      const Count to = move.to_place == nullptr ? row : move.to_place[row * move.targets + target];
      if (to < 0) continue;
      auto* at_target = reinterpret_cast<Unit*>(static_cast<char*>(move.to) + to * move.to_bytes);
#pragma unroll
      for (int i = 0; i < units_a_thread; ++i) {
        const Count at = first + i * threads.each;
        if (at < units) at_target[at] = brought[i];
      }
    }
  }
}

template <typename Unit>
void move_rows_by(cudaStream_t stream, const RowMove& move) {
  const Count units = move.bytes / static_cast<Count>(sizeof(Unit));
  const RowThreads threads(units);
  launch(stream, threads.grid(move.count), move_units<Unit>, move, units, threads);
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
