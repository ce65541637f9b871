// Hopper's own instructions for products of tiles: barriers that count arriving bytes, the copy
// engine that brings tiles, and the tensor cores of a warpgroup (wgmma). PTX only; which tiles are
// multiplied is grouped_product_cuda.cu's. Tiles stand in shared memory as the copy engine swizzles
// them: rows of 128 bytes, groups of 8 rows, 16-byte pieces exchanged within a group.

#pragma once

#include <cuda.h>

#include "kernels/base/bits.h"
#include "kernels/cuda/launch.cuh"

namespace moe::cuda {

inline constexpr int warpgroup = 128;

__device__ inline std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

// A barrier of one phase after another: arrivals and bytes of the phase that runs.
struct PhaseBarrier {
  std::uint64_t word;

  __device__ void init(int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&word)),
                 "r"(arrivals)
                 : "memory");
  }

  __device__ void arrive() {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(&word))
                 : "memory");
  }

  // Arrives, and lets the phase end only when so many bytes have come, too.
  __device__ void arrive_expecting(int bytes) {
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&word)),
        "r"(bytes)
        : "memory");
  }

  // Until the phase of that parity has ended.
  __device__ void wait(int parity) {
    int is_over = 0;
    while (is_over == 0) {
      asm volatile(
          "{\n.reg .pred over;\n"
          "mbarrier.try_wait.parity.shared::cta.b64 over, [%1], %2;\n"
          "selp.s32 %0, 1, 0, over;\n}\n"
          : "=r"(is_over)
          : "r"(shared_address(&word)), "r"(parity)
          : "memory");
    }
  }
};

// Makes fresh barriers known to the copy engine. A barrier of the block has to follow.
__device__ inline void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async;" ::: "memory");
}

// Where a box of a [matrices, rows, columns] map starts.
struct BoxPlace {
  int column;
  int row;
  int matrix;
};

// Has the copy engine bring a box to shared memory; its bytes arrive at the barrier. What lies
// outside of the matrix comes as zeros.
__device__ inline void bring_box(const CUtensorMap& map, BoxPlace place, void* to,
                                 PhaseBarrier& barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4, %5}], [%2];" ::"r"(shared_address(to)),
      "l"(&map), "r"(shared_address(&barrier.word)), "r"(place.column), "r"(place.row),
      "r"(place.matrix)
      : "memory");
}

__device__ inline void prefetch_map(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

// How the tensor cores find a tile of swizzled 128-byte rows; + 2 is 32 bytes to the right, + 8 one
// row of 128 bytes down (only by groups of 8 rows).
__device__ inline std::uint64_t tile_descriptor(const void* tile) {
  constexpr std::uint64_t bytes_a_group = 1024;
  constexpr std::uint64_t swizzle_128 = 1;
  return ((shared_address(tile) & 0x3FFFFU) >> 4U) | std::uint64_t{1} << 16U |
         (bytes_a_group >> 4U) << 32U | swizzle_128 << 62U;
}

__device__ inline void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void end_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// Until at most `count` groups of products are on their way.
template <int count>
__device__ inline void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(count) : "memory");
}

// sums [64, n] += a [64, 16] · b [n, 16] transposed, for n of 16 or a multiple of 32 up to 256.
// Sums start at 0 by hand: left to the instruction, ptxas took them for unset and ran out of
// registers. Thread t holds of rows 16 (t / 32) + t % 32 / 4 + {0, 8} and columns 8 b + 2 (t % 4) +
// {0, 1} the sums 4 b + {0, 1; 2, 3}.
#define MOE_S8(i)                                                                            \
  "+f"(sums[i]), "+f"(sums[i + 1]), "+f"(sums[i + 2]), "+f"(sums[i + 3]), "+f"(sums[i + 4]), \
      "+f"(sums[i + 5]), "+f"(sums[i + 6]), "+f"(sums[i + 7])
#define MOE_S16(i) MOE_S8(i), MOE_S8(i + 8)
#define MOE_S32(i) MOE_S16(i), MOE_S16(i + 16)
#define MOE_S64(i) MOE_S32(i), MOE_S32(i + 32)
#define MOE_N8 "%0, %1, %2, %3, %4, %5, %6, %7"
#define MOE_N16 MOE_N8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define MOE_N32 \
  MOE_N16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define MOE_N48 \
  MOE_N32 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define MOE_N64 \
  MOE_N48 ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define MOE_N80 \
  MOE_N64 ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"
#define MOE_N96 \
  MOE_N80 ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define MOE_N112                                                                             \
  MOE_N96                                                                                    \
  ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, " \
  "%111"
#define MOE_N128                                                                           \
  MOE_N112                                                                                 \
  ", %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, " \
  "%126, %127"
#define MOE_WGMMA(n, type, names, a_name, b_name, ...)                                       \
  asm volatile(                                                                              \
      "{\n.reg .pred adds;\nsetp.eq.b32 adds, 0, 0;\n"                                       \
      "wgmma.mma_async.sync.aligned.m64n" n "k16.f32." type "." type " {" names "}, " a_name \
      ", " b_name ", adds, 1, 1, 0, 0;\n}\n"                                                 \
      : __VA_ARGS__                                                                          \
      : "l"(a), "l"(b))
#define MOE_PRODUCT(type)                                                                   \
  if constexpr (n == 16) {                                                                  \
    MOE_WGMMA("16", type, MOE_N8, "%8", "%9", MOE_S8(0));                                   \
  } else if constexpr (n == 32) {                                                           \
    MOE_WGMMA("32", type, MOE_N16, "%16", "%17", MOE_S16(0));                               \
  } else if constexpr (n == 64) {                                                           \
    MOE_WGMMA("64", type, MOE_N32, "%32", "%33", MOE_S32(0));                               \
  } else if constexpr (n == 96) {                                                           \
    MOE_WGMMA("96", type, MOE_N48, "%48", "%49", MOE_S32(0), MOE_S16(32));                  \
  } else if constexpr (n == 128) {                                                          \
    MOE_WGMMA("128", type, MOE_N64, "%64", "%65", MOE_S64(0));                              \
  } else if constexpr (n == 160) {                                                          \
    MOE_WGMMA("160", type, MOE_N80, "%80", "%81", MOE_S64(0), MOE_S16(64));                 \
  } else if constexpr (n == 192) {                                                          \
    MOE_WGMMA("192", type, MOE_N96, "%96", "%97", MOE_S64(0), MOE_S32(64));                 \
  } else if constexpr (n == 224) {                                                          \
    MOE_WGMMA("224", type, MOE_N112, "%112", "%113", MOE_S64(0), MOE_S32(64), MOE_S16(96)); \
  } else {                                                                                  \
    MOE_WGMMA("256", type, MOE_N128, "%128", "%129", MOE_S64(0), MOE_S64(64));              \
  }

template <typename T, int n>
__device__ __forceinline__ void add_product(float (&sums)[n / 2], std::uint64_t a,
                                            std::uint64_t b) {
  if constexpr (dtype_for<T>() == DType::bf16) {
    MOE_PRODUCT("bf16")
  } else {
    MOE_PRODUCT("f16")
  }
}
#undef MOE_PRODUCT
#undef MOE_WGMMA
#undef MOE_N128
#undef MOE_N112
#undef MOE_N96
#undef MOE_N80
#undef MOE_N64
#undef MOE_N48
#undef MOE_N32
#undef MOE_N16
#undef MOE_N8
#undef MOE_S64
#undef MOE_S32
#undef MOE_S16
#undef MOE_S8

}  // namespace moe::cuda
