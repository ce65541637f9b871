// Activation: what stands between the two products of an expert, by vLLM's names
// (fused_moe/activation.py; experts-and-oracles.md, 9.1). Kernels compute it, the judge bounds it.

#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "kernels/base/tensor.h"

namespace moe {

// Names that end in no_mul have one half only: w13 holds intermediate_size rows, not twice as many.
enum class Activation {
  silu,          // silu(g) · u, halves [g; u]; silu(g) is rounded before the product
  gelu,          // gelu(g) · u with the exact erf, halves [g; u]; rounded as silu
  swigluoai,     // (clamp(u, ±7) + 1) · g' · sigmoid(1.702 g'), g' = min(g, 7); rows interleaved
  relu2_no_mul,  // max(x, 0)²; relu in place, then the square
  silu_no_mul,   // silu(x)
  gelu_no_mul,   // gelu(x)
};

// Where an activation is rounded to the rows' type before it becomes codes (experts-and-oracles.md,
// 10): after each step as its comment says (DeepGEMM's fused kernel on Hopper does so too:
// fp8_utils.py); once, the product alone (nvfp4: silu_mul_cvt_fp16_to_fp4); never, so that codes
// are made of fp32 numbers (Triton's experts since silu_and_mul_per_block_quant).
enum class ActivationRounding : std::uint8_t { each, once, never };

// How an activation reads the rows of w13.
enum class GateLayout { none, halves, interleaved };

struct ActivationRow {
  Activation activation;
  std::string_view name;
  GateLayout gate;
};

// In the order of the enumeration.
inline constexpr std::array<ActivationRow, 6> activation_rows = {{
    {Activation::silu, "silu", GateLayout::halves},
    {Activation::gelu, "gelu", GateLayout::halves},
    {Activation::swigluoai, "swigluoai", GateLayout::interleaved},
    {Activation::relu2_no_mul, "relu2_no_mul", GateLayout::none},
    {Activation::silu_no_mul, "silu_no_mul", GateLayout::none},
    {Activation::gelu_no_mul, "gelu_no_mul", GateLayout::none},
}};

constexpr const ActivationRow& activation_row(Activation activation) {
  return activation_rows[static_cast<std::size_t>(activation)];
}

// Rows of one expert's w13 for each of its intermediate rows: 2 where there is a gate.
constexpr Count w13_rows_each(Activation activation) {
  return activation_row(activation).gate == GateLayout::none ? 1 : 2;
}

}  // namespace moe
