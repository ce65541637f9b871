// Which side of the dispatch quantises is asked here and nowhere else; a backend calls quantized()
// before it sends or after it received.

#include "backends/row_quantization.h"

#include <utility>

#include "kernels/base/text.h"

namespace moe {
namespace {

// A scale of the tensor that every row carries is a scale of each row.
void give_each_row_its_scale(QuantizedLayout& layout) {
  layout.scales.granularity = ScaleGranularity::per_token;
  layout.scales.group_rows = 1;
  layout.scales.rows = layout.rows;
  layout.scales.padded_rows = layout.rows;
}

bool needs_scale(QuantRecipe recipe) {
  const ScaleRule rule = recipe_row(recipe).scale_rule;
  return rule == ScaleRule::given || rule == ScaleRule::times_global;
}

Buffer copy_within(const Tensor& tensor, Memory& memory) {
  Buffer copy(memory, {tensor.rows, tensor.columns, tensor.dtype});
  memory.copy(tensor, copy.tensor());
  return copy;
}

QuantizedLayout linear(const RowQuantization& quantization, Count rows, Count columns) {
  QuantizedLayout layout = quantized_layout(quantization.recipe, rows, columns);
  if (quantization.static_scale_by_row &&
      recipe_row(quantization.recipe).scale_rule == ScaleRule::given) {
    give_each_row_its_scale(layout);
  }
  return layout;
}

}  // namespace

QuantizedLayout expert_input_layout(const RowQuantization& quantization, ActivationFormat format,
                                    Count rows, Count columns) {
  const bool is_swizzled =
      format == ActivationFormat::standard && quantization.recipe == QuantRecipe::nvfp4;
  if (!is_swizzled) return linear(quantization, rows, columns);
  return quantized_layout(quantization.recipe, rows, columns,
                          {.swizzle = ScaleSwizzle::tiles_128x4});
}

RowQuantizer::RowQuantizer(const RowQuantization& quantization, ActivationFormat format,
                           Kernels* kernels)
    : quantization_(quantization), format_(format), kernels_(kernels) {
  MOE_CHECK(kernels != nullptr || quantization.at == QuantizedAt::nowhere,
            "a layer that quantises needs kernels");
  if (kernels != nullptr) scale_ = static_scale(quantization.recipe, quantization.scale, *kernels);
}

bool RowQuantizer::is_before_dispatch() const {
  return quantization_.at == QuantizedAt::before_dispatch ||
         quantization_.at == QuantizedAt::in_dispatch;
}

QuantSettings RowQuantizer::settings() const { return {.scale = scale_.tensor()}; }

QuantizedLayout RowQuantizer::linear_layout(Count rows, Count columns) const {
  return linear(quantization_, rows, columns);
}

RowQuantizer::Quantized RowQuantizer::quantized(const Tensor& rows) const {
  QuantizedRowsBuffers made = kernels_->quantize(rows, quantization_.recipe, settings());
  Quantized result{std::move(made.data), std::move(made.scales), has_scales_by_row()};
  if (result.has_scales_by_row && result.scales.tensor().rows != rows.rows) {
    const std::vector<std::int32_t> first(static_cast<std::size_t>(rows.rows), 0);
    const Buffer places =
        copy_of({const_cast<std::int32_t*>(first.data()), rows.rows, 1, DType::i32, {}},
                kernels_->memory());
    result.scales = kernels_->gather_rows(result.scales.tensor(), places.tensor());
  }
  return result;
}

bool RowQuantizer::has_scales_by_row() const { return moe::has_scales_by_row(linear_layout(1, 1)); }

Count RowQuantizer::data_columns(Count columns) const {
  return data_shape(linear_layout(1, columns)).columns;
}

Count RowQuantizer::scale_columns(Count columns) const {
  return linear_layout(1, columns).scales.columns;
}

void RowQuantizer::describe(const Tensor& scales, Count columns, Dispatched& dispatched) const {
  const Count rows = dispatched.hidden_states.rows;
  const bool is_global = recipe_row(quantization_.recipe).scale_rule == ScaleRule::times_global;
  dispatched.layout = linear_layout(rows, columns);
  const auto own_scale = [&] {
    return dispatched.handle.keep(copy_within(scale_.tensor(), kernels_->memory()));
  };
  if (is_global) dispatched.global_scale = own_scale();
  if (scales.columns > 0) {
    dispatched.scales = scales;
  } else {
    dispatched.scales = own_scale();
  }
  const QuantizedLayout wanted = expert_input_layout(quantization_, format_, rows, columns);
  if (wanted == dispatched.layout) return;
  dispatched.scales =
      dispatched.handle.keep(kernels_->relayout_scales(dispatched.quantized(), wanted.scales));
  dispatched.layout = wanted;
}

void RowQuantizer::quantize_dispatched(Dispatched& dispatched) const {
  const Count columns = dispatched.hidden_states.columns;
  Quantized made = quantized(dispatched.hidden_states);
  dispatched.hidden_states = dispatched.handle.keep(std::move(made.rows));
  describe(dispatched.handle.keep(std::move(made.scales)), columns, dispatched);
}

Buffer static_scale(QuantRecipe recipe, float scale, Kernels& kernels) {
  if (!needs_scale(recipe)) return {};
  return copy_of({&scale, 1, 1, DType::f32, {}}, kernels.memory());
}

QuantizedRows computable(QuantizedRows rows, const RowQuantization& quantization) {
  const Count columns = rows.layout.columns;
  const bool was_by_row = has_scales_by_row(rows.layout);
  rows.layout = quantized_layout(quantization.recipe, rows.data.rows, columns);
  if (was_by_row && !has_scales_by_row(rows.layout) && rows.scales.rows > 0) {
    rows.scales = rows_of(rows.scales, 0, 1);
  }
  return rows;
}

LinearRows linear_rows(const QuantizedRows& dispatched, Kernels& kernels) {
  LinearRows linear{dispatched, {}};
  if (dispatched.layout.scales.swizzle == ScaleSwizzle::none) return linear;
  ScaleLayout plain = dispatched.layout.scales;
  plain.swizzle = ScaleSwizzle::none;
  plain.padded_rows = plain.rows;
  plain.padded_columns = plain.columns;
  linear.scales = kernels.relayout_scales(dispatched, plain);
  linear.rows.scales = linear.scales.tensor();
  linear.rows.layout.scales = plain;
  return linear;
}

}  // namespace moe
