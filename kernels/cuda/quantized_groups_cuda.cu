// Groups of one row's columns made into codes: some lanes of a warp, or a whole block, for a group.
// The arithmetic is recipe_arithmetic.h's; tables are asked on the host.

#include <bit>

#include "kernels/base/bits.h"
#include "kernels/cuda/exact_division.cuh"
#include "kernels/cuda/quantized_groups.cuh"

namespace moe::cuda {
namespace {

constexpr int piece = 8;  // values that a thread reads at once
constexpr int pieces_held = 4;

template <typename T>
struct alignas(16) Piece {
  T at[piece];
};

template <typename T>
struct GroupsCall {
  RecipeCall recipe;
  QuantizedLayout layout;
  const T* values;
  const float* given;
  std::uint8_t* codes;
  void* scales;
  std::uint8_t* zero_points;
  bool is_packed;    // two codes a byte; asked on the host, which has the table
  Count group;       // columns
  int threads_log2;  // of a group
};

// Only the greatest magnitude, or both ends, too.
enum class Needs { magnitude, ends };

template <Needs needs>
__device__ Extremes joined(Extremes a, const Extremes& b) {
  a.amax = fmaxf(a.amax, b.amax);
  if constexpr (needs == Needs::ends) {
    a.smallest = fminf(a.smallest, b.smallest);
    a.largest = fmaxf(a.largest, b.largest);
  }
  return a;
}

template <Needs needs>
__device__ void add(Extremes& extremes, float value) {
  if constexpr (needs == Needs::ends) return extremes.add(value);
  extremes.amax = fmaxf(extremes.amax, fabsf(value));  // which leaves out what is not a number
}

// Of all the group's threads, on each of them.
template <Needs needs>
__device__ Extremes joined_over_threads(Extremes extremes, int threads) {
  constexpr unsigned all_lanes = 0xFFFFFFFFU;
  for (int distance = min(threads, warp) / 2; distance > 0; distance /= 2) {
    Extremes other{__shfl_xor_sync(all_lanes, extremes.amax, distance)};
    if constexpr (needs == Needs::ends) {
      other.smallest = __shfl_xor_sync(all_lanes, extremes.smallest, distance);
      other.largest = __shfl_xor_sync(all_lanes, extremes.largest, distance);
    }
    extremes = joined<needs>(extremes, other);
  }
  if (threads <= warp) return extremes;
  __shared__ Extremes of_warps[threads_a_block / warp];
  if (threadIdx.x % warp == 0) of_warps[threadIdx.x / warp] = extremes;
  __syncthreads();
  const int first = static_cast<int>(threadIdx.x) / threads * (threads / warp);
  for (int i = 0; i < threads / warp; ++i) extremes = joined<needs>(extremes, of_warps[first + i]);
  return extremes;
}

// code_of for e4m3fn by the instruction that it was written after.
__device__ std::uint32_t pair_of_e4m3fn(float first, float second) {
  std::uint16_t pair = 0;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(second), "f"(first));
  return pair;
}

__device__ float scaled_by(const RecipeCall& call, const GroupScale& scale, float value) {
  const float scaled = scale.divides ? value / scale.factor : value * scale.factor;
  if (!is_not_a_number(scaled)) return scaled;
  if (call.row.nan_rule == NanRule::plus_limit) return call.limit;
  return call.row.nan_rule == NanRule::minus_limit ? -call.limit : scaled;
}

// A scale, its inverse where codes are of quotients, and whether all of the group's quotients can
// be had from that: of values so small that a step of theirs leaves the normal numbers the code is
// 0.
struct Scaling {
  GroupScale scale;
  Divisor divisor;
  bool is_usual;

  __device__ Scaling(const GroupScale& made, float amax)
      : scale(made),
        divisor(made.factor),
        is_usual(made.divides && made.factor > 0x1p-40F && divisor.is_usual() && amax < 0x1p60F) {}

  // A piece's values to scaled ones.
  __device__ void apply(const RecipeCall& call, float (&numbers)[piece]) const {
    if (!is_usual) {
#pragma unroll
      for (float& number : numbers) number = scaled_by(call, scale, number);
      return;
    }
#pragma unroll
    for (float& number : numbers) {
      number = copysignf(divisor.divide(number), number);  // a zero keeps its sign
      if (call.row.nan_rule == NanRule::plus_limit) number = fminf(number, call.limit);
      if (call.row.nan_rule == NanRule::minus_limit) number = fmaxf(number, -call.limit);
    }
  }
};

template <typename T>
__device__ void write_codes(const GroupsCall<T>& call, const Piece<T>& values,
                            const Scaling& scaling, Count at) {
  const RecipeCall& recipe = call.recipe;
  float numbers[piece];
#pragma unroll
  for (int i = 0; i < piece; ++i) numbers[i] = to_float(values.at[i]);
  if (recipe.format == NumberFormat::e4m3fn) {
    scaling.apply(recipe, numbers);
    reinterpret_cast<uint2*>(call.codes)[at / piece] = {
        pair_of_e4m3fn(numbers[0], numbers[1]) | pair_of_e4m3fn(numbers[2], numbers[3]) << 16U,
        pair_of_e4m3fn(numbers[4], numbers[5]) | pair_of_e4m3fn(numbers[6], numbers[7]) << 16U};
    return;
  }
  std::uint64_t codes = 0;
  const int bits = call.is_packed ? 4 : 8;
#pragma unroll
  for (int i = 0; i < piece; ++i) {
    const std::uint64_t code = code_of(recipe, numbers[i], scaling.scale);
    codes |= (call.is_packed ? code & 0xFU : code) << (bits * i);
  }
  if (call.is_packed) {
    reinterpret_cast<std::uint32_t*>(call.codes)[at / piece] = static_cast<std::uint32_t>(codes);
  } else {
    reinterpret_cast<std::uint64_t*>(call.codes)[at / piece] = codes;
  }
}

// A group's pieces: a thread has every threads-th from its own on.
template <typename T>
struct GroupPieces {
  const Piece<T>* first;
  int own;
  int threads;
  int count;
};

// The first of a thread's pieces, which are on their way at once and are read no second time.
template <typename T>
struct HeldPieces {
  Piece<T> at[pieces_held];

