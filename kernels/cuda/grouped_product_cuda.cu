// Grouped products on the tensor cores. One block for each multiprocessor takes tile after tile.
// One thread has the copy engine bring pieces of 64 columns, of 128 rows of the weights and of the
// tile's tokens, into a ring of stages. Two warpgroups multiply them, 64 rows of the weights each:
// these are the rows of their product and the tokens its columns, so that few tokens make a narrow
// product. Three warps beside the first write what they leave. All three walk the same tiles and
// never wait for a block.

#include "kernels/cuda/grouped_product.cuh"
#include "kernels/cuda/grouped_writing.cuh"
#include "kernels/cuda/tensor_map.cuh"

namespace moe::cuda {
namespace {

// The first warpgroup of a block brings and writes, with a warp and with three.
constexpr int first_multiplier = 1;
constexpr int block_threads = (first_multiplier + multipliers) * warpgroup;
constexpr Count align_bytes = 1024;

// Tokens of a tile; stages of the ring; tokens that the copy engine brings at once.
template <int tokens, int num_stages, int box>
struct StageShape {
  static constexpr int tokens_a_tile = tokens;
  static constexpr int stages = num_stages;
  static constexpr int tokens_a_box = box;
  static constexpr int weight_bytes = weights_a_tile * row_bytes_a_stage;
  static constexpr int stage_bytes = weight_bytes + tokens * row_bytes_a_stage;
  static constexpr int left_bytes = tokens * row_bytes_a_stage;
  static constexpr int barriers = 2 * (stages + 1);
  static constexpr Count fixed_bytes =
      align_bytes + Count{stages} * stage_bytes + multipliers * left_bytes + barriers * 8;
  static constexpr Count bytes(Count experts) { return fixed_bytes + Tiles::bytes(experts); }
};

// The block's memory.
template <typename S>
struct Room {
  std::byte* stages;
  std::byte* left;           // of each multiplier
  PhaseBarrier* full;        // a stage's bytes have come
  PhaseBarrier* empty;       // every multiplying warp has read them
  PhaseBarrier* is_left;     // the multipliers' tile stands there
  PhaseBarrier* is_written;  // and was written
  std::int32_t* tiles;

  __device__ explicit Room(std::byte* memory) {
    const std::uint32_t low = shared_address(memory) % align_bytes;
    stages = memory + (low == 0 ? 0 : align_bytes - low);
    left = stages + S::stages * S::stage_bytes;
    full = reinterpret_cast<PhaseBarrier*>(left + multipliers * S::left_bytes);
    empty = full + S::stages;
    is_left = empty + S::stages;
    is_written = is_left + 1;
    tiles = reinterpret_cast<std::int32_t*>(is_written + 1);
  }

  // By one thread.
  __device__ void init_barriers() const {
    for (int stage = 0; stage < S::stages; ++stage) {
      full[stage].init(1);
      empty[stage].init(multipliers * warpgroup / warp);
    }
    is_left->init(multipliers * warpgroup);
    is_written->init(writers);
    publish_barriers();
  }
};

// A place in a ring: the same steps for who fills and who empties it.
template <int size>
struct Ring {
  int at = 0;
  int parity = 0;

