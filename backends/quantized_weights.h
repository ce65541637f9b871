// A checkpoint's weights as codes, made when a rank loads them (vLLM: what quantisation methods do
// in process_weights_after_loading). Called where experts are put together.

#pragma once

#include "kernels/kernels.h"

namespace moe {

// How experts quantise beside the rows that come to them: their weights, and what stands between
// the products; scale as RowQuantization has it.
struct ExpertQuantization {
  QuantRecipe weights = QuantRecipe::none;
  QuantRecipe between = QuantRecipe::none;
  float between_scale = 1;
  ActivationRounding rounding = ActivationRounding::each;
};

// A checkpoint's weights become codes. A seam: decorators watch and lie here.
class WeightQuantizer {
 public:
  virtual ~WeightQuantizer() = default;

  // Each expert's matrices share no scale, gate and up no block of 128 x 128; nvfp4's global scale
  // is 448 · 6 over the largest magnitude of each. a1 and a2 are left as they are made. weights: of
  // num_experts experts, as GemmWeights has them.
  virtual QuantizedGemmWeights quantized(GemmWeights weights, QuantRecipe recipe,
                                         Count num_experts) = 0;
};

std::unique_ptr<WeightQuantizer> make_weight_quantizer(Kernels& kernels);

// Codes of whole experts become those of a rank's part of them. Throws ContractError where a part
// would cut a group that shares a scale.
struct TensorShard;
std::unique_ptr<WeightQuantizer> with_shard_of_codes(std::unique_ptr<WeightQuantizer> inner,
                                                     const TensorShard& shard, Kernels& kernels);

// MF-66, a lie: all experts read the scales of the first (vllm#57092: an expert stride of 0).
std::unique_ptr<WeightQuantizer> with_first_experts_scales(std::unique_ptr<WeightQuantizer> inner,
                                                           Kernels& kernels);

}  // namespace moe