  __device__ explicit HeldPieces(const GroupPieces<T>& pieces) {
#pragma unroll
    for (int i = 0; i < pieces_held; ++i) {
      const int place = pieces.own + i * pieces.threads;
      if (place < pieces.count) at[i] = pieces.first[place];
    }
  }

  // function(piece, its place) for all of the thread's.
  template <typename Function>
  __device__ void for_each(const GroupPieces<T>& pieces, Function function) const {
#pragma unroll
    for (int i = 0; i < pieces_held; ++i) {
      const int place = pieces.own + i * pieces.threads;
      if (place < pieces.count) function(at[i], place);
    }
    for (int place = pieces.own + pieces_held * pieces.threads; place < pieces.count;
         place += pieces.threads) {
      function(pieces.first[place], place);
    }
  }
};

template <typename T, Needs needs>
__global__ void quantize_groups(GroupsCall<T> call) {
  const ScaleLayout& scales = call.layout.scales;
  const auto groups = static_cast<unsigned>(scales.columns);
  const unsigned index =
      blockIdx.x * (threads_a_block >> call.threads_log2) + (threadIdx.x >> call.threads_log2);
  const int threads = 1 << call.threads_log2;
  const int own = static_cast<int>(threadIdx.x) & (threads - 1);
  const bool is_one = index < static_cast<unsigned>(scales.rows) * groups;
  const Count row = is_one ? index / groups : 0;
  const Count column = is_one ? index % groups : 0;
  const Count begin = row * call.layout.columns + column * call.group;
  const Count width = is_one ? min(call.group, call.layout.columns - column * call.group) : 0;
  const GroupPieces<T> pieces{reinterpret_cast<const Piece<T>*>(call.values + begin), own, threads,
                              static_cast<int>(width / piece)};
  Extremes extremes;
  const HeldPieces<T> held(pieces);
  held.for_each(pieces, [&](const Piece<T>& values, int) {
#pragma unroll
    for (int i = 0; i < piece; ++i) add<needs>(extremes, to_float(values.at[i]));
  });
  extremes = joined_over_threads<needs>(extremes, threads);
  if (!is_one) return;
  const float given =
      call.given == nullptr ? 0.0F : call.given[row / (scales.rows / call.layout.parts)];
  const GroupScale scale = group_scale(call.recipe, extremes, given);
  if (own == 0) {
    const Count place = scale_offset(scales, row, column);
    store_scale(call.scales, scales.dtype, place, scale);
    if (call.zero_points != nullptr) call.zero_points[place] = scale.zero_point;
  }
  const Scaling scaling(scale, extremes.amax);
  held.for_each(pieces, [&](const Piece<T>& values, int at) {
    write_codes(call, values, scaling, begin + at * piece);
  });
}

// So many that each holds all that it has, where a block has as many.
int threads_of(Count group) {
  int threads = 1;
  while (threads < threads_a_block && pieces_held * threads * piece < group) threads *= 2;
  return threads;
}

Count group_of(const QuantizedLayout& layout) {
  return layout.scales.group_columns == 0 ? layout.columns : layout.scales.group_columns;
}

}  // namespace

bool has_row_groups(const Tensor& rows, const QuantizedLayout& layout) {
  return layout.scales.group_rows == 1 && layout.columns > 0 && layout.columns % piece == 0 &&
         group_of(layout) % piece == 0 &&
         reinterpret_cast<std::uintptr_t>(rows.data) % alignof(Piece<float>) == 0 &&
         layout.scales.rows * layout.scales.columns < Count{1} << 31;
}

void quantize_row_groups(CudaMemory& memory, const Tensor& rows, const RecipeCall& call,
                         const float* given, const QuantizedRows& out) {
  const Count group = group_of(out.layout);
  const int threads = threads_of(group);
  const int threads_log2 = std::countr_zero(static_cast<unsigned>(threads));
  for_row_type(rows.dtype, [&](auto element) {
    using T = decltype(element);
    const GroupsCall<T> groups{call,
                               out.layout,
                               device_elements<T>(rows),
                               given,
                               static_cast<std::uint8_t*>(out.data.data),
                               out.scales.data,
                               static_cast<std::uint8_t*>(out.zero_points.data),
                               number_format_row(out.layout.format).values_per_byte == 2,
                               group,
                               threads_log2};
    const Grid grid = one_thread_each(out.layout.scales.rows * out.layout.scales.columns * threads);
    const ScaleRule rule = call.row.scale_rule;
    if (rule == ScaleRule::symmetric_steps || rule == ScaleRule::zero_point_steps) {
      return launch(memory.queue(), grid, quantize_groups<T, Needs::ends>, groups);
    }
    launch(memory.queue(), grid, quantize_groups<T, Needs::magnitude>, groups);
  });
}

}  // namespace moe::cuda