  __device__ void advance() {
    if (++at < size) return;
    at = 0;
    parity ^= 1;
  }
};

// The tiles that this block multiplies, in order.
template <typename Function>
__device__ __forceinline__ void for_each_tile(const GroupedCall& call, const Tiles& tiles,
                                              Function function) {
  const int count = tiles.count(call.weight_tiles);
  for (int index = blockIdx.x; index < count; index += gridDim.x) {
    function(tiles.at(index, call.weight_tiles));
  }
}

template <typename S>
__device__ void bring_tiles(const CUtensorMap& rows, const CUtensorMap& weights,
                            const GroupedCall& call, const Room<S>& room, const Tiles& tiles) {
  Ring<S::stages> ring;
  for_each_tile(call, tiles, [&](const Tile& tile) {
    const int token_boxes = (tile.num_tokens + S::tokens_a_box - 1) / S::tokens_a_box;
    const int bytes = S::weight_bytes + token_boxes * S::tokens_a_box * row_bytes_a_stage;
    for (int column = 0; column < call.k; column += columns_a_box) {
      room.empty[ring.at].wait(ring.parity ^ 1);
      PhaseBarrier& full = room.full[ring.at];
      full.arrive_expecting(bytes);
      std::byte* to = room.stages + ring.at * S::stage_bytes;
      for (int group = 0; group < multipliers; ++group) {
        bring_box(weights, {column, first_weight_row(call, tile.weight_tile, group), tile.expert},
                  to + group * weights_a_box * row_bytes_a_stage, full);
      }
      to += S::weight_bytes;
      for (int box = 0; box < token_boxes; ++box) {
        bring_box(rows, {column, tile.first_token + box * S::tokens_a_box, 0},
                  to + box * S::tokens_a_box * row_bytes_a_stage, full);
      }
      ring.advance();
    }
  });
}

template <typename T, typename S>
__device__ void write_tiles(const GroupedCall& call, const Room<S>& room, const Tiles& tiles) {
  Ring<1> left;
  for_each_tile(call, tiles, [&](const Tile& tile) {
    room.is_left->wait(left.parity);
    write_left<T>(call, tile, {room.left, S::left_bytes});
    room.is_written->arrive();
    left.advance();
  });
}

// Where a multiplying warpgroup stands.
template <typename S>
struct Multiplier {
  int group;
  Ring<S::stages> ring = {};
  Ring<1> left = {};
};

// A tile of up to n tokens: sums over all columns, then what is left of them.
template <typename T, int n, typename S>
__device__ __forceinline__ void multiply_tile(const GroupedCall& call, const Tile& tile,
                                              const Room<S>& room, Multiplier<S>& own) {
  const bool is_first_lane = threadIdx.x % warp == 0;
  constexpr int k_step = 16;
  constexpr int descriptor_step = k_step * 2 / 16;
  float sums[n / 2];
#pragma unroll
  for (float& sum : sums) sum = 0.0F;
  int last = -1;
  for (int column = 0; column < call.k; column += columns_a_box) {
    room.full[own.ring.at].wait(own.ring.parity);
    const std::byte* stage = room.stages + own.ring.at * S::stage_bytes;
    const std::uint64_t a = tile_descriptor(stage + own.group * weights_a_box * row_bytes_a_stage);
    const std::uint64_t b = tile_descriptor(stage + S::weight_bytes);
    begin_products();
#pragma unroll
    for (int step = 0; step < columns_a_box / k_step; ++step) {
      add_product<T, n>(sums, a + step * descriptor_step, b + step * descriptor_step);
    }
    end_products();
    if (last >= 0) {
      wait_for_products<1>();
      if (is_first_lane) room.empty[last].arrive();
    }
    last = own.ring.at;
    own.ring.advance();
  }
  const float2 bias = biases<T>(call, tile, own.group);
  wait_for_products<0>();
  if (is_first_lane) room.empty[last].arrive();
  room.is_written->wait(own.left.parity ^ 1);
  own.left.advance();
  leave_tile<T, n>(bias, room.left + own.group * S::left_bytes, sums);
  room.is_left->arrive();
}

// Tiles of at most n tokens by the narrowest product that holds them.
template <typename T, int n, typename S>
__device__ __forceinline__ void multiply_up_to(const GroupedCall& call, const Tile& tile,
                                               const Room<S>& room, Multiplier<S>& own) {
  constexpr int narrower = n > tokens_a_step ? n - tokens_a_step : tokens_a_step / 2;
  if constexpr (n > narrower) {
    if (tile.num_tokens <= narrower) {
      return multiply_up_to<T, narrower>(call, tile, room, own);
    }
  }
  multiply_tile<T, n>(call, tile, room, own);
}

template <typename T, typename S>
__device__ void multiply_tiles(const GroupedCall& call, const Room<S>& room, const Tiles& tiles) {
  Multiplier<S> own{static_cast<int>(threadIdx.x) / warpgroup - first_multiplier};
  for_each_tile(call, tiles, [&](const Tile& tile) {
    multiply_up_to<T, S::tokens_a_tile>(call, tile, room, own);
  });
}

template <typename T, typename S>
__global__ void __launch_bounds__(block_threads, 1)
    multiply(const __grid_constant__ CUtensorMap rows, const __grid_constant__ CUtensorMap weights,
             const GroupedCall call) {
  extern __shared__ std::byte memory[];
  const Room<S> room(memory);
  Tiles tiles(room.tiles, call.first_row, call.num_experts);
  if (threadIdx.x == 0) {
    prefetch_map(rows);
    prefetch_map(weights);
    room.init_barriers();
  }
  __syncthreads();
  if (threadIdx.x < warp) tiles.finish(S::tokens_a_tile);
  __syncthreads();
  if (threadIdx.x < first_multiplier * warpgroup) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 88;");
    if (threadIdx.x >= warp) {
      write_tiles<T, S>(call, room, tiles);
    } else if (threadIdx.x == 0) {
      bring_tiles<S>(rows, weights, call, room, tiles);
    }
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 208;");
    multiply_tiles<T, S>(call, room, tiles);
  }
}

// By what was measured on an H100 (tests/device/RESULTS.md): up to so many tokens an expert on
// average narrower tiles with more stages are the faster; 64 of a wide one's tokens are brought at
// once, since each order to the copy engine takes its time, and 32 of a narrow one's, which has
// fewer to bring.
using Wide = StageShape<256, 3, 64>;
using Middle = StageShape<128, 5, 32>;
constexpr Count middle_tokens_max = 160;

bool is_aligned(const Tensor& tensor) {
  return tensor.columns > 0 && tensor.columns % pieces_a_row == 0 &&
         reinterpret_cast<std::uintptr_t>(tensor.data) % 16 == 0;
}

GroupedCall call_of(const GroupedProduct& product) {
  const Count experts = product.first_row.rows - 1;
  const auto n = static_cast<int>(product.weights.rows / experts);
  const bool activates = product.activation.has_value();
  const Activation activation = product.activation.value_or(Activation::silu);
  return {.first_row = device_elements<std::int32_t>(product.first_row),
          .num_experts = static_cast<int>(experts),
          .k = static_cast<int>(product.rows.columns),
          .n = n,
          .weight_tiles = (n + weights_a_tile - 1) / weights_a_tile,
          .bias = product.bias.data,
          .out = product.out.data,
          .out_columns = static_cast<int>(product.out.columns),
          .activates = activates,
          .activation = activation,
          .gate = activates ? activation_row(activation).gate : GateLayout::none};
}

int attribute_of(const CudaMemory& memory, cudaDeviceAttr attribute) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, attribute, memory.stream().device.ordinal),
        "what the device has");
  return value;
}

