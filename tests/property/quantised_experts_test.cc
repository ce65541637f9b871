// Quantised experts of real worlds: the kernels' outputs are within the bounds that the judge
// derives from its own quantisers, in every scheme; zeros, halves that are swapped and another
// expert are not.

#include <cmath>

#include "golden/oracle.h"
#include "golden/real_experts.h"
#include "kernels/base/bits.h"
#include "kernels/base/mix.h"
#include "kernels/base/text.h"
#include "kernels/kernels.h"
#include "kernels/weight_layouts.h"
#include "tests/catch.h"

using namespace moe;

namespace {

constexpr Count hidden = 160;
constexpr Count intermediate = 96;
constexpr Count num_experts = 2;
constexpr Count num_rows = 6;  // the first half is expert 0's
constexpr DType dtype = DType::bf16;

struct Scheme {
  QuantRecipe weights;
  QuantRecipe activations;
};

const std::vector<Scheme> schemes = {
    {QuantRecipe::fp8_dynamic_tensor, QuantRecipe::fp8_static_tensor},
    {QuantRecipe::fp8_channel, QuantRecipe::fp8_dynamic_token},
    {QuantRecipe::fp8_block128x128, QuantRecipe::fp8_block128},
    {QuantRecipe::fp8_block128x128, QuantRecipe::fp8_block128_triton},
    {QuantRecipe::fp8_block128x128, QuantRecipe::fp8_block128_ue8m0},
    {QuantRecipe::fp8_block128x128, QuantRecipe::fp8_block128_ue8m0_packed},
    {QuantRecipe::fp8_block128x128, QuantRecipe::fp8_block128_deepep},
    {QuantRecipe::fp8_block128x128, QuantRecipe::none},
    {QuantRecipe::int8_channel, QuantRecipe::int8_dynamic_token},
    {QuantRecipe::int8_channel, QuantRecipe::int8_dynamic_token_op},
    {QuantRecipe::int8_channel, QuantRecipe::none},
    {QuantRecipe::int4_uint4b8, QuantRecipe::none},
    {QuantRecipe::int4_zero_point, QuantRecipe::none},
    {QuantRecipe::int8_uint8b128, QuantRecipe::none},
    {QuantRecipe::nvfp4, QuantRecipe::nvfp4},
    {QuantRecipe::nvfp4, QuantRecipe::none},
    {QuantRecipe::mxfp4_cutlass, QuantRecipe::mxfp4_cutlass},
    {QuantRecipe::mxfp4_even, QuantRecipe::mxfp4_even},
    {QuantRecipe::mxfp4_ocp, QuantRecipe::mxfp4_ocp},
    {QuantRecipe::mxfp4_even, QuantRecipe::none},
    {QuantRecipe::mxfp4_even, QuantRecipe::mxfp8},
    {QuantRecipe::mxfp8, QuantRecipe::mxfp8},
    {QuantRecipe::mxfp8_torch, QuantRecipe::mxfp8_torch},
};

// The given scale of a1, or of a2: another, so that one in the other's place is seen.
enum class Side { a1, a2 };
float given_of(QuantRecipe recipe, Side side) {
  if (recipe == QuantRecipe::fp8_static_tensor) return side == Side::a1 ? 0.0137F : 0.0061F;
  if (recipe == QuantRecipe::nvfp4) return side == Side::a1 ? 390.0F : 2100.0F;
  return 0;
}

std::string_view name_or_none(QuantRecipe recipe) {
  return recipe == QuantRecipe::none ? "" : recipe_row(recipe).name;
}

golden::OracleModel model_of(const Scheme& scheme, Activation activation) {
  const std::string_view a = name_or_none(scheme.activations);
  return {.kernel = golden::ExpertKernel::real,
          .seed = 9,
          .num_experts = static_cast<int>(num_experts),
          .hidden_size = hidden,
          .intermediate_size = intermediate,
          .dtype = dtype,
          .activation = activation,
          .has_bias = true,
          .quantisation = {.weights = recipe_row(scheme.weights).name,
                           .a1 = a,
                           .a2 = a,
                           .a1_given = given_of(scheme.activations, Side::a1),
                           .a2_given = given_of(scheme.activations, Side::a2)}};
}

class World {
 public:
  World(const Scheme& scheme, Activation activation,
        ActivationRounding rounding = ActivationRounding::each)
      : model_(model_of(scheme, activation)), scheme_(scheme) {
    model_.quantisation.rounding = rounding;
    for (Count i = 0; i < num_rows * hidden; ++i) {
      rows_.push_back(to_bfloat16(
          static_cast<float>(static_cast<double>(centred(mix(9, 1, i))) / centred_deviation)));
    }
  }

