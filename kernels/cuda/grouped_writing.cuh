// What becomes of a tile of a grouped product: the multiplying warpgroups leave it rounded in
// shared memory, turned so that a token's columns are neighbours; another warpgroup activates and
// writes it while they multiply the next. grouped_product_cuda.cu runs both.

#pragma once

#include <array>
#include <bit>

#include "kernels/cuda/activated.cuh"
#include "kernels/cuda/exact_division.cuh"
#include "kernels/cuda/grouped_tiles.cuh"
#include "kernels/cuda/tensor_cores.cuh"

namespace moe::cuda {

inline constexpr int weights_a_tile = 128;
inline constexpr int weights_a_box = 64;          // what a warpgroup multiplies
inline constexpr int multipliers = 2;             // warpgroups
inline constexpr int writers = warpgroup - warp;  // threads
inline constexpr int row_bytes_a_stage = 128;
inline constexpr int pieces_a_row = 8;  // 16-byte pieces of a token's 64 columns

// What all threads of a product read.
struct GroupedCall {
  const std::int32_t* first_row;
  int num_experts;
  int k;
  int n;             // rows of an expert's weights
  int weight_tiles;  // of an expert
  const void* bias;  // null: none
  void* out;
  int out_columns;
  bool activates;
  Activation activation;
  GateLayout gate;  // of the activation; none without one
};

// Where the weights' rows of a warpgroup's part of a tile start. Of an activation with a gate in
// halves one has 64 rows of the gate and the other those that go with them.
__device__ inline int first_weight_row(const GroupedCall& call, int weight_tile, int group) {
  if (call.gate == GateLayout::halves) {
    return weight_tile * weights_a_box + group * (call.n / 2);
  }
  return weight_tile * weights_a_tile + group * weights_a_box;
}

// Two elements in a word, the first below.
__device__ inline std::uint32_t pair_of(float first, float second, BFloat16) {
  std::uint32_t pair = 0;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
}
__device__ inline std::uint32_t pair_of(float first, float second, Float16) {
  std::uint32_t pair = 0;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
}

// A piece of 16 bytes of a token that was left; neighbours in a column of pieces lie in other
// banks.
__device__ inline int left_offset(int token, int piece) {
  return token * row_bytes_a_stage + (piece ^ (token % pieces_a_row)) * 16;
}

// 16 tokens of a warp's 16 weights' rows, turned.
__device__ inline void leave_turned(std::byte* left, int token, int warp_id,
                                    const std::uint32_t (&pairs)[4]) {
  const int lane = static_cast<int>(threadIdx.x) % warp;
  const int matrix = lane / 8;
  const int row = token + matrix / 2 * 8 + lane % 8;
  const std::uint32_t to = shared_address(left + left_offset(row, 2 * warp_id + matrix % 2));
  asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(to),
               "r"(pairs[0]), "r"(pairs[1]), "r"(pairs[2]), "r"(pairs[3])
               : "memory");
}

// The bias of the two rows of the weights that a thread of a multiplying warpgroup has sums of.
template <typename T>
__device__ float2 biases(const GroupedCall& call, const Tile& tile, int group) {
  if (call.bias == nullptr) return {0.0F, 0.0F};
  const int thread = static_cast<int>(threadIdx.x) % warpgroup;
  const int row =
      first_weight_row(call, tile.weight_tile, group) + thread / warp * 16 + thread % warp / 4;
  const auto value = [&](int weight_row) {
    if (weight_row >= call.n) return 0.0F;
    return to_float(static_cast<const T*>(call.bias)[Count{tile.expert} * call.n + weight_row]);
  };
  return {value(row), value(row + 8)};
}

