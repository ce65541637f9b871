// Quantising by recipe: the numbers of experts-and-oracles.md, 18, what becomes of zeros,
// infinities and what is not a number (8.2 to 8.6), and what the doors refuse. That every code is
// right for all inputs is quantise_agreement_test.cc's, against the judge's own quantisers.

#include <cmath>
#include <limits>

#include "kernels/base/number_formats.h"
#include "kernels/kernels.h"
#include "kernels/packed_topk.h"
#include "tests/catch.h"
#include "tests/unit/kernels/host_rows.h"

using namespace moe;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
const double nan_value = std::nan("");

struct Host {
  std::unique_ptr<Memory> memory = make_host_memory(Poison::on);
  std::unique_ptr<Kernels> kernels = make_cpu_kernels(*memory);

  QuantizedRowsBuffers quantize(Shape shape, const std::vector<double>& values, QuantRecipe recipe,
                                const QuantSettings& settings = {}) {
    const Buffer rows = rows_with(*memory, shape, values);
    return kernels->quantize(rows.tensor(), recipe, settings);
  }

  // One bf16 row; given is its scale where the recipe wants one.
  QuantizedRowsBuffers row(const std::vector<double>& values, QuantRecipe recipe,
                           double given = 0) {
    const Buffer scale = rows_with(*memory, {1, 1, DType::f32}, {given});
    QuantSettings settings;
    if (given != 0) settings.scale = scale.tensor();
    return quantize({1, std::ssize(values), DType::bf16}, values, recipe, settings);
  }
};

std::vector<int> bytes_of_rows(const Tensor& tensor) {
  const auto* data = static_cast<const std::uint8_t*>(tensor.data);
  return {data, data + bytes_of(tensor)};
}

std::vector<double> data_of(const QuantizedRowsBuffers& rows) {
  return values_of(rows.data.tensor());
}
double scale_of(const QuantizedRowsBuffers& rows) { return values_of(rows.scales.tensor())[0]; }

// The exponent that an e8m0 recipe gives a block whose largest magnitude is amax.
int exponent_of(QuantRecipe recipe, double amax) {
  Host host;
  std::vector<double> block(32, 0.25);
  block[7] = -amax;
  const QuantizedRowsBuffers rows = host.quantize({1, 32, DType::f32}, block, recipe);
  return bytes_of_rows(rows.scales.tensor())[0] - 127;
}

std::vector<int> exponents(QuantRecipe recipe, const std::vector<double>& amaxes) {
  std::vector<int> all;
  for (const double amax : amaxes) all.push_back(exponent_of(recipe, amax));
  return all;
}

}  // namespace

TEST_CASE("quantize: fp8 group as experts-and-oracles.md, 18, has it") {
  Host host;
  const std::vector<double> values = {.001, .5, -1, 3, 7, -7.3};
  const auto group = host.row(values, QuantRecipe::fp8_block128);
  CHECK(scale_of(group) == Approx(.0163225438).epsilon(1e-8));
  CHECK(data_of(group) == std::vector<double>{.0625, 30, -60, 176, 416, -448});
  const auto power = host.row(values, QuantRecipe::fp8_block128_ue8m0);
  CHECK(scale_of(power) == 0x1p-5);
  CHECK(data_of(power) == std::vector<double>{.03125, 16, -32, 96, 224, -240});
  const auto packed = host.row(values, QuantRecipe::fp8_block128_ue8m0_packed);
  CHECK(data_of(packed) == data_of(power));
  CHECK(bytes_of_rows(packed.scales.tensor())[0] == 127 - 5);
}

