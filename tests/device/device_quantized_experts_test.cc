// Experts with quantised weights on a device beside the host, in every scheme: the same bytes,
// since both add in one order. gelu is left out: each side has an erf of its own.

#include "tests/device/both_sides.h"

using namespace moe;

namespace {

using Q = QuantRecipe;

struct Scheme {
  QuantRecipe weights;
  QuantRecipe activations;
};

constexpr std::array<Scheme, 17> schemes = {{
    {Q::fp8_dynamic_tensor, Q::fp8_static_tensor},
    {Q::fp8_dynamic_tensor, Q::fp8_dynamic_tensor},
    {Q::fp8_channel, Q::fp8_dynamic_token},
    {Q::fp8_channel, Q::none},
    {Q::fp8_block128x128, Q::fp8_block128},
    {Q::fp8_block128x128, Q::fp8_block128_ue8m0},
    {Q::fp8_block128x128, Q::fp8_block128_deepep},
    {Q::fp8_block128x128, Q::none},
    {Q::int8_channel, Q::int8_dynamic_token},
    {Q::int8_channel, Q::int8_static_tensor},
    {Q::int8_channel, Q::none},
    {Q::int4_uint4b8, Q::none},
    {Q::int4_zero_point, Q::none},
    {Q::int8_uint8b128, Q::none},
    {Q::nvfp4, Q::nvfp4},
    {Q::mxfp4_even, Q::none},
    {Q::mxfp8, Q::mxfp8},
}};

constexpr std::array activations = {Activation::silu, Activation::swigluoai,
                                    Activation::relu2_no_mul, Activation::silu_no_mul};

struct World {
  Scheme scheme;
  DType dtype;
  Count hidden;
  Count intermediate;
  Activation activation;
  bool has_bias;
  ActivationRounding rounding;
  int seed;
};

constexpr Count num_experts = 3;

World world_of(Scheme scheme, int seed) {
  const auto rounding = static_cast<ActivationRounding>(mix(seed, 6) % 3);
  return {scheme,
          row_types[mix(seed, 1) % 3],
          2 * (1 + static_cast<Count>(mix(seed, 2) % 160)),
          2 * (1 + static_cast<Count>(mix(seed, 3) % 100)),
          activations[mix(seed, 4) % activations.size()],
          mix(seed, 5) % 2 == 0,
          scheme.activations == Q::none ? ActivationRounding::each : rounding,
          seed};
}

// One side's operators with what they need of rows and scales.
struct Side {
  BothSides& both;
  Kernels& kernels;
  const Buffer& (*of)(const Twin&);

  Buffer take(Twin& twin) const {
    return is_host() ? std::move(twin.host) : std::move(twin.device);
  }
  bool is_host() const { return &kernels == &both.host(); }

  Buffer scales(QuantRecipe recipe, Count count, double value) const {
    const ScaleRule rule = recipe_row(recipe).scale_rule;
    if (rule != ScaleRule::given && rule != ScaleRule::times_global) return {};
    Twin twin = both.twin({count, 1, DType::f32},
                          std::vector<double>(static_cast<std::size_t>(count), value));
    return take(twin);
  }

  QuantizedRowsBuffers weights(const World& world, Shape shape, int number) const {
    const QuantRecipe recipe = world.scheme.weights;
    const Twin plain = both.numbers(shape, world.seed + number);
    const Buffer scale = scales(recipe, num_experts, 300);
    LayoutChoice choice{.parts = num_experts};
    if (has_chosen_groups(recipe_row(recipe))) choice.group_columns = 32;
    return kernels.quantize(of(plain).tensor(), recipe,
                            {.scale = scale.tensor(), .layout = choice});
  }

  ActivationQuantization rows(const World& world) const {
    const QuantRecipe recipe = world.scheme.activations;
    return {.recipe = recipe, .scale = scales(recipe, 1, 0.0625)};
  }

  std::unique_ptr<QuantizedGemmExperts> experts(const World& world) const {
    const Count inner = world.intermediate * w13_rows_each(world.activation);
    QuantizedGemmWeights made{
        .w13 = weights(world, {num_experts * inner, world.hidden, world.dtype}, 1),
        .w2 = weights(world, {num_experts * world.hidden, world.intermediate, world.dtype}, 2),
        .activation = world.activation,
        .rounding = world.rounding,
        .row_type = world.dtype,
        .a1 = rows(world),
        .a2 = rows(world)};
    if (world.has_bias) {
      Twin w13 = both.numbers({num_experts, inner, world.dtype}, world.seed + 3);
      Twin w2 = both.numbers({num_experts, world.hidden, world.dtype}, world.seed + 4);
      made.w13_bias = take(w13);
      made.w2_bias = take(w2);
    }
    return kernels.quantized_experts(std::move(made), num_experts);
  }
};

}  // namespace

