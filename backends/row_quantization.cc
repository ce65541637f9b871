// Which side of the dispatch quantises is asked here and nowhere else; a backend calls quantized()
// before it sends or after it received.

#include "backends/row_quantization.h"

#include <utility>
#include <vector>

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

QuantizedLayout linear(const RowQuantization& quantization, Count rows, Count columns) {
  QuantizedLayout layout = quantized_layout(quantization.recipe, rows, columns);
  if (quantization.static_scale_by_row &&
      recipe_row(quantization.recipe).scale_rule == ScaleRule::given) {
    give_each_row_its_scale(layout);
  }
  return layout;
}

// Of one expert; where rows are a list it means nothing.
Count room_rows_of(const Dispatched& dispatched) {
  const Count num_rooms = dispatched.expert_num_tokens.rows;
  return num_rooms == 0 ? 0 : dispatched.hidden_states.rows / num_rooms;
}

}  // namespace

QuantizedLayout expert_input_layout(const RowQuantization& quantization, const ExpertRows& rows) {
  const bool is_list = rows.format == ActivationFormat::standard;
  if (is_list && quantization.recipe == QuantRecipe::nvfp4) {
    return quantized_layout(quantization.recipe, rows.rows, rows.columns,
                            {.swizzle = ScaleSwizzle::tiles_128x4});
  }
  QuantizedLayout layout = linear(quantization, rows.rows, rows.columns);
  if (!is_list && quantization.scales_by_column_in_rooms && rows.room_rows > 0) {
    layout.scales.orientation = ScaleOrientation::column_major;
    layout.scales.part_rows = rows.room_rows;
  }
  return layout;
}

RowQuantizer::RowQuantizer(const RowQuantization& quantization, ActivationFormat format,
                           Kernels* kernels)
    : quantization_(quantization), format_(format), kernels_(kernels) {
  MOE_CHECK(kernels != nullptr || quantization.at == QuantizedAt::nowhere,
            "a layer that quantises needs kernels");
  if (kernels != nullptr) scale_ = static_scale(quantization.recipe, quantization.scale, *kernels);
}

QuantizedLayout RowQuantizer::linear_layout(Count rows, Count columns) const {
  return linear(quantization_, rows, columns);
}

RowQuantizer::Quantized RowQuantizer::quantized(const Tensor& rows) const {
  QuantizedRowsBuffers made =
      kernels_->quantize(rows, quantization_.recipe, {.scale = scale_.tensor()});
  Quantized result{std::move(made.data), std::move(made.scales)};
  if (has_scales_by_row() && result.scales.tensor().rows != rows.rows) {
    std::vector<std::int32_t> first(static_cast<std::size_t>(rows.rows), 0);
    const Buffer places = copy_of({first.data(), rows.rows, 1, DType::i32, {}}, kernels_->memory());
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
  if (!is_quantizing()) return;
  const Count rows = dispatched.hidden_states.rows;
  dispatched.layout = linear_layout(rows, columns);
  if (dispatched.layout.has_global_scale) dispatched.global_scale = scale_.tensor();
  dispatched.scales = scales.columns > 0 ? scales : scale_.tensor();
  const QuantizedLayout wanted =
      expert_input_layout(quantization_, {format_, rows, columns, room_rows_of(dispatched)});
  if (wanted == dispatched.layout) return;
  dispatched.scales =
      dispatched.handle.keep(kernels_->relayout_scales(dispatched.quantized(), wanted.scales));
  dispatched.layout = wanted;
}

void RowQuantizer::quantize_dispatched(Dispatched& dispatched) const {
  if (!is_quantizing()) return;
  const Count columns = dispatched.hidden_states.columns;
  Quantized made = quantized(dispatched.hidden_states);
  dispatched.hidden_states = dispatched.handle.keep(std::move(made.rows));
  describe(dispatched.handle.keep(std::move(made.scales)), columns, dispatched);
}

Buffer static_scale(QuantRecipe recipe, float scale, Kernels& kernels) {
  if (!needs_scale(recipe)) return {};
  return copy_of({&scale, 1, 1, DType::f32, {}}, kernels.memory());
}

RegroupedRows regrouped(const Dispatched& dispatched, const RowQuantization& quantization,
                        ActivationFormat format, Kernels& kernels,
                        const std::function<Buffer(const Tensor& rows)>& regroup) {
  const Count columns = dispatched.columns();
  QuantizedRows given = dispatched.quantized();
  const Count room_rows = room_rows_of(dispatched);
  require_layout(given,
                 expert_input_layout(quantization, {format, given.data.rows, columns, room_rows}));
  Buffer plain;
  const QuantizedLayout wanted = linear(quantization, given.data.rows, columns);
  if (given.layout != wanted) {
    plain = kernels.relayout_scales(given, wanted.scales);
    given.scales = plain.tensor();
    given.layout = wanted;
  }
  const bool by_row = has_scales_by_row(given.layout);
  RegroupedRows rows{regroup(given.data), by_row ? regroup(given.scales) : Buffer(), given};
  rows.view.data = rows.codes.tensor();
  rows.view.layout = quantized_layout(quantization.recipe, rows.view.data.rows, columns);
  if (by_row) rows.view.scales = rows.scales.tensor();
  if (by_row && !has_scales_by_row(rows.view.layout) && rows.view.scales.rows > 0) {
    rows.view.scales = rows_of(rows.view.scales, 0, 1);
  }
  return rows;
}

}  // namespace moe
