// Cuts weights of whole experts. Columns are cut row by row, since a Tensor never strides.
// A new kind of weights gets its own shard_of here.

#include "backends/placement/tensor_shard.h"

#include <algorithm>
#include <vector>

#include "kernels/base/text.h"

namespace moe {
namespace {

Count begin_of(Count whole, int shard, int size) { return whole * shard / size; }

void check_divides(Count whole, TensorShard shard, std::string_view what) {
  MOE_CHECK(whole % shard.size == 0,
            text(what, " of ", whole, " does not divide by ", shard.size, " shards"));
}

// Signs are cut on the host: they are few, and loaded once.
ExpertWeights shard_of(ProbeWeights weights, TensorShard shard, Memory& memory) {
  const Tensor& signs = weights.signs.tensor();
  const auto begin = begin_of(signs.columns, shard.rank, shard.size);
  const auto end = begin_of(signs.columns, shard.rank + 1, shard.size);
  std::vector<std::int8_t> values(static_cast<std::size_t>(bytes_of(signs)));
  const Tensor on_host = {values.data(), signs.rows, signs.columns, signs.dtype, {}};
  memory.copy_to_host(signs, on_host);
  for (auto row = values.begin(); row != values.end(); row += signs.columns) {
    std::fill(row, row + begin, std::int8_t{0});
    std::fill(row + end, row + signs.columns, std::int8_t{0});
  }
  memory.copy_from_host(on_host, signs);
  return weights;
}

// Blocks of W13's rows that are cut each by itself.
Count num_row_blocks(Activation activation, Count num_experts) {
  return num_experts * (activation_row(activation).gate == GateLayout::halves ? 2 : 1);
}

// Biases [num_experts, columns]: that of the first product is cut as its rows are.
Buffer first_bias_shard(const Tensor& bias, Count num_blocks, TensorShard shard, Memory& memory) {
  if (bias.columns == 0) return {};
  const Tensor each = {bias.data, bias.rows * bias.columns, 1, bias.dtype, bias.device};
  const Buffer cut = row_shard(each, num_blocks, shard, memory);
  Buffer part(memory, {bias.rows, bias.columns / shard.size, bias.dtype});
  memory.copy(cut.tensor(), {part.tensor().data, cut.tensor().rows, 1, bias.dtype, bias.device});
  return part;
}

// That of the second is added by one shard.
Buffer second_bias_shard(Buffer bias, TensorShard shard, Memory& memory) {
  if (bias.tensor().columns > 0 && shard.rank > 0) memory.fill(bias.tensor(), 0);
  return bias;
}

ExpertWeights shard_of(GemmWeights whole, TensorShard shard, Memory& memory) {
  const Count num_experts = whole.w2.tensor().rows / whole.w13.tensor().columns;
  const Count num_blocks = num_row_blocks(whole.activation, num_experts);
  return GemmWeights{
      .w13 = row_shard(whole.w13.tensor(), num_blocks, shard, memory),
      .w2 = column_shard(whole.w2.tensor(), shard, memory),
      .w13_bias = first_bias_shard(whole.w13_bias.tensor(), num_blocks, shard, memory),
      .w2_bias = second_bias_shard(std::move(whole.w2_bias), shard, memory),
      .activation = whole.activation};
}

void check_layout(const QuantizedRowsBuffers& part, QuantRecipe recipe, Count parts) {
  const QuantizedLayout& layout = part.layout;
  MOE_CHECK(layout == quantized_layout(recipe, layout.rows, layout.columns, {.parts = parts}),
            "codes of experts in " + layout_text(layout));
}

// Rows of codes; scales that all rows of a part share stay.
QuantizedRowsBuffers row_shard(QuantizedRowsBuffers whole, QuantRecipe recipe, Count num_blocks,
                               TensorShard shard, Memory& memory) {
  const QuantizedLayout layout = whole.layout;
  check_layout(whole, recipe, layout.parts);
  whole.data = row_shard(whole.data.tensor(), num_blocks, shard, memory);
  if (layout.scales.group_rows != 0) {
    whole.scales = row_shard(whole.scales.tensor(), num_blocks, shard, memory);
  }
  if (layout.has_zero_points) {
    whole.zero_points = row_shard(whole.zero_points.tensor(), num_blocks, shard, memory);
  }
  whole.layout =
      quantized_layout(recipe, layout.rows / shard.size, layout.columns, {.parts = layout.parts});
  require_consistent(whole.view());
  return whole;
}

// Columns of codes; a scale that all columns of a row share stays.
QuantizedRowsBuffers column_shard(QuantizedRowsBuffers whole, QuantRecipe recipe, TensorShard shard,
                                  Memory& memory) {
  const QuantizedLayout layout = whole.layout;
  check_layout(whole, recipe, layout.parts);
  whole.data = column_shard(whole.data.tensor(), shard, memory);
  if (layout.scales.group_columns != 0) {
    whole.scales = column_shard(whole.scales.tensor(), shard, memory);
  }
  if (layout.has_zero_points) {
    whole.zero_points = column_shard(whole.zero_points.tensor(), shard, memory);
  }
  whole.layout =
      quantized_layout(recipe, layout.rows, layout.columns / shard.size, {.parts = layout.parts});
  require_consistent(whole.view());
  return whole;
}

}  // namespace

ExpertWeights shard_of(ExpertWeights weights, TensorShard shard, Memory& memory) {
  if (shard.size == 1) return weights;
  return std::visit([&](auto&& whole) { return shard_of(std::move(whole), shard, memory); },
                    std::move(weights));
}

QuantizedGemmWeights shard_of(QuantizedGemmWeights whole, QuantRecipe recipe, TensorShard shard,
                              Memory& memory) {
  if (shard.size == 1) return whole;
  const Count num_experts = whole.w2.layout.rows / whole.w13.layout.columns;
  const Count num_blocks = num_row_blocks(whole.activation, num_experts);
  const Count width = whole.w2.layout.columns / shard.size;
  const Count cut = cut_group_of(recipe, width);
  MOE_CHECK(cut == 0, text("parts of ", width, " cut groups of ", cut));
  whole.w13 = row_shard(std::move(whole.w13), recipe, num_blocks, shard, memory);
  whole.w2 = column_shard(std::move(whole.w2), recipe, shard, memory);
  whole.w13_bias = first_bias_shard(whole.w13_bias.tensor(), num_blocks, shard, memory);
  whole.w2_bias = second_bias_shard(std::move(whole.w2_bias), shard, memory);
  return whole;
}

Count cut_group_of(QuantRecipe recipe, Count part_width) {
  const RecipeRow& row = recipe_row(recipe);
  for (const Count group : {row.group_rows, row.group_columns}) {
    if (group > 0 && part_width % group != 0) return group;
  }
  return 0;
}

Buffer row_shard(const Tensor& rows, Count num_blocks, TensorShard shard, Memory& memory) {
  const Count each = num_blocks == 0 ? 0 : rows.rows / num_blocks;
  check_divides(each, shard, "an inner width");
  const Count kept = each / shard.size;
  Buffer part(memory, {num_blocks * kept, rows.columns, rows.dtype});
  for (Count block = 0; block < num_blocks; ++block) {
    memory.copy(rows_of(rows, block * each + shard.rank * kept, kept),
                rows_of(part.tensor(), block * kept, kept));
  }
  return part;
}

Buffer column_shard(const Tensor& rows, TensorShard shard, Memory& memory) {
  check_divides(rows.columns, shard, "an inner width");
  const Count kept = rows.columns / shard.size;
  Buffer part(memory, {rows.rows, kept, rows.dtype});
  for (Count row = 0; row < rows.rows; ++row) {
    const Tensor whole = rows_of(rows, row, 1);
    const Tensor from = {row_at(whole, 0) + shard.rank * kept * size_of(rows.dtype), 1, kept,
                         rows.dtype, rows.device};
    memory.copy(from, rows_of(part.tensor(), row, 1));
  }
  return part;
}

}  // namespace moe
