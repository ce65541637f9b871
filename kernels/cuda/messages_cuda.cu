// What dispatches to chosen ranks need on a GPU: to whom a token goes, what of its choices counts
// there, and rows from and to their places.

#include <limits>

#include "kernels/cuda/cuda_operators.cuh"
#include "kernels/cuda/row_moves.cuh"

namespace moe::cuda {
namespace {

struct Map {
  const std::int32_t* values;
  Count size;
  Refusal* refusal;
};

Map map_in(CudaMemory& memory, const Tensor& map) {
  return {device_elements<std::int32_t>(map), map.rows, memory.refusal()};
}

__device__ std::int32_t looked_up(const Map& map, std::int32_t id) {
  if (id < 0) return -1;
  if (id < map.size) return map.values[id];
  refuse(map.refusal, {Refused::expert, 0, id, map.size});
  return -1;
}

template <typename From, typename To>
void cast(CudaMemory& memory, const Tensor& ids, const Tensor& out) {
  const From* from = device_elements<From>(ids);
  To* to = device_elements<To>(out);
  Refusal* refusal = memory.refusal();
  for_each(memory.queue(), ids.rows * ids.columns, [=] __device__(Count i) {
    constexpr Count least = std::numeric_limits<std::int32_t>::min();
    constexpr Count most = std::numeric_limits<std::int32_t>::max();
    const Count id = from[i];
    if (id < least || id > most) refuse(refusal, {Refused::id, 0, id, 0});
    to[i] = static_cast<To>(id);
  });
}

}  // namespace

// A thread a token: the owners so far stand sorted in the token's own slots.
void destination_ranks(CudaMemory& memory, const Tensor& topk_ids, const Tensor& rank_of_expert,
                       const Tensor& ranks) {
  const auto* ids = device_elements<std::int32_t>(topk_ids);
  auto* out = device_elements<std::int32_t>(ranks);
  const Map owners = map_in(memory, rank_of_expert);
  const Count top_k = topk_ids.columns;
  for_each(memory.queue(), topk_ids.rows, [=] __device__(Count token) {
    std::int32_t* distinct = out + token * top_k;
    Count size = 0;
    for (Count k = 0; k < top_k; ++k) {
      const std::int32_t owner = looked_up(owners, ids[token * top_k + k]);
      Count at = 0;
      while (at < size && distinct[at] < owner) ++at;
      if (owner < 0 || (at < size && distinct[at] == owner)) continue;
      for (Count i = size; i > at; --i) distinct[i] = distinct[i - 1];
      distinct[at] = owner;
      ++size;
    }
    for (; size < top_k; ++size) distinct[size] = -1;
  });
}

// Counts have no order, so atomics count.
void count_choices(CudaMemory& memory, const Tensor& topk_ids, const Tensor& expert_map,
                   const Tensor& counts) {
  const auto* ids = device_elements<std::int32_t>(topk_ids);
  auto* out = device_elements<std::int32_t>(counts);
  const Map map = map_in(memory, expert_map);
  memory.fill(counts, 0);
  for_each(memory.queue(), topk_ids.rows * topk_ids.columns, [=] __device__(Count i) {
    const std::int32_t local = looked_up(map, ids[i]);
    if (local >= 0) atomicAdd(out + local, 1);
  });
}

void replace_foreign_choices(CudaMemory& memory, const Routing& routing, const Tensor& expert_map,
                             std::int32_t replacement) {
  auto* ids = device_elements<std::int32_t>(routing.topk_ids);
  auto* weights = device_elements<float>(routing.topk_weights);
  const Map map = map_in(memory, expert_map);
  const Count count = routing.topk_ids.rows * routing.topk_ids.columns;
  for_each(memory.queue(), count, [=] __device__(Count i) {
    if (looked_up(map, ids[i]) >= 0) return;
    ids[i] = replacement;
    weights[i] = 0;
  });
}

void cast_ids(CudaMemory& memory, const Tensor& ids, const Tensor& out) {
  if (ids.dtype == DType::i32) return cast<std::int32_t, std::int64_t>(memory, ids, out);
  cast<std::int64_t, std::int32_t>(memory, ids, out);
}

void gather_rows(CudaMemory& memory, const Tensor& rows, const Tensor& places, const Tensor& out) {
  RowMove move = whole_rows(rows, out, out.rows);
  move.from_place = device_elements<std::int32_t>(places);
  move_rows(memory.queue(), move);
}

void scatter_rows(CudaMemory& memory, const Tensor& rows, const Tensor& places, const Tensor& to) {
  RowMove move = whole_rows(rows, to, rows.rows);
  move.to_place = device_elements<std::int32_t>(places);
  move_rows(memory.queue(), move);
}

void resize_columns(CudaMemory& memory, const Tensor& rows, const Tensor& out) {
  RowMove move = whole_rows(rows, out, out.rows);
  move.from_bytes = row_bytes(rows);
  move.bytes = std::min(move.from_bytes, move.to_bytes);
  if (move.bytes < move.to_bytes) memory.fill(out, 0);
  move_rows(memory.queue(), move);
}

}  // namespace moe::cuda
