// What a backend's library takes, held against a world. Every refusal says what there is instead.
// Asked where run lines are made and read; pure functions.

#include "backends/capabilities.h"

#include <algorithm>

#include "backends/quant_schemes.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

Count rounded_up(Count value, Count multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

std::vector<std::string_view> names_of(const std::vector<DType>& dtypes) {
  std::vector<std::string_view> names;
  for (const DType dtype : dtypes) names.push_back(name_of(dtype));
  return names;
}

std::string shape_refusal(const WireLimits& limits, const WireQuestion& question) {
  if (!limits.row_dtypes.empty() && std::ranges::count(limits.row_dtypes, question.dtype) == 0) {
    return text("takes rows of ", joined(names_of(limits.row_dtypes)), ", not of ",
                name_of(question.dtype));
  }
  if (!limits.hidden_sizes.empty() && question.hidden_size > limits.hidden_sizes.back()) {
    return text("takes rows of at most ", limits.hidden_sizes.back(), " columns, not ",
                question.hidden_size, "; its sizes are ", joined(limits.hidden_sizes));
  }
  if (limits.max_top_k && question.top_k > *limits.max_top_k) {
    return text("takes at most top-", *limits.max_top_k, ", not ", question.top_k);
  }
  return "";
}

std::string expert_refusal(const WireLimits& limits, const WireQuestion& question) {
  if (!limits.group_sizes.empty() &&
      std::ranges::count(limits.group_sizes, question.num_ranks) == 0) {
    return text("runs on ", joined(limits.group_sizes), " ranks, not on ", question.num_ranks);
  }
  if (limits.needs_even_experts && question.num_experts % question.num_ranks != 0) {
    return text("needs as many experts on every rank: ", question.num_experts, " do not divide by ",
                question.num_ranks);
  }
  if (limits.linear_placement_only && !question.is_linear) {
    return "ignores the expert map and needs the placement linear";
  }
  if (!limits.takes_weight_on_input && question.weight_on_input) {
    return "does not apply router weights on the input";
  }
  return "";
}

std::string capacity_refusal(const Capabilities& capabilities, const WireQuestion& question) {
  if (!capabilities.fixed_capacity) return "";
  const Count capacity = question.max_num_tokens;
  const std::optional<Count> most = capabilities.fixed_capacity->most;
  if (most && capacity > *most) {
    return text("has room for at most ", *most, " tokens of a rank, not ", capacity);
  }
  const Count multiple = capabilities.limits.capacity_multiple;
  if (capacity * question.num_ranks % multiple != 0) {
    return text("needs capacity times ranks to be a multiple of ", multiple, ", not ", capacity,
                " x ", question.num_ranks);
  }
  return "";
}

// Whether two recipes make the same numbers for the same groups, however they get there.
bool are_alike(QuantRecipe one, QuantRecipe other) {
  const RecipeRow& a = recipe_row(one);
  const RecipeRow& b = recipe_row(other);
  const bool one_is_given = a.scale_rule == ScaleRule::given;
  const bool other_is_given = b.scale_rule == ScaleRule::given;
  return a.format == b.format && a.granularity == b.granularity &&
         a.group_columns == b.group_columns && a.scale_dtype == b.scale_dtype &&
         one_is_given == other_is_given;
}

bool holds(const std::vector<QuantRecipe>& recipes, QuantRecipe recipe) {
  return std::ranges::any_of(recipes, [&](QuantRecipe one) { return are_alike(one, recipe); });
}

// As scenarios say it (quant_schemes.h).
std::string_view scheme_of(QuantRecipe recipe) {
  for (const QuantizationScheme& scheme : quant_schemes) {
    if (scheme.activations != QuantRecipe::none && are_alike(scheme.activations, recipe)) {
      return scheme.name;
    }
  }
  return recipe_row(recipe).name;
}

std::string weights_refusal(const WireQuantization& quantization, QuantRecipe weights) {
  if (weights == QuantRecipe::none || std::ranges::count(quantization.weights_alone, weights) > 0) {
    return "";
  }
  std::vector<std::string_view> names;
  std::string_view asked;
  for (const QuantizationScheme& scheme : quant_schemes) {
    if (scheme.activations != QuantRecipe::none) continue;
    if (scheme.weights == weights) asked = scheme.name;
    if (std::ranges::count(quantization.weights_alone, scheme.weights) > 0) {
      names.push_back(scheme.name);
    }
  }
  return text("has no experts for weights quantised alone as ", asked, "; it has some for ",
              joined(names));
}

std::string quantization_refusal(const WireQuantization& quantization,
                                 const WireQuestion& question) {
  const std::string_view name = scheme_of(question.quantization);
  if (!recipe_on_wire(quantization, question.quantization)) {
    std::vector<std::string_view> names;
    for (const auto* list :
         {&quantization.travelling, &quantization.in_dispatch, &quantization.after_receipt}) {
      for (const QuantRecipe recipe : *list) names.push_back(scheme_of(recipe));
    }
    const std::string_view why =
        question.quantization == QuantRecipe::fp8_dynamic_tensor && question.num_ranks > 1
            ? ", which would give each rank's rows a scale of their own (vLLM #54683)"
            : "";
    return text("does not take rows quantised as ", name, why, "; it takes ",
                names.empty() ? "none but unquantised ones" : joined(names));
  }
  const Count group = recipe_row(question.quantization).group_columns;
  if (quantization.needs_whole_blocks && group == 128 && question.hidden_size % group != 0) {
    return text("takes rows quantised as ", name, " of a multiple of ", group, " columns, not of ",
                question.hidden_size);
  }
  return "";
}

}  // namespace

