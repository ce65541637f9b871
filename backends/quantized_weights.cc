// Loading happens once: what it asks of the host costs no step anything.
// Which activations go with the codes, who puts experts together says.

#include "backends/quantized_weights.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "backends/placement/tensor_shard.h"
#include "kernels/base/bits.h"

namespace moe {
namespace {

// One for each expert, [num_experts, 1] f32.
Buffer global_scales(const Tensor& weights, Count num_experts, Memory& memory) {
  const auto host = make_host_memory(Poison::off);
  const Buffer copy(*host, {weights.rows, weights.columns, weights.dtype});
  memory.copy_to_host(weights, copy.tensor());
  const Count rows = num_experts == 0 ? 0 : weights.rows / num_experts;
  std::vector<float> scales;
  for (Count expert = 0; expert < num_experts; ++expert) {
    float amax = 0;
    for_row_type(weights.dtype, [&](auto element) {
      for (const auto value :
           elements_of<decltype(element)>(rows_of(copy.tensor(), expert * rows, rows))) {
        amax = std::max(amax, std::abs(to_float(value)));
      }
    });
    scales.push_back(amax == 0 ? 1 : 448.0F * 6.0F / amax);
  }
  return copy_of({scales.data(), num_experts, 1, DType::f32, {}}, memory);
}

// Of a matrix for each expert, in parts that share no scale.
struct Parts {
  Count num_experts = 0;
  Count each = 1;
};

QuantizedRowsBuffers codes_of(const Tensor& weights, QuantRecipe recipe, Parts parts,
                              Kernels& kernels) {
  Buffer scale;
  if (recipe_row(recipe).scale_rule == ScaleRule::times_global) {
    scale = global_scales(weights, parts.num_experts, kernels.memory());
  }
  return kernels.quantize(
      weights, recipe,
      {.scale = scale.tensor(), .layout = {.parts = parts.num_experts * parts.each}});
}

class KernelWeightQuantizer final : public WeightQuantizer {
 public:
  explicit KernelWeightQuantizer(Kernels& kernels) : kernels_(kernels) {}

  QuantizedGemmWeights quantized(GemmWeights weights, QuantRecipe recipe,
                                 Count num_experts) override {
    const bool has_halves = activation_row(weights.activation).gate == GateLayout::halves;
    const bool has_blocks = recipe_row(recipe).granularity == ScaleGranularity::block;
    const Count halves = has_halves && has_blocks ? 2 : 1;
    QuantizedGemmWeights codes;
    codes.w13 = codes_of(weights.w13.tensor(), recipe, {num_experts, halves}, kernels_);
    codes.w2 = codes_of(weights.w2.tensor(), recipe, {num_experts, 1}, kernels_);
    codes.w13_bias = std::move(weights.w13_bias);
    codes.w2_bias = std::move(weights.w2_bias);
    codes.activation = weights.activation;
    codes.row_type = weights.w13.tensor().dtype;
    return codes;
  }

 private:
  Kernels& kernels_;
};

// Each expert's scales become the first one's. REQUIRES row-major scales.
void repeat_first(QuantizedRowsBuffers& codes, Count num_experts, Kernels& kernels) {
  const Tensor scales = codes.scales.tensor();
  const Count each = num_experts == 0 ? 0 : scales.rows / num_experts;
  std::vector<std::int32_t> places;
  for (Count row = 0; row < each * num_experts; ++row) {
    places.push_back(static_cast<std::int32_t>(row % each));
  }
  const Buffer from =
      copy_of({places.data(), std::ssize(places), 1, DType::i32, {}}, kernels.memory());
  codes.scales = kernels.gather_rows(scales, from.tensor());
}

class ShardOfCodes final : public WeightQuantizer {
 public:
  ShardOfCodes(std::unique_ptr<WeightQuantizer> inner, TensorShard shard, Memory& memory)
      : inner_(std::move(inner)), shard_(shard), memory_(memory) {}

  QuantizedGemmWeights quantized(GemmWeights weights, QuantRecipe recipe,
                                 Count num_experts) override {
    return shard_of(inner_->quantized(std::move(weights), recipe, num_experts), recipe, shard_,
                    memory_);
  }

 private:
  std::unique_ptr<WeightQuantizer> inner_;
  TensorShard shard_;
  Memory& memory_;
};

class FirstExpertsScales final : public WeightQuantizer {
 public:
  FirstExpertsScales(std::unique_ptr<WeightQuantizer> inner, Kernels& kernels)
      : inner_(std::move(inner)), kernels_(kernels) {}

  QuantizedGemmWeights quantized(GemmWeights weights, QuantRecipe recipe,
                                 Count num_experts) override {
    QuantizedGemmWeights codes = inner_->quantized(std::move(weights), recipe, num_experts);
    repeat_first(codes.w13, num_experts, kernels_);
    repeat_first(codes.w2, num_experts, kernels_);
    return codes;
  }

 private:
  std::unique_ptr<WeightQuantizer> inner_;
  Kernels& kernels_;
};

}  // namespace

std::unique_ptr<WeightQuantizer> make_weight_quantizer(Kernels& kernels) {
  return std::make_unique<KernelWeightQuantizer>(kernels);
}

std::unique_ptr<WeightQuantizer> with_shard_of_codes(std::unique_ptr<WeightQuantizer> inner,
                                                     const TensorShard& shard, Kernels& kernels) {
  return std::make_unique<ShardOfCodes>(std::move(inner), shard, kernels.memory());
}

std::unique_ptr<WeightQuantizer> with_first_experts_scales(std::unique_ptr<WeightQuantizer> inner,
                                                           Kernels& kernels) {
  return std::make_unique<FirstExpertsScales>(std::move(inner), kernels);
}

}  // namespace moe
