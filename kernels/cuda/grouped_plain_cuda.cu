// Grouped products without tensor cores: fp32 rows, whose products are not to be rounded to TF32,
// and shapes that the copy engine cannot read. Each thread adds 4 by 4 sums, columns ascending.

#include "kernels/base/bits.h"
#include "kernels/cuda/grouped_product.cuh"
#include "kernels/cuda/grouped_tiles.cuh"

namespace moe::cuda {
namespace {

constexpr int tile = 64;  // tokens, and rows of the weights
constexpr int depth = 16;
constexpr int each = 4;  // sums of a thread in either direction
constexpr int side = tile / each;
static_assert(side * side == threads_a_block);

template <typename T>
struct PlainCall {
  const T* rows;
  const T* weights;
  const T* bias;  // null: none
  T* out;
  int k;
  int n;
};

// Columns [column, column + depth) of up to `count` rows, zeros beyond.
template <typename T>
__device__ void load(const T* rows, int count, int k, int column, float (&to)[depth][tile + 1]) {
  for (int i = static_cast<int>(threadIdx.x); i < tile * depth; i += threads_a_block) {
    const int row = i / depth;
    const int at = column + i % depth;
    to[i % depth][row] = row < count && at < k ? to_float(rows[Count{row} * k + at]) : 0.0F;
  }
}

__device__ void add_column(const float* tokens, const float* weights, float (&sums)[each][each]) {
  for (int i = 0; i < each; ++i) {
    for (int j = 0; j < each; ++j) {
      sums[i][j] = __fmaf_rn(tokens[side * i], weights[side * j], sums[i][j]);
    }
  }
}

template <typename T>
__device__ void multiply_one(const PlainCall<T>& call, const Tile& place) {
  __shared__ float tokens[depth][tile + 1];
  __shared__ float weights[depth][tile + 1];
  const int first_weight = place.weight_tile * tile;
  const T* from = call.weights + (Count{place.expert} * call.n + first_weight) * call.k;
  const int x = static_cast<int>(threadIdx.x) % side;
  const int y = static_cast<int>(threadIdx.x) / side;
  float sums[each][each] = {};
  for (int column = 0; column < call.k; column += depth) {
    load(call.rows + Count{place.first_token} * call.k, place.num_tokens, call.k, column, tokens);
    load(from, call.n - first_weight, call.k, column, weights);
    __syncthreads();
    for (int at = 0; at < depth; ++at) add_column(tokens[at] + y, weights[at] + x, sums);
    __syncthreads();
  }
  for (int i = 0; i < each; ++i) {
    const int token = y + side * i;
    for (int j = 0; j < each; ++j) {
      const int weight = first_weight + x + side * j;
      if (token >= place.num_tokens || weight >= call.n) continue;
      const float bias =
          call.bias == nullptr ? 0.0F : to_float(call.bias[Count{place.expert} * call.n + weight]);
      round_to(sums[i][j] + bias, call.out[Count{place.first_token + token} * call.n + weight]);
    }
  }
}

template <typename T>
__global__ void multiply(PlainCall<T> call, const std::int32_t* first_row, int num_experts) {
  extern __shared__ std::int32_t memory[];
  Tiles tiles(memory, first_row, num_experts);
  __syncthreads();
  if (threadIdx.x < warp) tiles.finish(tile);
  __syncthreads();
  const int weight_tiles = (call.n + tile - 1) / tile;
  const int count = tiles.count(weight_tiles);
  for (int index = static_cast<int>(blockIdx.x); index < count;
       index += static_cast<int>(gridDim.x)) {
    multiply_one(call, tiles.at(index, weight_tiles));
  }
}

}  // namespace

void multiply_plainly(CudaMemory& memory, const GroupedProduct& product) {
  const Count experts = product.first_row.rows - 1;
  if (product.out.rows == 0 || experts == 0 || product.out.columns == 0) return;
  constexpr Count blocks_max = 1024;
  const Count tiles = (product.rows.rows / tile + experts) * (product.out.columns / tile + 1);
  for_row_type(product.rows.dtype, [&](auto element) {
    using T = decltype(element);
    const PlainCall<T> call{
        device_elements<T>(product.rows),         device_elements<T>(product.weights),
        static_cast<const T*>(product.bias.data), device_elements<T>(product.out),
        static_cast<int>(product.rows.columns),   static_cast<int>(product.out.columns)};
    launch(memory.queue(),
           {std::min(tiles, blocks_max), threads_a_block,
            static_cast<std::size_t>(Tiles::bytes(experts))},
           multiply<T>, call, device_elements<std::int32_t>(product.first_row),
           static_cast<int>(experts));
  });
}

}  // namespace moe::cuda
