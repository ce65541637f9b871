// One function for each thing that can be missing; each names the key that would bring it.
// Nothing here looks at tokens: codes are made of whatever rows there are.

#include "sim/quantization_room.h"

namespace moe::sim {
namespace {

bool is_batched(const Capabilities& capabilities) {
  return capabilities.activation_format == ActivationFormat::batched_experts;
}

std::string peer(const Scenario& scenario) {
  return scenario.world.num_ranks() > 1 ? "" : "a world of one rank has no peer (world)";
}

}  // namespace

std::string swizzled_scales(const Scenario& scenario, const Capabilities& capabilities) {
  if (is_batched(capabilities)) return "scales in experts' rooms are not swizzled (backend)";
  return scenario.model.quantization.activations == QuantRecipe::nvfp4
             ? ""
             : "no scales are swizzled (model.quantization: nvfp4)";
}

// Several scales a row, several rows: else both ways to lie are one.
std::string scale_columns(const Scenario& scenario, const Capabilities& capabilities) {
  const ModelSpec& model = scenario.model;
  const QuantRecipe recipe = model.quantization.activations;
  if (recipe == QuantRecipe::none) return "no row has scales (model.quantization)";
  if (recipe == QuantRecipe::nvfp4 && !is_batched(capabilities)) {
    return "these scales are swizzled, not column-major (model.quantization)";
  }
  if (scenario.values != Values::real) {
    return "an exact world's scales are all the same (values: real)";
  }
  for (int layer = 0; layer < model.num_layers; ++layer) {
    const QuantizedLayout layout = quantized_layout(recipe, 1, model.layer(layer).hidden_size);
    if (layout.scales.columns > 1) return "";
  }
  return "a row has one scale only (model.hidden, model.quantization)";
}

std::string uneven_scales(const Scenario& scenario, const Capabilities&) {
  const QuantRecipe recipe = scenario.model.quantization.activations;
  if (recipe == QuantRecipe::none || recipe_row(recipe).scale_dtype != DType::f32) {
    return "no row has scales in fp32 (model.quantization)";
  }
  return scenario.values == Values::real
             ? ""
             : "an exact world's scales are powers of two (values: real)";
}

std::string travelling_codes(const Scenario& scenario, const Capabilities& capabilities) {
  const QuantRecipe recipe = scenario.model.quantization.activations;
  const auto way = recipe_on_wire(capabilities.quantization, recipe);
  const bool are_codes =
      way && (way->at == QuantizedAt::before_dispatch || way->at == QuantizedAt::in_dispatch);
  return are_codes ? peer(scenario) : "rows travel as they are (backend, model.quantization)";
}

std::string scale_of_all_rows(const Scenario& scenario, const Capabilities&) {
  return scenario.model.quantization.activations == QuantRecipe::fp8_dynamic_tensor
             ? peer(scenario)
             : "no scale is made of all rows (model.quantization: fp8_dynamic)";
}

std::string weight_scales(const Scenario& scenario, const Capabilities&) {
  const ModelSpec& model = scenario.model;
  if (model.kernel == ExpertKernel::probe || model.quantization.weights == QuantRecipe::none) {
    return "no weights are codes (model.quantization, model.kernel)";
  }
  if (scenario.values != Values::real) {
    return "an exact world's weights all have the same scale (values: real)";
  }
  return model.num_physical_experts() > scenario.world.expert_ranks()
             ? ""
             : "no rank has two experts (model.experts)";
}

}  // namespace moe::sim