  enum class Defect { none, swapped_halves, other_expert };

  // The kernels' outputs from the judge's plain weights.
  std::vector<double> outputs(Defect defect = Defect::none) {
    golden::OracleModel plain = model_;
    plain.quantisation = {};
    std::vector<std::byte> w13, w2, w13_bias, w2_bias;
    for (int expert = 0; expert < num_experts; ++expert) {
      const int from = defect == Defect::other_expert ? 1 - expert : expert;
      const golden::RealExpert made = golden::real_expert(plain, 0, from);
      w13.insert(w13.end(), made.w13.begin(), made.w13.end());
      w2.insert(w2.end(), made.w2.begin(), made.w2.end());
      w13_bias.insert(w13_bias.end(), made.w13_bias.begin(), made.w13_bias.end());
      w2_bias.insert(w2_bias.end(), made.w2_bias.begin(), made.w2_bias.end());
    }
    const Count w13_rows = intermediate * w13_rows_each(model_.activation);
    Buffer first_weights = buffer(w13, num_experts * w13_rows, hidden);
    if (defect == Defect::swapped_halves) {
      first_weights =
          reorder_rows(*memory_, first_weights.tensor(), num_experts, swapped_halves(w13_rows));
    }
    const auto experts = kernels_->quantized_experts(
        {.w13 = quantised(first_weights.tensor(), parts_each(), num_experts),
         .w2 = quantised(buffer(w2, num_experts * hidden, intermediate).tensor(), 1, num_experts),
         .w13_bias = buffer(w13_bias, num_experts, w13_rows),
         .w2_bias = buffer(w2_bias, num_experts, hidden),
         .activation = model_.activation,
         .rounding = model_.quantisation.rounding,
         .row_type = dtype,
         .a1 = activations(Side::a1),
         .a2 = activations(Side::a2)},
        num_experts);
    Buffer first(*memory_, {num_experts + 1, 1, DType::i32});
    const auto starts = elements_of<std::int32_t>(first.tensor());
    for (std::size_t i = 0; i < starts.size(); ++i) starts[i] = static_cast<std::int32_t>(i * 3);
    const Buffer out = experts->apply({rows_.data(), num_rows, hidden, dtype, {}}, first.tensor());
    std::vector<double> values;
    for (const BFloat16 value : elements_of<BFloat16>(out.tensor())) {
      values.push_back(static_cast<double>(to_float(value)));
    }
    return values;
  }