TEST_CASE("quantize: nvfp4 block as experts-and-oracles.md, 18, has it, byte by byte") {
  Host host;
  const std::vector<double> values = {.1, -.2, .3,  -.4,  .5,  -.6,  .7,  -.8,
                                      .9, -1., 1.1, -1.2, 1.3, -1.4, 1.5, -1.6};
  const auto rows = host.row(values, QuantRecipe::nvfp4, 840);
  CHECK(bytes_of_rows(rows.scales.tensor()) == std::vector<int>{0x76});
  CHECK(bytes_of_rows(rows.data.tensor()) ==
        std::vector<int>{0xa1, 0xb2, 0xc4, 0xd5, 0xe5, 0xe6, 0xf6, 0xf7});
  CHECK(values_of(rows.global_scale.tensor()) == std::vector<double>{840});
  const Buffer back = host.kernels->dequantize(rows.view(), DType::f32);
  const std::vector<double> expected = {.13333,  -.26667, .26667, -.4,      .53333,  -.53333,
                                        .8,      -.8,     .8,     -1.06667, 1.06667, -1.06667,
                                        1.06667, -1.6,    1.6,    -1.6};
  const std::vector<double> actual = values_of(back.tensor());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(actual[i] == Approx(expected[i]).epsilon(1e-4));
  }
}

TEST_CASE("quantize: exponents of mxfp4 and mxfp8 as experts-and-oracles.md, 18, has them") {
  using Exponents = std::vector<int>;
  const std::vector<double> amaxes = {1, 3.9, 6, 7, 448};
  CHECK(exponents(QuantRecipe::mxfp4_cutlass, amaxes) == Exponents{-3, -1, 0, 0, 6});
  CHECK(exponents(QuantRecipe::mxfp4_ocp, amaxes) == Exponents{-2, -1, 0, 0, 6});
  CHECK(exponents(QuantRecipe::mxfp4_even, amaxes) == Exponents{-2, 0, 0, 1, 7});
  CHECK(exponents(QuantRecipe::mxfp8, {1, 6, 448, 500}) == Exponents{-8, -6, 0, 1});
  CHECK(exponents(QuantRecipe::mxfp8_torch, {1, 6, 448, 500}) == Exponents{0, 2, 8, 8});
}

TEST_CASE("quantize: a largest value that is not a number's magnitude is the others'") {
  Host host;
  const auto codes = [&](QuantRecipe recipe, double given = 0) {
    return bytes_of_rows(host.row({nan_value, 2, -1}, recipe, given).data.tensor());
  };
  using Bytes = std::vector<int>;
  CHECK(codes(QuantRecipe::fp8_dynamic_tensor) == Bytes{0x7E, 0x7E, 0xF6});
  CHECK(codes(QuantRecipe::fp8_dynamic_token) == Bytes{0x7E, 0x7E, 0xF6});
  CHECK(codes(QuantRecipe::fp8_static_tensor, 1) == Bytes{0x7E, 0x40, 0xB8});
  CHECK(codes(QuantRecipe::fp8_block128) == Bytes{0xFE, 0x7E, 0xF6});
  CHECK(codes(QuantRecipe::fp8_block128_triton) == Bytes{0xFE, 0x7E, 0xF6});
  CHECK(codes(QuantRecipe::fp8_block128_deepep) == Bytes{0x7F, 0x7E, 0xF6});
  CHECK(codes(QuantRecipe::int8_dynamic_token) == Bytes{0, 127, 192});
  CHECK(codes(QuantRecipe::int8_dynamic_token_op) == Bytes{0, 127, 192});
  CHECK(codes(QuantRecipe::mxfp4_ocp) == Bytes{0x67, 0x0C});
}

TEST_CASE("quantize: infinities") {
  Host host;
  const auto token = host.row({infinity, 2, -infinity}, QuantRecipe::fp8_dynamic_token);
  CHECK(bytes_of_rows(token.data.tensor()) == std::vector<int>{0x7E, 0, 0x7E});
  CHECK(scale_of(token) == infinity);
  const auto group = host.row({infinity, 2, -infinity}, QuantRecipe::fp8_block128);
  CHECK(bytes_of_rows(group.data.tensor()) == std::vector<int>{0xFE, 0, 0xFE});
  const auto cut = host.row({infinity, 2}, QuantRecipe::mxfp4_cutlass);
  CHECK(bytes_of_rows(cut.scales.tensor()) == std::vector<int>{255});
  const auto even = host.row({-infinity, 2}, QuantRecipe::mxfp4_even);
  CHECK(bytes_of_rows(even.scales.tensor()) == std::vector<int>{253});
  CHECK(bytes_of_rows(even.data.tensor()) == std::vector<int>{0x0F});
}