template <typename T, int n>
__device__ __forceinline__ void leave_tile(float2 bias, std::byte* left,
                                           const float (&sums)[n / 2]) {
  const int warp_id = static_cast<int>(threadIdx.x) % warpgroup / warp;
#pragma unroll
  for (int token = 0; token < n; token += 16) {
    const float* at = sums + token / 2;
    const std::uint32_t pairs[4] = {
        pair_of(at[0] + bias.x, at[1] + bias.x, T{}), pair_of(at[2] + bias.y, at[3] + bias.y, T{}),
        pair_of(at[4] + bias.x, at[5] + bias.x, T{}), pair_of(at[6] + bias.y, at[7] + bias.y, T{})};
    leave_turned(left, token, warp_id, pairs);
  }
}

template <typename T>
using Piece = std::array<T, pieces_a_row>;

// silu(gate) · up as activated has it, eight at a time without a branch; is_rare says that one has
// to be computed with one.
template <typename T>
__device__ int4 silu_of_piece(const Piece<T>& gate, const Piece<T>& up, bool& is_rare) {
  std::array<std::uint32_t, 4> out;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    float values[2];
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const float x = to_float(gate[2 * i + j]);
      const Divisor divisor(1.0F + exp_for_sigmoid(-x));
      values[j] = divisor.divide(x);
      is_rare |= !divisor.is_usual() || !is_usual_dividend(x);
    }
    const std::uint32_t pair = pair_of(values[0], values[1], T{});
    const T low{static_cast<std::uint16_t>(pair)};
    const T high{static_cast<std::uint16_t>(pair >> 16U)};
    out[i] =
        pair_of(to_float(low) * to_float(up[2 * i]), to_float(high) * to_float(up[2 * i + 1]), T{});
  }
  return std::bit_cast<int4>(out);
}

// What the multiplying warpgroups left of a tile: a part of each.
struct LeftTile {
  const std::byte* left;
  int group_bytes;

  __device__ int4 piece(int token, int index) const {
    const std::byte* part = left + index / pieces_a_row * group_bytes;
    return *reinterpret_cast<const int4*>(part + left_offset(token, index % pieces_a_row));
  }
};

// Eight columns of out.
template <typename T>
__device__ int4 finished_piece(const GroupedCall& call, const LeftTile& left, int token,
                               int piece) {
  if (!call.activates) return left.piece(token, piece);
  const bool is_interleaved = call.gate == GateLayout::interleaved;
  const int gate_piece = is_interleaved ? 2 * piece : piece;
  const auto first = std::bit_cast<Piece<T>>(left.piece(token, gate_piece));
  const int other = is_interleaved                  ? 2 * piece + 1
                    : call.gate == GateLayout::none ? piece
                                                    : piece + pieces_a_row;
  const auto second = std::bit_cast<Piece<T>>(left.piece(token, other));
  if (call.activation == Activation::silu) {
    bool is_rare = false;
    const int4 out = silu_of_piece<T>(first, second, is_rare);
    if (!is_rare) return out;
  }
  const auto inner = [&](Count index) {
    return to_float(index < pieces_a_row ? first[index] : second[index - pieces_a_row]);
  };
  Piece<T> out;
#pragma unroll
  for (int i = 0; i < pieces_a_row; ++i) {
    round_to(activated<T>(call.activation, i, pieces_a_row, inner), out[i]);
  }
  return std::bit_cast<int4>(out);
}

template <typename T>
__device__ void write_left(const GroupedCall& call, const Tile& tile, const LeftTile& left) {
  const int pieces = call.gate == GateLayout::none ? multipliers * pieces_a_row : pieces_a_row;
  const int thread = static_cast<int>(threadIdx.x) - warp;
  const int piece = thread % pieces;
  const int column = (tile.weight_tile * pieces + piece) * pieces_a_row;
  if (column >= call.out_columns) return;
  T* out = static_cast<T*>(call.out) + Count{tile.first_token} * call.out_columns + column;
  for (int token = thread / pieces; token < tile.num_tokens; token += writers / pieces) {
    *reinterpret_cast<int4*>(out + Count{token} * call.out_columns) =
        finished_piece<T>(call, left, token, piece);
  }
}

}  // namespace moe::cuda
