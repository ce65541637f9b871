// Experts with products on a device, bit by bit: every row of the weights has one number that is
// not 0, so that sums are exact in any order and what remains is the rounding, the activation and
// who multiplies whom. Shapes on both sides of every limit of the kernels; and the whole path of a
// layer's experts as a recording, replayed on other inputs.

#include <algorithm>

#include "kernels/cpu/cpu_operators.h"
#include "tests/device/both_sides.h"

using namespace moe;

namespace {

// Rows of one number each: column and sign. Weights [rows, columns] on the device.
struct OneHot {
  std::vector<Count> column;
  std::vector<float> sign;
  Buffer weights;
};

OneHot one_hot(BothSides& both, Shape shape, int seed) {
  OneHot made;
  Buffer host(both.host_memory(), shape);
  both.host_memory().fill(host.tensor(), 0);
  for_row_type(shape.dtype, [&](auto element) {
    using T = decltype(element);
    const auto to = elements_of<T>(host.tensor());
    for (Count row = 0; row < shape.rows; ++row) {
      made.column.push_back(
          static_cast<Count>(mix(seed, row) % static_cast<unsigned>(shape.columns)));
      made.sign.push_back(mix(seed, row, 1) % 2 == 0 ? 1.0F : -1.0F);
      round_to(made.sign.back(), to[static_cast<std::size_t>(row * shape.columns) +
                                    static_cast<std::size_t>(made.column.back())]);
    }
  });
  made.weights = copy_of(host.tensor(), both.device_memory());
  return made;
}

// A case: sizes, rows of each expert, what stands between the products.
struct Case {
  Count hidden = 0;
  Count intermediate = 0;
  std::vector<Count> counts;
  DType dtype = DType::bf16;
  Activation activation = Activation::silu;
  bool has_bias = false;
};

class OneHotExperts {
 public:
  OneHotExperts(BothSides& both, const Case& shape, int seed)
      : both_(both),
        case_(shape),
        wide_(shape.intermediate * w13_rows_each(shape.activation)),
        w13_(one_hot(both, {num_experts() * wide_, shape.hidden, shape.dtype}, seed)),
        w2_(one_hot(both, {num_experts() * shape.hidden, shape.intermediate, shape.dtype},
                    seed + 1)),
        b13_(both.integers({num_experts(), wide_, shape.dtype}, {-2, 2}, seed + 2)),
        b2_(both.integers({num_experts(), shape.hidden, shape.dtype}, {-2, 2}, seed + 3)) {
    GemmWeights weights{.w13 = std::move(w13_.weights), .w2 = std::move(w2_.weights)};
    weights.activation = shape.activation;
    if (shape.has_bias) {
      weights.w13_bias = std::move(b13_.device);
      weights.w2_bias = std::move(b2_.device);
    }
    experts_ = both.device().gemm_experts(std::move(weights), num_experts());
  }

  Count num_experts() const { return static_cast<Count>(case_.counts.size()); }

  Buffer on_device(const Tensor& rows, const Tensor& first_row) const {
    return experts_->apply(rows, first_row);
  }

  // The same on the host: rows in host memory, of the experts that `first_row` says.
  Buffer on_host(const Tensor& rows, const Tensor& first_row) const {
    Buffer out(both_.host_memory(), {rows.rows, rows.columns, rows.dtype});
    const auto first = elements_of<std::int32_t>(first_row);
    for (Count expert = 0; expert < num_experts(); ++expert) {
      const auto at = static_cast<std::size_t>(expert);
      for (Count row = first[at]; row < first[at + 1]; ++row) {
        one_row(expert, rows_of(rows, row, 1), rows_of(out.tensor(), row, 1));
      }
    }
    return out;
  }

 private:
  // out[i] = sign · x[column] + bias, for rows [first, first + columns of out) of the weights.
  template <typename T>
  void product(const OneHot& weights, const Tensor& bias, const Tensor& x, Count first,
               const Tensor& out) const {
    const auto from = elements_of<T>(x);
    const auto to = elements_of<T>(out);
    for (std::size_t i = 0; i < to.size(); ++i) {
      const std::size_t at = static_cast<std::size_t>(first) + i;
      const float value =
          weights.sign[at] * to_float(from[static_cast<std::size_t>(weights.column[at])]);
      round_to(0.0F + value + (case_.has_bias ? to_float(elements_of<T>(bias)[at]) : 0.0F), to[i]);
    }
  }