TEST_CASE("quantize: zeros have a floor, or the scale 0 and codes that give 0 all the same") {
  Host host;
  const auto zeros = [&](QuantRecipe recipe) { return host.row({0, -0.0, 0}, recipe); };
  const auto tensor = zeros(QuantRecipe::fp8_dynamic_tensor);
  CHECK(scale_of(tensor) == 0);
  CHECK(bytes_of_rows(tensor.data.tensor()) == std::vector<int>{0x7E, 0x7E, 0x7E});
  CHECK(values_of(host.kernels->dequantize(tensor.view(), DType::bf16).tensor()) ==
        std::vector<double>{0, 0, 0});
  const auto token = zeros(QuantRecipe::fp8_dynamic_token);
  CHECK(scale_of(token) == Approx(1.0 / (448 * 512)));
  CHECK(bytes_of_rows(token.data.tensor()) == std::vector<int>{0, 0x80, 0});
  CHECK(scale_of(zeros(QuantRecipe::fp8_block128)) == Approx(1e-10 / 448));
  CHECK(scale_of(zeros(QuantRecipe::fp8_block128_ue8m0)) == 0x1p-33);
  CHECK(scale_of(zeros(QuantRecipe::fp8_block128_deepep)) == Approx(1e-4 / 448));
  CHECK(scale_of(zeros(QuantRecipe::int8_dynamic_token)) == Approx(1e-10 / 127));
  CHECK(scale_of(zeros(QuantRecipe::int8_dynamic_token_op)) == 0);
  CHECK(scale_of(zeros(QuantRecipe::int8_channel)) == 0);
  for (const QuantRecipe recipe : {QuantRecipe::int8_dynamic_token_op, QuantRecipe::int8_channel}) {
    CHECK(data_of(zeros(recipe)) == std::vector<double>{0, 0, 0});
  }
}

TEST_CASE("quantize: an upper bound holds a token's scale down") {
  Host host;
  const auto bounded =
      host.quantize({1, 2, DType::f32}, {8, 2}, QuantRecipe::fp8_dynamic_token, {.scale_ub = 4.0F});
  CHECK(scale_of(bounded) == 4.0F / 448.0F);
  CHECK(data_of(bounded) == std::vector<double>{448, 224});
}

TEST_CASE("quantize: int8 halfway goes to the even number in the op, away from zero in Triton") {
  Host host;
  const std::vector<double> values = {127, 0.5, -0.5, 1.5, 2.5, -2.5};
  CHECK(data_of(host.row(values, QuantRecipe::int8_dynamic_token)) ==
        std::vector<double>{127, 1, -1, 2, 3, -3});
  CHECK(data_of(host.row(values, QuantRecipe::int8_dynamic_token_op)) ==
        std::vector<double>{127, 0, 0, 2, 2, -2});
  CHECK(data_of(host.row({1000, -1000, 5, 7}, QuantRecipe::int8_static_tensor, 2)) ==
        std::vector<double>{127, -128, 2, 4});
}

