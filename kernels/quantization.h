// What a call to quantise says beside its recipe. Recipes and layouts are kernels/base/
// quant_recipe.h; the operators are in kernels.h.

#pragma once

#include <optional>

#include "kernels/base/quant_recipe.h"

namespace moe {

// scale [parts, 1] f32: the scale of a static recipe, the global scale of nvfp4; null for others.
// scale_ub: fp8_dynamic_token takes no larger magnitude into account (vLLM: scale_ub).
struct QuantSettings {
  Tensor scale = {};
  std::optional<float> scale_ub = {};
  LayoutChoice layout = {};
};

}  // namespace moe
