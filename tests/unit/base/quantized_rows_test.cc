// Layouts of quantised rows: where a scale lies, what a row costs, and that another layout is
// refused. Shapes and offsets are those of experts-and-oracles.md, 1.4, 8.4 and 18.

#include "kernels/base/quantized_rows.h"

#include <set>

#include "kernels/base/quant_recipe.h"
#include "tests/catch.h"

using namespace moe;

namespace {

QuantizedLayout layout_with(QuantRecipe recipe, Count rows, Count columns, ScaleSwizzle swizzle) {
  return quantized_layout(recipe, rows, columns, {.swizzle = swizzle});
}

std::vector<Count> scales_of(QuantRecipe recipe, Count rows, Count columns, Count parts = 1) {
  const ScaleLayout scales = quantized_layout(recipe, rows, columns, {.parts = parts}).scales;
  return {scales.rows, scales.columns};
}

// Every logical place has an offset of its own inside the padded extents.
bool is_injective(const ScaleLayout& layout) {
  std::set<Count> seen;
  for (Count row = 0; row < layout.rows; ++row) {
    for (Count column = 0; column < layout.columns; ++column) {
      const Count at = scale_offset(layout, row, column);
      if (at < 0 || at >= layout.padded_rows * layout.padded_columns) return false;
      if (!seen.insert(at).second) return false;
    }
  }
  return true;
}

}  // namespace

TEST_CASE("recipes: the table is in the enumeration's order and every name is one recipe's") {
  for (std::size_t i = 0; i < recipe_rows.size(); ++i) {
    CHECK(static_cast<std::size_t>(recipe_rows[i].recipe) == i);
    CHECK(recipe_named(recipe_rows[i].name) == recipe_rows[i].recipe);
  }
  CHECK_FALSE(recipe_named("fp8"));
  for (std::size_t i = 0; i < number_format_rows.size(); ++i) {
    CHECK(static_cast<std::size_t>(number_format_rows[i].format) == i);
  }
}

TEST_CASE("recipes: shapes of scales (experts-and-oracles.md, 1.4 and 2.4)") {
  using Extents = std::vector<Count>;
  CHECK(scales_of(QuantRecipe::fp8_static_tensor, 5, 300) == Extents{1, 1});
  CHECK(scales_of(QuantRecipe::fp8_static_tensor, 8, 300, 4) == Extents{4, 1});
  CHECK(scales_of(QuantRecipe::fp8_dynamic_token, 5, 300) == Extents{5, 1});
  CHECK(scales_of(QuantRecipe::fp8_block128, 5, 300) == Extents{5, 3});
  CHECK(scales_of(QuantRecipe::nvfp4, 5, 32) == Extents{5, 2});
  CHECK(scales_of(QuantRecipe::mxfp4_even, 5, 32) == Extents{5, 1});
  CHECK(scales_of(QuantRecipe::fp8_block128x128, 300, 200) == Extents{3, 2});
  CHECK(scales_of(QuantRecipe::fp8_block128x128, 400, 200, 2) == Extents{4, 2});
  CHECK(scales_of(QuantRecipe::fp8_channel, 6, 200, 2) == Extents{6, 1});
  CHECK(scales_of(QuantRecipe::fp8_dynamic_token, 0, 300) == Extents{0, 1});
}

TEST_CASE("recipes: bytes of a row on a wire") {
  const auto bytes = [](QuantRecipe recipe, Count columns) {
    const WireBytes wire = wire_bytes_per_row(recipe, columns, DType::bf16);
    return std::vector<Count>{wire.data, wire.scales};
  };
  using Bytes = std::vector<Count>;
  CHECK(bytes(QuantRecipe::none, 7168) == Bytes{14336, 0});
  CHECK(bytes(QuantRecipe::fp8_static_tensor, 7168) == Bytes{7168, 0});
  CHECK(bytes(QuantRecipe::fp8_dynamic_token, 7168) == Bytes{7168, 4});
  CHECK(bytes(QuantRecipe::fp8_block128, 7168) == Bytes{7168, 224});
  CHECK(bytes(QuantRecipe::nvfp4, 7168) == Bytes{3584, 448});
  CHECK(bytes(QuantRecipe::mxfp8, 7168) == Bytes{7168, 224});
  CHECK(bytes(QuantRecipe::mxfp4_ocp, 33) == Bytes{17, 2});
}

TEST_CASE("scale layouts: the swizzle's offsets with 8 scale columns (experts-and-oracles, 18)") {
  const ScaleLayout scales =
      layout_with(QuantRecipe::nvfp4, 256, 128, ScaleSwizzle::tiles_128x4).scales;
  REQUIRE(scales.columns == 8);
  CHECK(scale_offset(scales, 0, 0) == 0);
  CHECK(scale_offset(scales, 1, 0) == 16);
  CHECK(scale_offset(scales, 31, 3) == 499);
  CHECK(scale_offset(scales, 32, 0) == 4);
  CHECK(scale_offset(scales, 127, 7) == 1023);
  CHECK(scale_offset(scales, 128, 0) == 1024);
  CHECK(scale_offset(scales, 5, 6) == 594);
}

TEST_CASE("scale layouts: every place has an offset of its own, whatever the extents") {
  for (const Count rows : {1, 2, 31, 33, 129, 260}) {
    for (Count columns = 1; columns <= 9; ++columns) {
      CHECK(is_injective(
          layout_with(QuantRecipe::nvfp4, rows, columns * 16, ScaleSwizzle::tiles_128x4).scales));
      CHECK(is_injective(
          quantized_layout(QuantRecipe::fp8_block128_ue8m0_packed, rows, columns * 128).scales));
      CHECK(is_injective(
          quantized_layout(QuantRecipe::fp8_block128, rows, columns * 128,
                           {.orientation = ScaleOrientation::column_major, .row_alignment = 4})
              .scales));
    }
  }
}

