// Scales are changed where the host reads them and put back; codes stay what they are.
// Whether a world has anything to spoil is the program's affair (sim/fault_room.cc).

#include "backends/faulty_quantization.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <utility>

#include "backends/lying_prepare_finalize.h"
#include "kernels/base/bits.h"

namespace moe {
namespace {

using Bytes = std::vector<std::byte>;

// spoil(layout, before, after): both are the scales' bytes as they lie in memory.
using SpoilScales =
    std::function<void(const QuantizedLayout& layout, const Bytes& before, Bytes& after)>;

std::unique_ptr<PrepareFinalize> with_spoiled_scales(std::unique_ptr<PrepareFinalize> inner,
                                                     Memory& memory, const SpoilScales& spoil) {
  return with_spoiled_dispatch(std::move(inner), [&memory, spoil](Dispatched& dispatched) {
    if (!dispatched.is_quantized()) return;
    const Tensor& scales = dispatched.scales;
    Bytes before(static_cast<std::size_t>(bytes_of(scales)));
    memory.copy_to_host(scales, {before.data(), scales.rows, scales.columns, scales.dtype, {}});
    Bytes after = before;
    spoil(dispatched.layout, before, after);
    dispatched.scales = dispatched.handle.keep(
        copy_of({after.data(), scales.rows, scales.columns, scales.dtype, {}}, memory));
  });
}

}  // namespace

std::unique_ptr<PrepareFinalize> with_swizzle_lie(std::unique_ptr<PrepareFinalize> inner,
                                                  Memory& memory, SwizzleLie lie) {
  return with_spoiled_scales(
      std::move(inner), memory,
      [lie](const QuantizedLayout& layout, const Bytes& before, Bytes& after) {
        const ScaleLayout& scales = layout.scales;
        if (scales.swizzle != ScaleSwizzle::tiles_128x4) return;
        ScaleLayout plain = scales;
        plain.swizzle = ScaleSwizzle::none;
        for (Count row = 0; row < scales.padded_rows; ++row) {
          for (Count column = 0; column < scales.padded_columns; ++column) {
            const auto in_tiles = static_cast<std::size_t>(scale_offset(scales, row, column));
            const auto in_rows = static_cast<std::size_t>(scale_offset(plain, row, column));
            if (lie == SwizzleLie::forgotten) after[in_rows] = before[in_tiles];
            if (lie == SwizzleLie::doubled) after[in_tiles] = before[in_rows];
          }
        }
      });
}

std::unique_ptr<PrepareFinalize> with_stride_ignored(std::unique_ptr<PrepareFinalize> inner,
                                                     Memory& memory) {
  return with_spoiled_scales(
      std::move(inner), memory,
      [](const QuantizedLayout& layout, const Bytes& before, Bytes& after) {
        const ScaleLayout& own = layout.scales;
        if (own.group_rows != 1 || own.swizzle != ScaleSwizzle::none) return;
        ScaleLayout other = own;
        other.orientation = own.orientation == ScaleOrientation::row_major
                                ? ScaleOrientation::column_major
                                : ScaleOrientation::row_major;
        const auto width = static_cast<std::size_t>(size_of(own.dtype));
        for (Count row = 0; row < own.rows; ++row) {
          for (Count column = 0; column < own.columns; ++column) {
            const auto from = static_cast<std::size_t>(scale_offset(own, row, column)) * width;
            const auto to = static_cast<std::size_t>(scale_offset(other, row, column)) * width;
            std::memcpy(after.data() + to, before.data() + from, width);
          }
        }
      });
}

std::unique_ptr<PrepareFinalize> with_truncated_scales(std::unique_ptr<PrepareFinalize> inner,
                                                       Memory& memory) {
  return with_spoiled_scales(std::move(inner), memory,
                             [](const QuantizedLayout& layout, const Bytes&, Bytes& after) {
                               if (layout.scales.dtype != DType::f32) return;
                               for (std::size_t at = 0; at < after.size(); at += sizeof(float)) {
                                 std::uint32_t bits = 0;
                                 std::memcpy(&bits, after.data() + at, sizeof(bits));
                                 bits &= 0xFF800000U;
                                 std::memcpy(after.data() + at, &bits, sizeof(bits));
                               }
                             });
}

std::unique_ptr<PrepareFinalize> with_local_amax(std::unique_ptr<PrepareFinalize> inner,
                                                 Memory& memory, float limit) {
  const auto lie = [&memory, limit](PrepareFinalize& healthy, const Tensor& hidden_states,
                                    const Routing& routing, RowCounts tokens) {
    Dispatched dispatched = healthy.prepare(hidden_states, routing, tokens);
    if (dispatched.layout.scales.granularity != ScaleGranularity::per_tensor) return dispatched;
    Bytes values(static_cast<std::size_t>(bytes_of(hidden_states)));
    memory.copy_to_host(
        hidden_states,
        {values.data(), hidden_states.rows, hidden_states.columns, hidden_states.dtype, {}});
    float amax = 0;
    for_row_type(hidden_states.dtype, [&](auto element) {
      using T = decltype(element);
      const std::span all(reinterpret_cast<const T*>(values.data()), values.size() / sizeof(T));
      for (const T value : all) amax = std::max(amax, std::abs(to_float(value)));
    });
    float scale = amax / limit;
    dispatched.scales = dispatched.handle.keep(copy_of({&scale, 1, 1, DType::f32, {}}, memory));
    return dispatched;
  };
  return lying(std::move(inner), {.prepare = lie});
}

}  // namespace moe
