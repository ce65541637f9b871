// A choice in one 32-bit word, as TRTLLM's modular experts take it: the id above, the weight as
// bf16 below. Kernels of other experts take ids and weights apart (routing.h).

#pragma once

#include <cstdint>

#include "kernels/base/bits.h"

namespace moe {

// REQUIRES 0 <= expert < 32768. The weight is rounded: u16 of it is lost
// (experts-and-oracles.md, 14.1).
constexpr std::int32_t packed_choice(int expert, float topk_weight) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(expert) << 16U |
                                   to_bfloat16(topk_weight).bits);
}

struct PackedChoice {
  int expert = 0;
  float topk_weight = 0;
};

constexpr PackedChoice unpacked_choice(std::int32_t word) {
  const auto bits = static_cast<std::uint32_t>(word);
  return {static_cast<int>(bits >> 16U),
          to_float(BFloat16{static_cast<std::uint16_t>(bits & 0xFFFFU)})};
}

}  // namespace moe