TEST_CASE("scale layouts: column-major scales lie row by row, padded to 4 for TMA") {
  const QuantizedLayout layout =
      quantized_layout(QuantRecipe::fp8_block128, 5, 256,
                       {.orientation = ScaleOrientation::column_major, .row_alignment = 4});
  CHECK(scale_offset(layout.scales, 4, 0) == 4);
  CHECK(scale_offset(layout.scales, 4, 1) == 12);
  const Shape shape = scales_shape(layout.scales);
  CHECK(shape.rows == 2);
  CHECK(shape.columns == 8);
  CHECK_FALSE(has_scales_by_row(layout));
  CHECK(has_scales_by_row(quantized_layout(QuantRecipe::fp8_block128, 5, 256)));
  CHECK_FALSE(has_scales_by_row(quantized_layout(QuantRecipe::fp8_static_tensor, 5, 256)));
}

TEST_CASE("scale layouts: column-major scales of experts' rooms lie room by room") {
  QuantizedLayout layout = quantized_layout(QuantRecipe::fp8_block128_deepep, 8, 384);
  layout.scales.orientation = ScaleOrientation::column_major;
  CHECK(scale_offset(layout.scales, 5, 2) == 2 * 8 + 5);
  layout.scales.part_rows = 4;  // two rooms
  CHECK(scale_offset(layout.scales, 3, 2) == 2 * 4 + 3);
  CHECK(scale_offset(layout.scales, 5, 2) == 4 * 3 + 2 * 4 + 1);
  CHECK(is_injective(layout.scales));
  const Shape shape = scales_shape(layout.scales);
  CHECK(shape.rows == 6);
  CHECK(shape.columns == 4);
  CHECK_FALSE(has_scales_by_row(layout));
  CHECK_THAT(layout_text(layout), Catch::Contains("column-major in parts of 4 rows"));
  QuantizedLayout whole = layout;
  whole.scales.part_rows = 0;
  CHECK_FALSE(whole == layout);
}

TEST_CASE("scale layouts: packed exponents are words of four, column-major") {
  const ScaleLayout scales =
      quantized_layout(QuantRecipe::fp8_block128_ue8m0_packed, 5, 640).scales;
  CHECK(scales.padded_rows == 8);
  CHECK(scales.padded_columns == 8);
  CHECK(scale_offset(scales, 0, 3) == 3);
  CHECK(scale_offset(scales, 1, 0) == 4);
  CHECK(scale_offset(scales, 0, 4) == 32);
}

TEST_CASE("scale layouts: blocks do not cross the parts of a stack") {
  const QuantizedLayout layout =
      quantized_layout(QuantRecipe::fp8_block128x128, 400, 200, {.parts = 2});
  CHECK(scale_place(layout, 127, 0).row == 0);
  CHECK(scale_place(layout, 128, 0).row == 1);
  CHECK(scale_place(layout, 199, 199).column == 1);
  CHECK(scale_place(layout, 200, 0).row == 2);
  CHECK(scale_place(layout, 399, 0).row == 3);
}

TEST_CASE("quantised rows: another layout is refused, and the message says both") {
  const auto memory = make_host_memory(Poison::on);
  const QuantizedLayout linear = quantized_layout(QuantRecipe::nvfp4, 5, 64);
  const QuantizedLayout tiled = layout_with(QuantRecipe::nvfp4, 5, 64, ScaleSwizzle::tiles_128x4);
  const QuantizedRowsBuffers rows = empty_quantized_rows(*memory, linear);
  CHECK_NOTHROW(require_layout(rows.view(), linear));
  CHECK_THROWS_AS(require_layout(rows.view(), tiled), ContractError);
  CHECK_THROWS_WITH(require_layout(rows.view(), tiled),
                    Catch::Contains("come as [5, 64] e2m1, f8e4m3 scales [5, 4] for 1 x 16, "
                                    "row-major, a global scale; expected") &&
                        Catch::Contains("tiles of 128 x 4, padded to [128, 4]"));
  for (const QuantRecipe other : {QuantRecipe::mxfp4_even, QuantRecipe::mxfp8}) {
    CHECK_THROWS_AS(require_layout(rows.view(), quantized_layout(other, 5, 64)), ContractError);
  }
}

TEST_CASE("quantised rows: tensors that do not fit their layout are refused") {
  const auto memory = make_host_memory(Poison::on);
  const QuantizedLayout layout = quantized_layout(QuantRecipe::nvfp4, 5, 64);
  const QuantizedRowsBuffers buffers = empty_quantized_rows(*memory, layout);
  const QuantizedRows good = buffers.view();
  CHECK_NOTHROW(require_consistent(good));
  QuantizedRows bad = good;
  bad.scales.rows = 4;
  CHECK_THROWS_WITH(require_consistent(bad), Catch::Contains("scales are [4, 4] f8e4m3"));
  bad = good;
  bad.data.dtype = DType::f8e4m3;
  CHECK_THROWS_WITH(require_consistent(bad), Catch::Contains("data are [5, 32] f8e4m3"));
  bad = good;
  bad.global_scale = {};
  CHECK_THROWS_WITH(require_consistent(bad), Catch::Contains("global scales are"));
  bad = good;
  bad.zero_points = good.scales;
  CHECK_THROWS_WITH(require_consistent(bad), Catch::Contains("does not have"));
}