TEST_CASE("quantize: weights in int4, with a bias of 8 and with zero points") {
  Host host;
  const auto symmetric =
      host.quantize({1, 4, DType::f32}, {-16, 14, 1, 3}, QuantRecipe::int4_uint4b8, {});
  CHECK(scale_of(symmetric) == 2);
  CHECK(bytes_of_rows(symmetric.data.tensor()) == std::vector<int>{0xF0, 0xA8});
  const auto shifted =
      host.quantize({1, 3, DType::f32}, {-3, 12, 4}, QuantRecipe::int4_zero_point, {});
  CHECK(scale_of(shifted) == 1);
  CHECK(bytes_of_rows(shifted.zero_points.tensor()) == std::vector<int>{3});
  CHECK(bytes_of_rows(shifted.data.tensor()) == std::vector<int>{0xF0, 0x07});
  CHECK(values_of(host.kernels->dequantize(shifted.view(), DType::f32).tensor()) ==
        std::vector<double>{-3, 12, 4});
  QuantSettings groups;
  groups.layout.group_columns = 2;
  groups.layout.scale_dtype = DType::bf16;
  const auto grouped = host.quantize({2, 4, DType::f32}, {-8, 7, 0, 0, 254, 1, 6, 2},
                                     QuantRecipe::int8_uint8b128, groups);
  CHECK(values_of(grouped.scales.tensor()) == std::vector<double>{0.0625, 0, 2, 0.04736328125});
  CHECK(bytes_of_rows(grouped.data.tensor())[2] == 128);
}

TEST_CASE("quantize: the parts of a stack have their own scales and global scales") {
  Host host;
  QuantSettings parts;
  parts.layout.parts = 2;
  const auto tensor = host.quantize({4, 2, DType::f32}, {1, 2, 3, 4.48, 10, 20, 30, 44.8},
                                    QuantRecipe::fp8_dynamic_tensor, parts);
  CHECK(values_of(tensor.scales.tensor()) == std::vector<double>{4.48F / 448.0F, 44.8F / 448.0F});
  const auto block = host.quantize({4, 2, DType::f32}, {1, 2, 3, 4.48, 10, 20, 30, 44.8},
                                   QuantRecipe::fp8_block128x128, parts);
  CHECK(values_of(block.scales.tensor()) == values_of(tensor.scales.tensor()));
  const Buffer global = rows_with(*host.memory, {2, 1, DType::f32}, {1, 2});
  parts.scale = global.tensor();
  const auto four = host.quantize({2, 2, DType::f32}, {6, 3, 6, 3}, QuantRecipe::nvfp4, parts);
  CHECK(values_of(four.scales.tensor()) == std::vector<double>{1, 2});
  CHECK(values_of(host.kernels->dequantize(four.view(), DType::f32).tensor()) ==
        std::vector<double>{6, 3, 6, 3});
}

TEST_CASE("quantize: ROCm's e4m3 scales to 224 and stops there") {
  Host host;
  QuantSettings fnuz;
  fnuz.layout.fp8 = Fp8Kind::fnuz;
  const auto rows =
      host.quantize({1, 3, DType::f32}, {224, -1, 0}, QuantRecipe::fp8_dynamic_token, fnuz);
  CHECK(scale_of(rows) == 1);
  CHECK(bytes_of_rows(rows.data.tensor()) == std::vector<int>{0x7E, 0xC0, 0});
  const Buffer one = rows_with(*host.memory, {1, 1, DType::f32}, {1});
  fnuz.scale = one.tensor();
  const auto cut =
      host.quantize({1, 2, DType::f32}, {239, nan_value}, QuantRecipe::fp8_static_tensor, fnuz);
  CHECK(values_of(host.kernels->dequantize(cut.view(), DType::f32).tensor()) ==
        std::vector<double>{224, 224});
}