TEST_CASE("device quantized experts: every scheme gives the host's bytes") {
  on_every_device([](BothSides& both) {
    const Side host{both, both.host(), [](const Twin& t) -> const Buffer& { return t.host; }};
    const Side device{both, both.device(), [](const Twin& t) -> const Buffer& { return t.device; }};
    int seed = 0;
    for (const Scheme& scheme : schemes) {
      for (int turn = 0; turn < 4; ++turn) {
        const World world = world_of(scheme, ++seed);
        INFO(recipe_row(scheme.weights).name << " x " << recipe_row(scheme.activations).name
                                             << ", seed " << seed << ", " << name_of(world.dtype));
        const std::vector<double> first =
            turn == 3 ? std::vector<double>{0, 0, 0, 0} : std::vector<double>{0, 21, 21, 54};
        const auto count = static_cast<Count>(first.back());
        const Twin rows = both.numbers({count, world.hidden, world.dtype}, seed + 5);
        const Twin first_row = both.twin({4, 1, DType::i32}, first);
        const auto on_host = host.experts(world);
        const auto on_device = device.experts(world);
        CHECK(both.difference(on_host->apply(rows.host.tensor(), first_row.host.tensor()),
                              on_device->apply(rows.device.tensor(), first_row.device.tensor())) ==
              "");
        if (scheme.activations == QuantRecipe::none) continue;
        const auto came = [&](const Side& side) {
          const Buffer scale = side.scales(scheme.activations, 1, 0.0625);
          return side.kernels.quantize(side.of(rows).tensor(), scheme.activations,
                                       {.scale = scale.tensor()});
        };
        CHECK(both.difference(on_host->apply_quantized(came(host).view(), first_row.host.tensor()),
                              on_device->apply_quantized(came(device).view(),
                                                         first_row.device.tensor())) == "");
      }
    }
  });
}

TEST_CASE("device quantized experts: a step as a recording, on other inputs") {
  on_recording_device([](BothSides& both, DeviceQueue& queue) {
    const Side host{both, both.host(), [](const Twin& t) -> const Buffer& { return t.host; }};
    const Side device{both, both.device(), [](const Twin& t) -> const Buffer& { return t.device; }};
    for (const Scheme& scheme : schemes) {
      if (depends_on_all_rows(recipe_row(scheme.activations))) continue;  // and counts its rows
      World world = world_of(scheme, 400 + static_cast<int>(&scheme - schemes.data()));
      INFO(recipe_row(scheme.weights).name << " x " << recipe_row(scheme.activations).name);
      const auto on_host = host.experts(world);
      const auto on_device = device.experts(world);
      const Count tokens = 40;
      const Twin ids = both.integers({tokens, 2, DType::i32}, {-1, num_experts - 1}, 5);
      const Twin rows = both.numbers({tokens, world.hidden, world.dtype}, 6);
      const Twin weights = both.numbers({tokens, 2, DType::f32}, 7);
      const Twin out = both.fresh({tokens, world.hidden, world.dtype});
      const auto step = [&](const Side& side, QuantizedGemmExperts& experts) {
        const RowPlanBuffers plan = side.kernels.plan_rows(side.of(ids).tensor(), {}, num_experts);
        const Buffer grouped =
            side.kernels.permute(side.of(rows).tensor(), plan.view(), GroupedRows::bounded);
        const Buffer computed = experts.apply(grouped.tensor(), plan.first_row.tensor());
        side.kernels.weight_and_reduce(computed.tensor(), plan.row_of.tensor(),
                                       side.of(weights).tensor(), side.of(out).tensor());
      };
      step(device, *on_device);
      const Recording recording = queue.recorded([&] { step(device, *on_device); });
      REQUIRE(recording.why_not == "");
      for (int seed = 10; seed < 13; ++seed) {
        const Twin other_ids = both.integers({tokens, 2, DType::i32}, {-1, seed % 3}, seed);
        const Twin other_rows = both.numbers({tokens, world.hidden, world.dtype}, seed);
        both.device_memory().copy(other_ids.device.tensor(), ids.device.tensor());
        both.device_memory().copy(other_rows.device.tensor(), rows.device.tensor());
        both.host().memory().copy(other_ids.host.tensor(), ids.host.tensor());
        both.host().memory().copy(other_rows.host.tensor(), rows.host.tensor());
        recording.replay->play();
        step(host, *on_host);
        CHECK(both.difference(out) == "");
      }
    }
  });
}
