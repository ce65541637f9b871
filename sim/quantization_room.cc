// One function for each thing that can be missing; each names the key that would bring it.
// Nothing here looks at tokens: codes are made of whatever rows there are.

#include "sim/quantization_room.h"

namespace moe::sim {
namespace {

bool is_batched(const FaultRoom& room) {
  return room.capabilities.activation_format == ActivationFormat::batched_experts;
}

std::string peer(const FaultRoom& room) {
  return room.scenario.world.num_ranks() > 1 ? "" : "a world of one rank has no peer (world)";
}

}  // namespace

std::string swizzled_scales(const FaultRoom& room) {
  if (is_batched(room)) return "scales in experts' rooms are not swizzled (backend)";
  return room.scenario.model.quantization.activations == QuantRecipe::nvfp4
             ? ""
             : "no scales are swizzled (model.quantization: nvfp4)";
}

// Several scales a row, several rows: else both ways to lie are one.
std::string scale_columns(const FaultRoom& room) {
  const ModelSpec& model = room.scenario.model;
  const QuantRecipe recipe = model.quantization.activations;
  if (recipe == QuantRecipe::none) return "no row has scales (model.quantization)";
  if (recipe == QuantRecipe::nvfp4 && !is_batched(room)) {
    return "these scales are swizzled, not column-major (model.quantization)";
  }
  if (room.scenario.values != Values::real) {
    return "an exact world's scales are all the same (values: real)";
  }
  bool has_two_rows = false;
  for (int step = 0; step < room.inputs.num_steps(); ++step) {
    has_two_rows = has_two_rows || total_rows(room.inputs.tokens(step)) > 1;
  }
  if (!has_two_rows) return "no step has two rows (steps)";
  for (int layer = 0; layer < model.num_layers; ++layer) {
    const QuantizedLayout layout = quantized_layout(recipe, 1, model.layer(layer).hidden_size);
    if (layout.scales.columns > 1) return "";
  }
  return "a row has one scale only (model.hidden, model.quantization)";
}

std::string uneven_scales(const FaultRoom& room) {
  const QuantRecipe recipe = room.scenario.model.quantization.activations;
  if (recipe == QuantRecipe::none || recipe_row(recipe).scale_dtype != DType::f32) {
    return "no row has scales in fp32 (model.quantization)";
  }
  return room.scenario.values == Values::real
             ? ""
             : "an exact world's scales are powers of two (values: real)";
}

std::string travelling_codes(const FaultRoom& room) {
  const QuantRecipe recipe = room.scenario.model.quantization.activations;
  if (room.line.dispatch_site != DispatchSite::kernel) {
    return "a runner gathers rows as they are (dispatch_site: runner)";
  }
  const auto way = recipe_on_wire(room.capabilities.quantization, recipe);
  return way && sends_codes(way->at) ? peer(room)
                                     : "rows travel as they are (backend, model.quantization)";
}

// Every other token has half of the largest value: a rank without a whole one makes another scale.
std::string scale_of_all_rows(const FaultRoom& room) {
  if (room.scenario.model.quantization.activations != QuantRecipe::fp8_dynamic_tensor) {
    return "no scale is made of all rows (model.quantization: fp8_dynamic)";
  }
  if (room.line.dispatch_site == DispatchSite::runner) {
    return "a runner gathers all rows before they get a scale (dispatch_site: runner)";
  }
  if (room.scenario.values == Values::real) return peer(room);
  for (int step = 0; step < room.inputs.num_steps(); ++step) {
    const RowCounts tokens = room.inputs.tokens(step);
    for (int rank = 0; rank < std::ssize(tokens) && total_rows(tokens) > 0; ++rank) {
      const Count own = tokens[static_cast<std::size_t>(rank)];
      const bool has_whole =
          own > 1 || (own == 1 && room.inputs.global_token(step, rank, 0) % 2 == 0);
      if (!has_whole) return "";
    }
  }
  return "all DP ranks have the same largest value (steps)";
}

std::string weight_scales(const FaultRoom& room) {
  const ModelSpec& model = room.scenario.model;
  if (model.kernel == ExpertKernel::probe || model.quantization.weights == QuantRecipe::none) {
    return "no weights are codes (model.quantization, model.kernel)";
  }
  if (room.scenario.values != Values::real) {
    return "an exact world's weights all have the same scale (values: real)";
  }
  return model.num_physical_experts() > room.scenario.world.expert_ranks()
             ? ""
             : "no rank has two experts (model.experts)";
}

}  // namespace moe::sim