  // How many of the judge's weights are not what the kernels' codes stand for. Plain rows and
  // groups with 16-bit scales: in the rows' type.
  int differing_weights() {
    golden::OracleModel plain = model_;
    plain.quantisation = {};
    int differing = 0;
    const bool is_rounded = scheme_.activations == QuantRecipe::none &&
                            size_of(recipe_row(scheme_.weights).scale_dtype) == 2;
    for (int expert = 0; expert < num_experts; ++expert) {
      const golden::RealExpert given = golden::real_expert(plain, 0, expert);
      const golden::RealExpert judged = golden::real_expert(model_, 0, expert);
      const Buffer w13 = buffer(given.w13, std::ssize(given.w13) / (2 * hidden), hidden);
      const Buffer w2 = buffer(given.w2, hidden, intermediate);
      for (const bool is_first : {true, false}) {
        const auto codes =
            is_first ? quantised(w13.tensor(), parts_each(), 1) : quantised(w2.tensor(), 1, 1);
        const Buffer ours =
            kernels_->dequantize(codes.view(), is_rounded ? DType::bf16 : DType::f32);
        const std::vector<std::byte>& theirs = is_first ? judged.w13 : judged.w2;
        const Tensor& numbers = ours.tensor();
        for (Count i = 0; i < numbers.rows * numbers.columns; ++i) {
          const double our = element_as_double(
              static_cast<const std::byte*>(numbers.data) + i * size_of(numbers.dtype),
              numbers.dtype);
          const double their = element_as_double(theirs.data() + i * 8, DType::f64);
          differing += std::abs(our - their) <= std::abs(their) * 0x1p-22 ? 0 : 1;
        }
      }
    }
    return differing;
  }

  golden::ExpertOutput expected() const {
    golden::ExpertOutput all;
    for (int expert = 0; expert < num_experts; ++expert) {
      std::vector<double> rows;
      for (Count i = 0; i < 3 * hidden; ++i) {
        rows.push_back(static_cast<double>(
            to_float(rows_[static_cast<std::size_t>(expert * 3 * hidden + i)])));
      }
      const auto output = golden::expert_output(golden::real_expert(model_, 0, expert),
                                                model_.activation, golden::Parts::whole, {rows});
      all.values.insert(all.values.end(), output.values.begin(), output.values.end());
      all.errors.insert(all.errors.end(), output.errors.begin(), output.errors.end());
    }
    return all;
  }

 private:
  Buffer buffer(const std::vector<std::byte>& bytes, Count rows, Count columns) {
    Buffer made(*memory_, {rows, columns, dtype});
    REQUIRE(bytes_of(made.tensor()) == std::ssize(bytes));
    std::ranges::copy(bytes, static_cast<std::byte*>(made.tensor().data));
    return made;
  }

  // Halves of w13 share no block.
  Count parts_each() const {
    return scheme_.weights == QuantRecipe::fp8_block128x128 &&
                   activation_row(model_.activation).gate == GateLayout::halves
               ? 2
               : 1;
  }

  QuantizedRowsBuffers quantised(const Tensor& weights, Count parts, Count experts) {
    Buffer scale;
    if (scheme_.weights == QuantRecipe::nvfp4) {
      scale = Buffer(*memory_, {experts, 1, DType::f32});
      for (Count expert = 0; expert < experts; ++expert) {
        const Count rows = weights.rows / experts;
        float most = 0;
        for (const BFloat16 value : elements_of<BFloat16>(rows_of(weights, expert * rows, rows))) {
          most = std::max(most, std::abs(to_float(value)));
        }
        elements_of<float>(scale.tensor())[static_cast<std::size_t>(expert)] = 2688.0F / most;
      }
    }
    return kernels_->quantize(weights, scheme_.weights,
                              {.scale = scale.tensor(), .layout = {.parts = experts * parts}});
  }

  ActivationQuantization activations(Side side) {
    ActivationQuantization how{.recipe = scheme_.activations};
    const float given = given_of(scheme_.activations, side);
    if (given == 0) return how;
    how.scale = Buffer(*memory_, {1, 1, DType::f32});
    elements_of<float>(how.scale.tensor())[0] = given;
    return how;
  }

  std::unique_ptr<Memory> memory_ = make_host_memory(Poison::on);
  std::unique_ptr<Kernels> kernels_ = make_cpu_kernels(*memory_);
  golden::OracleModel model_;
  Scheme scheme_;
  std::vector<BFloat16> rows_;
};

// The largest share of its bound that an output uses, and how many are outside.
struct Held {
  double share = 0;
  int outside = 0;
};

Held held(const golden::ExpertOutput& expected, const std::vector<double>& outputs) {
  Held result;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const double share = std::abs(outputs[i] - expected.values[i]) / expected.errors[i];
    result.share = std::max(result.share, share);
    result.outside += share <= 1 ? 0 : 1;
  }
  return result;
}