template <typename S>
bool has_room(const CudaMemory& memory, Count experts) {
  return S::bytes(experts) <= attribute_of(memory, cudaDevAttrMaxSharedMemoryPerBlockOptin);
}

template <typename T, typename S>
void launch_shape(CudaMemory& memory, const GroupedProduct& product) {
  const Count experts = product.first_row.rows - 1;
  check(cudaFuncSetAttribute(multiply<T, S>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             attribute_of(memory, cudaDevAttrMaxSharedMemoryPerBlockOptin)),
        "room for stages of a product");
  launch(memory.queue(),
         {attribute_of(memory, cudaDevAttrMultiProcessorCount), block_threads,
          static_cast<std::size_t>(S::bytes(experts))},
         multiply<T, S>, map_of(product.rows, 1, S::tokens_a_box),
         map_of(product.weights, experts, weights_a_box), call_of(product));
}

}  // namespace

bool suits_tensor_cores(const CudaMemory& memory, const GroupedProduct& product) {
  return product.rows.dtype != DType::f32 && is_aligned(product.rows) &&
         is_aligned(product.weights) && is_aligned(product.out) &&
         has_room<Middle>(memory, product.first_row.rows - 1);
}

void multiply_on_tensor_cores(CudaMemory& memory, const GroupedProduct& product) {
  const Count experts = product.first_row.rows - 1;
  if (product.rows.rows == 0 || experts == 0) return;
  const bool is_wide =
      product.rows.rows > middle_tokens_max * experts && has_room<Wide>(memory, experts);
  const auto run = [&](auto element) {
    using T = decltype(element);
    if constexpr (sizeof(T) == 2) {
      if (is_wide) return launch_shape<T, Wide>(memory, product);
      launch_shape<T, Middle>(memory, product);
    }
  };
  for_row_type(product.rows.dtype, run);
}

}  // namespace moe::cuda
