// Which tile of which expert a block multiplies next: found from first_row on the device. Tiles of
// one expert follow one another, those that share weights next to each other, so that weights come
// from memory once.

#pragma once

#include "kernels/cuda/launch.cuh"

namespace moe::cuda {

struct Tile {
  int expert;
  int weight_tile;  // of its expert
  int first_token;  // a grouped row
  int num_tokens;   // 1 to the size of a tile
};

// An expert's tokens are cut into as few tiles as hold them, of one size but for the last: products
// are as wide as a multiple of this, and a narrow one waits for its weights as long as a wide one.
inline constexpr int tokens_a_step = 32;

// In shared memory: [experts] ends of the experts' tiles of tokens, then [experts + 1] first rows.
class Tiles {
 public:
  static constexpr Count bytes(Count experts_max) { return (2 * experts_max + 1) * 4; }

  // By all threads of a block; a barrier has to follow finish, which one warp calls after another
  // barrier.
  __device__ Tiles(std::int32_t* memory, const std::int32_t* first_row, int num_experts)
      : ends_(memory), first_row_(memory + num_experts), num_experts_(num_experts) {
    for (int i = static_cast<int>(threadIdx.x); i <= num_experts; i += blockDim.x) {
      first_row_[i] = first_row[i];
    }
  }

  __device__ void finish(int tokens_a_tile) {
    const int lane = static_cast<int>(threadIdx.x) % warp;
    int before = 0;
    for (int first = 0; first < num_experts_; first += warp) {
      const int expert = first + lane;
      const int rows = expert < num_experts_ ? first_row_[expert + 1] - first_row_[expert] : 0;
      int sum = (rows + tokens_a_tile - 1) / tokens_a_tile;
      for (int distance = 1; distance < warp; distance *= 2) {
        const int left = __shfl_up_sync(0xFFFFFFFFU, sum, distance);
        if (lane >= distance) sum += left;
      }
      if (expert < num_experts_) ends_[expert] = before + sum;
      before += __shfl_sync(0xFFFFFFFFU, sum, warp - 1);
    }
  }

  __device__ int count(int weight_tiles) const { return ends_[num_experts_ - 1] * weight_tiles; }

  // REQUIRES an index below count.
  __device__ Tile at(int index, int weight_tiles) const {
    int low = 0;
    int high = num_experts_ - 1;
    while (low < high) {
      const int middle = (low + high) / 2;
      if (ends_[middle] * weight_tiles <= index) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    const int begin = low == 0 ? 0 : ends_[low - 1];
    const int token_tiles = ends_[low] - begin;
    const int within = index - begin * weight_tiles;
    const int rows = first_row_[low + 1] - first_row_[low];
    const int each = (rows + token_tiles - 1) / token_tiles;
    const int size = (each + tokens_a_step - 1) / tokens_a_step * tokens_a_step;
    const int first = first_row_[low] + within % token_tiles * size;
    return {low, within / token_tiles, first, min(size, first_row_[low + 1] - first)};
  }

 private:
  std::int32_t* ends_;
  std::int32_t* first_row_;
  int num_experts_;
};

}  // namespace moe::cuda