std::string scheme_text(const Scheme& scheme) {
  return text(recipe_row(scheme.weights).name, " x ", recipe_row(scheme.activations).name);
}

}  // namespace

TEST_CASE("quantised experts: the judge's weights are what the kernels' codes stand for") {
  for (const Scheme& scheme : schemes) {
    INFO(scheme_text(scheme));
    CHECK(World(scheme, Activation::silu).differing_weights() == 0);
    CHECK(World(scheme, Activation::relu2_no_mul).differing_weights() == 0);
  }
}

TEST_CASE("quantised experts: outputs are within the judge's bounds in every scheme") {
  for (const Scheme& scheme : schemes) {
    INFO(scheme_text(scheme));
    World world(scheme, Activation::silu);
    const Held result = held(world.expected(), world.outputs());
    CHECK(result.outside == 0);
    CHECK(result.share > 0.001);
  }
}

TEST_CASE("quantised experts: and with every activation") {
  for (const ActivationRow& row : activation_rows) {
    for (const std::size_t scheme : {2, 11, 14}) {
      INFO(row.name << ", " << scheme_text(schemes[scheme]));
      World world(schemes[scheme], row.activation);
      CHECK(held(world.expected(), world.outputs()).outside == 0);
    }
  }
}

namespace {

double sum_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

// Outputs within bounds that are narrower than with all roundings, but where there was one only.
void check_rounding(const Scheme& scheme, const ActivationRow& row, ActivationRounding rounding) {
  INFO(row.name << ", " << scheme_text(scheme));
  World plain(scheme, row.activation);
  World world(scheme, row.activation, rounding);
  const golden::ExpertOutput expected = world.expected();
  CHECK(held(expected, world.outputs()).outside == 0);
  const bool is_same = rounding == ActivationRounding::once && row.gate != GateLayout::halves;
  const double bounds = sum_of(expected.errors);
  const double wider = sum_of(plain.expected().errors);
  CHECK((is_same ? bounds == wider : bounds < wider));
}

}  // namespace

TEST_CASE("quantised experts: and where roundings before the codes are left out") {
  for (const std::size_t scheme : {2, 14, 21}) {
    for (const ActivationRow& row : activation_rows) {
      check_rounding(schemes[scheme], row, ActivationRounding::once);
      check_rounding(schemes[scheme], row, ActivationRounding::never);
    }
    World once(schemes[scheme], Activation::silu, ActivationRounding::once);
    World never(schemes[scheme], Activation::silu, ActivationRounding::never);
    const auto each = World(schemes[scheme], Activation::silu).outputs();
    CHECK(once.outputs() != each);
    CHECK(never.outputs() != each);
    CHECK(never.outputs() != once.outputs());
  }
}

// 200 of 960 elements at least; rows of four bits have bounds nearly as wide as values are.
TEST_CASE("quantised experts: zeros, swapped halves and another expert are refused") {
  for (const Scheme& scheme : schemes) {
    INFO(scheme_text(scheme));
    World world(scheme, Activation::silu);
    const bool has_four_bits = recipe_row(scheme.activations).format == NumberFormat::e2m1;
    const int least = has_four_bits ? 1 : 200;
    const golden::ExpertOutput expected = world.expected();
    const auto outside = [&](const std::vector<double>& outputs) {
      return held(expected, outputs).outside;
    };
    CHECK(outside(std::vector<double>(expected.values.size())) >= least);
    CHECK(outside(world.outputs(World::Defect::swapped_halves)) >= least);
    CHECK(outside(world.outputs(World::Defect::other_expert)) >= least);
  }
}