  void one_row(Count expert, const Tensor& x, const Tensor& out) const {
    const Buffer inner(both_.host_memory(), {1, wide_, case_.dtype});
    const Buffer activated(both_.host_memory(), {1, case_.intermediate, case_.dtype});
    for_row_type(case_.dtype, [&](auto element) {
      using T = decltype(element);
      product<T>(w13_, b13_.host.tensor(), x, expert * wide_, inner.tensor());
      cpu::activate(case_.activation, inner.tensor(), activated.tensor());
      product<T>(w2_, b2_.host.tensor(), activated.tensor(), expert * case_.hidden, out);
    });
  }

  BothSides& both_;
  Case case_;
  Count wide_;
  OneHot w13_;
  OneHot w2_;
  Twin b13_;
  Twin b2_;
  std::unique_ptr<GemmExperts> experts_;
};

std::vector<double> ends_of(const std::vector<Count>& counts) {
  std::vector<double> first = {0};
  for (const Count count : counts) first.push_back(first.back() + static_cast<double>(count));
  return first;
}

// Also with rows behind the experts' that hold anything.
void check_case(BothSides& both, const Case& shape, int seed) {
  INFO("seed " << seed << ", " << name_of(shape.dtype) << ", " << shape.hidden << " by "
               << shape.intermediate << ", " << shape.counts.size() << " experts, "
               << activation_row(shape.activation).name << (shape.has_bias ? ", biases" : ""));
  const OneHotExperts experts(both, shape, seed);
  const std::vector<double> ends = ends_of(shape.counts);
  const Twin first_row = both.twin({std::ssize(ends), 1, DType::i32}, ends);
  const auto end = static_cast<Count>(ends.back());
  const Twin rows = both.integers({end + seed % 7, shape.hidden, shape.dtype}, {-3, 3}, seed + 4);
  const Buffer device = experts.on_device(rows.device.tensor(), first_row.device.tensor());
  const Buffer host = experts.on_host(rows.host.tensor(), first_row.host.tensor());
  CHECK(both.difference(rows_of(host.tensor(), 0, end), rows_of(device.tensor(), 0, end)) == "");
  CHECK(device.guards_intact());
}

// The activations whose bits host and device share: erf is each one's own.
constexpr std::array shared_activations = {Activation::silu, Activation::swigluoai,
                                           Activation::relu2_no_mul, Activation::silu_no_mul};

}  // namespace

TEST_CASE("device grouped: shapes on both sides of every tile, of every type, to the bit") {
  on_every_device([](BothSides& both) {
    const std::vector<Case> shapes = {
        {96, 64, {0, 1, 0}},
        {96, 72, {1}},
        {96, 40, {15, 16, 17, 0, 33}},
        {128, 128, {127, 128, 129}},
        {160, 96, {64, 65, 300, 0}},
        {256, 200, {255, 256, 257, 7}},
        {7168, 64, {3, 0, 5}},
        {104, 2048, {31, 32}},
        {96, 64, {1044, 0, 2}},
        {2048, 768, {0, 0, 9}},
        {30, 20, {5, 0, 70}},
        {97, 96, {65, 1}},
        {96, 97, {64, 0, 3}},
        {8, 8, {1, 1, 1, 1}},
        {1, 1, {3}},
    };
    int seed = 1;
    for (Case shape : shapes) {
      for (const DType dtype : row_types) {
        shape.dtype = dtype;
        shape.activation = shared_activations[static_cast<std::size_t>(seed) % 4];
        shape.has_bias = seed % 2 == 0;
        check_case(both, shape, seed++);
      }
    }
  });
}

TEST_CASE("device grouped: every activation through the tensor cores and past them, to the bit") {
  on_every_device([](BothSides& both) {
    int seed = 100;
    for (const Activation activation : shared_activations) {
      for (const Count hidden : {Count{96}, Count{92}}) {
        for (const DType dtype : row_types) {
          check_case(both, {hidden, 136, {20, 0, 200, 3}, dtype, activation, seed % 3 == 0}, seed);
          ++seed;
        }
      }
    }
  });
}

TEST_CASE("device grouped: 300 experts, most of them without rows; all rows of one; none at all") {
  on_every_device([](BothSides& both) {
    std::vector<Count> counts(300, 0);
    for (std::size_t e = 0; e < counts.size(); ++e) counts[e] = e % 7 == 0 ? e % 5 : 0;
    check_case(both, {96, 32, counts}, 200);
    std::ranges::fill(counts, 0);
    counts[299] = 700;
    check_case(both, {96, 32, counts, DType::f16}, 201);
    std::ranges::fill(counts, 200);  // the wide tile, with more experts than it has room for
    check_case(both, {8, 8, counts}, 202);
    check_case(both, {96, 32, {0, 0, 0}}, 203);
  });
}