TEST_CASE("quantize: what a recipe does not take is refused by name") {
  Host host;
  const Buffer rows = rows_with(*host.memory, {2, 32, DType::bf16}, std::vector<double>(64, 1));
  const Buffer one = rows_with(*host.memory, {1, 1, DType::f32}, {1});
  const auto refusal = [&](QuantRecipe recipe, const QuantSettings& settings) {
    try {
      host.kernels->quantize(rows.tensor(), recipe, settings);
    } catch (const ContractError& error) {
      return std::string(error.what());
    }
    return std::string("taken");
  };
  using Catch::Contains;
  CHECK_THAT(refusal(QuantRecipe::none, {}), Contains("none makes no quantised rows"));
  CHECK_THAT(refusal(QuantRecipe::nvfp4, {}), Contains("nvfp4 needs scales"));
  CHECK_THAT(refusal(QuantRecipe::fp8_static_tensor, {}), Contains("needs scales"));
  CHECK_THAT(refusal(QuantRecipe::mxfp8, {.scale = one.tensor()}), Contains("makes its own"));
  CHECK_THAT(refusal(QuantRecipe::nvfp4, {.scale = one.tensor(), .layout = {.parts = 2}}),
             Contains("[2, 1] f32"));
  CHECK_THAT(refusal(QuantRecipe::mxfp8, {.scale_ub = 1.0F}), Contains("only fp8_dynamic_token"));
  CHECK_THAT(refusal(QuantRecipe::mxfp8, {.layout = {.parts = 3}}), Contains("in 3 parts"));
  CHECK_THAT(
      refusal(QuantRecipe::mxfp8, {.layout = {.orientation = ScaleOrientation::column_major}}),
      Contains("column-major"));
  CHECK_THAT(refusal(QuantRecipe::fp8_block128, {.layout = {.swizzle = ScaleSwizzle::tiles_128x4}}),
             Contains("have tiles"));
  CHECK_THAT(refusal(QuantRecipe::mxfp4_ocp, {.layout = {.fp8 = Fp8Kind::fnuz}}),
             Contains("e4m3fnuz for mxfp4_ocp"));
  CHECK_THAT(refusal(QuantRecipe::mxfp8, {.layout = {.group_columns = 16}}),
             Contains("which has its own"));
  CHECK(refusal(QuantRecipe::mxfp8, {}) == "taken");
}

TEST_CASE("relayout_scales: swizzled, column-major and packed scales come back as they were") {
  Host host;
  std::vector<double> values;
  for (int i = 0; i < 130 * 80; ++i) values.push_back(std::sin(i) * (1 + i % 97));
  const auto linear = host.quantize({130, 80, DType::bf16}, values, QuantRecipe::mxfp8);
  QuantSettings tiled;
  tiled.layout.swizzle = ScaleSwizzle::tiles_128x4;
  const auto direct = host.quantize({130, 80, DType::bf16}, values, QuantRecipe::mxfp8, tiled);
  Buffer swizzled = host.kernels->relayout_scales(linear.view(), direct.layout.scales);
  CHECK(swizzled.tensor().rows == 256);
  CHECK(bytes_of_rows(swizzled.tensor()) == bytes_of_rows(direct.scales.tensor()));
  CHECK(bytes_of_rows(host.kernels->dequantize(direct.view(), DType::bf16).tensor()) ==
        bytes_of_rows(host.kernels->dequantize(linear.view(), DType::bf16).tensor()));
  const Buffer back = host.kernels->relayout_scales(direct.view(), linear.layout.scales);
  CHECK(bytes_of_rows(back.tensor()) == bytes_of_rows(linear.scales.tensor()));
  const auto other = quantized_layout(QuantRecipe::mxfp8, 131, 80).scales;
  CHECK_THROWS_AS(host.kernels->relayout_scales(linear.view(), other), ContractError);
  ScaleLayout parts = linear.layout.scales;
  parts.part_rows = 65;
  CHECK_THROWS_AS(host.kernels->relayout_scales(linear.view(), parts), ContractError);
  parts.orientation = ScaleOrientation::column_major;
  CHECK(host.kernels->relayout_scales(linear.view(), parts).tensor().rows == 2 * 3);
  parts.part_rows = 64;
  CHECK_THROWS_AS(host.kernels->relayout_scales(linear.view(), parts), ContractError);
}

TEST_CASE("packed choices: id 5 with weight 0.3 as experts-and-oracles.md, 18, has it") {
  CHECK(packed_choice(5, 0.3F) == 0x00053E9A);
  CHECK(unpacked_choice(0x00053E9A).expert == 5);
  CHECK(unpacked_choice(0x00053E9A).topk_weight == 0.30078125F);
  CHECK(unpacked_choice(packed_choice(255, 1.0F)).expert == 255);
}
