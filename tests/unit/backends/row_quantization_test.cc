// The layouts in which experts get quantised rows: whoever made the scales decides how they lie.
// What a dispatch brings in them is for scenarios and their LAYOUT check.

#include "backends/row_quantization.h"

#include "backends/standard_experts.h"
#include "kernels/device_makers.h"
#include "tests/catch.h"

using namespace moe;

namespace {

ScaleLayout scales_of(const RowQuantization& quantization, ActivationFormat format) {
  return expert_input_layout(quantization, {format, 12, 256, 4}).scales;
}

}  // namespace

TEST_CASE("row quantisation: a library's own dispatch lays scales column by column in rooms") {
  const RowQuantization own{.recipe = QuantRecipe::fp8_block128_deepep,
                            .at = QuantizedAt::in_dispatch,
                            .scales_by_column_in_rooms = true};
  const ScaleLayout rooms = scales_of(own, ActivationFormat::batched_experts);
  CHECK(rooms.orientation == ScaleOrientation::column_major);
  CHECK(scale_offset(rooms, 5, 0) + 1 == scale_offset(rooms, 6, 0));  // token-major stride 1
  CHECK(scale_offset(rooms, 7, 1) == 4 * 2 + 4 + 3);                  // of the second room
  const ScaleLayout list = scales_of(own, ActivationFormat::standard);
  CHECK(list.orientation == ScaleOrientation::row_major);
}

TEST_CASE("row quantisation: vLLM's own quantisers lay scales row by row in rooms") {
  for (const QuantizedAt at : {QuantizedAt::before_dispatch, QuantizedAt::after_receipt}) {
    for (const QuantRecipe recipe : {QuantRecipe::fp8_block128, QuantRecipe::fp8_dynamic_token,
                                     QuantRecipe::nvfp4, QuantRecipe::mxfp4_cutlass}) {
      const ScaleLayout rooms = scales_of({recipe, at}, ActivationFormat::batched_experts);
      CHECK(rooms.orientation == ScaleOrientation::row_major);
      CHECK(rooms.swizzle == ScaleSwizzle::none);
    }
  }
  const ScaleLayout tiles =
      scales_of({QuantRecipe::nvfp4, QuantizedAt::after_receipt}, ActivationFormat::standard);
  CHECK(tiles.swizzle == ScaleSwizzle::tiles_128x4);
}

TEST_CASE("row quantisation: rows are counted where a scale is of all of them, and only there") {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = device_maker(DeviceKind::cpu).make_kernels(*memory);
  const auto grouped = [&](QuantRecipe before, QuantRecipe between) {
    const ExpertsConfig config{
        .kernels = *kernels,
        .expert_map = {0, 1},
        .num_local_experts = 2,
        .quantization = {before, QuantizedAt::before_dispatch},
        .own_quantization = {.weights = QuantRecipe::fp8_channel, .between = between}};
    const auto zeros = [&](Count rows, Count columns) {
      Buffer weights(*memory, {rows, columns, DType::bf16});
      memory->fill(weights.tensor(), 0);
      return weights;
    };
    return GroupedExperts(config, GemmWeights{.w13 = zeros(2 * 64, 128), .w2 = zeros(2 * 128, 32)})
        .grouped_rows();
  };
  using Q = QuantRecipe;
  CHECK(grouped(Q::fp8_dynamic_token, Q::fp8_dynamic_token) == GroupedRows::bounded);
  CHECK(grouped(Q::fp8_static_tensor, Q::fp8_static_tensor) == GroupedRows::bounded);
  CHECK(grouped(Q::none, Q::none) == GroupedRows::bounded);
  CHECK(grouped(Q::fp8_dynamic_tensor, Q::fp8_dynamic_token) == GroupedRows::counted);
  CHECK(grouped(Q::fp8_dynamic_token, Q::fp8_dynamic_tensor) == GroupedRows::counted);
}