TEST_CASE("device grouped: a row's bits do not depend on who is beside it") {
  on_every_device([](BothSides& both) {
    const Case shape{512, 256, {600, 40}};
    const Twin w13 = both.numbers({2 * 512, 512, DType::bf16}, 1);
    const Twin w2 = both.numbers({2 * 512, 256, DType::bf16}, 2);
    GemmWeights weights{.w13 = copy_of(w13.host.tensor(), both.device_memory()),
                        .w2 = copy_of(w2.host.tensor(), both.device_memory())};
    const auto experts = both.device().gemm_experts(std::move(weights), 2);
    const Twin rows = both.numbers({640, 512, DType::bf16}, 3);
    const Twin all = both.twin({3, 1, DType::i32}, {0, 600, 640});
    const Buffer together = experts->apply(rows.device.tensor(), all.device.tensor());
    for (const Count row : {Count{0}, Count{255}, Count{256}, Count{599}}) {
      const Twin alone = both.twin({3, 1, DType::i32}, {0, 1, 1});
      const Buffer one =
          experts->apply(rows_of(rows.device.tensor(), row, 1), alone.device.tensor());
      CHECK(both.difference(both.on_host(rows_of(together.tensor(), row, 1)).tensor(),
                            one.tensor()) == "");
    }
  });
}

TEST_CASE("device grouped: plan, permute, experts and reduce as a recording, on other inputs") {
  on_recording_device([](BothSides& both, DeviceQueue& queue) {
    constexpr int num_local = 6;
    const Count tokens = 75;
    const Count top_k = 3;
    const Case shape{96, 64, std::vector<Count>(num_local, 0)};
    const OneHotExperts experts(both, shape, 1);
    const Twin ids = both.integers({tokens, top_k, DType::i32}, {-1, 9}, 5);
    const Twin map = both.twin({10, 1, DType::i32}, {0, -1, 1, 2, 3, -1, 4, 5, -1, -1});
    const Twin rows = both.integers({tokens, shape.hidden, shape.dtype}, {-3, 3}, 6);
    const Twin weights = both.numbers({tokens, top_k, DType::f32}, 7);
    const Twin out = both.fresh({tokens, shape.hidden, shape.dtype});
    Kernels& device = both.device();
    const auto step = [&] {
      const RowPlanBuffers plan =
          device.plan_rows(ids.device.tensor(), map.device.tensor(), num_local);
      const Buffer grouped =
          device.permute(rows.device.tensor(), plan.view(), GroupedRows::bounded);
      const Buffer computed = experts.on_device(grouped.tensor(), plan.first_row.tensor());
      device.weight_and_reduce(computed.tensor(), plan.row_of.tensor(), weights.device.tensor(),
                               out.device.tensor());
    };
    step();
    const Recording recording = queue.recorded(step);
    REQUIRE(recording.why_not == "");
    for (int seed = 10; seed < 20; ++seed) {
      INFO("seed " << seed);
      const Twin other_ids = both.integers({tokens, top_k, DType::i32}, {-1, seed % 2 * 9}, seed);
      const Twin other_rows = both.integers({tokens, shape.hidden, shape.dtype}, {-3, 3}, seed);
      both.device_memory().copy(other_ids.device.tensor(), ids.device.tensor());
      both.device_memory().copy(other_rows.device.tensor(), rows.device.tensor());
      recording.replay->play();
      const RowPlanBuffers plan =
          both.host().plan_rows(other_ids.host.tensor(), map.host.tensor(), num_local);
      const Buffer grouped = both.host().permute(other_rows.host.tensor(), plan.view());
      const Buffer computed = experts.on_host(grouped.tensor(), plan.first_row.tensor());
      both.host().weight_and_reduce(computed.tensor(), plan.row_of.tensor(), weights.host.tensor(),
                                    out.host.tensor());
      CHECK(both.difference(out) == "");
    }
    const Recording waiting = queue.recorded([&] { both.device_memory().synchronize(); });
    CHECK(waiting.why_not == "waits for the device");
  });
}

TEST_CASE("device grouped: plans of many choices, counted by one block, by some, and sorted") {
  on_every_device([](BothSides& both) {
    for (const Count tokens : {Count{500}, Count{511}, Count{9000}}) {
      for (const int num_local : {1, 3, 300, 1000}) {
        INFO(tokens << " tokens, " << num_local << " experts");
        const Twin ids = both.integers({tokens, 8, DType::i32}, {-1, num_local - 1}, num_local);
        const RowPlanBuffers host = both.host().plan_rows(ids.host.tensor(), {}, num_local);
        const RowPlanBuffers device = both.device().plan_rows(ids.device.tensor(), {}, num_local);
        CHECK(both.difference(host.first_row, device.first_row) == "");
        CHECK(both.difference(host.row_of, device.row_of) == "");
        CHECK(both.difference(host.source_of, device.source_of) == "");
        CHECK(device.source_of.guards_intact());
      }
    }
  });
}