std::vector<QuantRecipe> with_dynamic_tensor(std::vector<QuantRecipe> recipes) {
  recipes.push_back(QuantRecipe::fp8_dynamic_tensor);
  return recipes;
}

std::vector<QuantRecipe> without(std::vector<QuantRecipe> recipes, QuantRecipe recipe) {
  std::erase(recipes, recipe);
  return recipes;
}

std::optional<RecipeOnWire> recipe_on_wire(const WireQuantization& quantization,
                                           QuantRecipe recipe) {
  if (recipe == QuantRecipe::none) return RecipeOnWire{};
  if (holds(quantization.in_dispatch, recipe) || recipe == quantization.own_quantizer) {
    return RecipeOnWire{quantization.own_quantizer, QuantizedAt::in_dispatch};
  }
  if (holds(quantization.travelling, recipe)) {
    return RecipeOnWire{recipe, QuantizedAt::before_dispatch};
  }
  if (holds(quantization.after_receipt, recipe)) {
    return RecipeOnWire{recipe, QuantizedAt::after_receipt};
  }
  return std::nullopt;
}

Count wire_row_bytes(const Capabilities& capabilities, QuantRecipe recipe, Count columns,
                     DType dtype) {
  const Count values = wire_columns(capabilities.limits, columns, dtype);
  const auto way = recipe_on_wire(capabilities.quantization, recipe);
  MOE_CHECK(way.has_value(), text("rows in ", recipe_row(recipe).name));
  if (!sends_codes(way->at)) return wire_bytes_per_row(QuantRecipe::none, values, dtype).data;
  WireBytes row = wire_bytes_per_row(way->recipe, values, dtype);
  const RecipeRow& made_by = recipe_row(way->recipe);
  if (capabilities.quantization.static_scale_by_row && made_by.scale_rule == ScaleRule::given) {
    row.scales = size_of(made_by.scale_dtype);
  }
  return row.data + rounded_up(row.scales, capabilities.quantization.scale_bytes_multiple);
}

Count wire_columns(const WireLimits& limits, Count hidden_size, DType dtype) {
  Count columns = hidden_size;
  if (!limits.hidden_sizes.empty()) {
    const auto next = std::ranges::lower_bound(limits.hidden_sizes, hidden_size);
    MOE_CHECK(next != limits.hidden_sizes.end(), text("rows of ", hidden_size, " columns"));
    columns = *next;
  }
  return rounded_up(columns * size_of(dtype), limits.row_bytes_multiple) / size_of(dtype);
}

std::string refusal_of(const Capabilities& capabilities, const WireQuestion& question) {
  if (question.num_masked_ranks > 0 && !capabilities.masks_ranks) {
    return "cannot leave dead ranks out (world.masked_ranks)";
  }
  for (const std::string& reason :
       {shape_refusal(capabilities.limits, question), expert_refusal(capabilities.limits, question),
        capacity_refusal(capabilities, question),
        quantization_refusal(capabilities.quantization, question),
        weights_refusal(capabilities.quantization, question.weights_alone)}) {
    if (!reason.empty()) return reason;
  }
  return "";
}

}  // namespace moe
