// Probe signs, one-hot rows and near-normal weights, expert by expert. Streams' numbers are those
// of golden/oracle.py.

#include "sim/made_experts.h"

#include <cmath>
#include <utility>

#include "kernels/base/bits.h"
#include "kernels/base/mix.h"

namespace moe::sim {
namespace {

// First indices of a mix; signs of routed experts need none.
struct Streams {
  int w13;
  int w2;
};
constexpr Streams routed{.w13 = 3, .w2 = 4};
constexpr Streams shared{.w13 = 10, .w2 = 11};
constexpr int shared_sign_stream = 12;
constexpr int w13_bias_stream = 13;
constexpr int w2_bias_stream = 14;

// The experts of one call, each by its number over all layers; a shared one by its layer's.
struct Made {
  const ModelSpec& model;
  LayerSpec layer;
  std::uint64_t seed;
  Streams streams;
  std::vector<Count> experts;
  bool are_shared = false;

  Count size() const { return std::ssize(experts); }
  std::uint64_t signs_of(Count expert) const {
    return are_shared ? mix(seed, shared_sign_stream, expert) : mix(seed, expert);
  }
};

int sign(std::uint64_t mixed) { return mixed % 2 == 0 ? 1 : -1; }

// A buffer that write(tensor) fills on the host, brought to the memory that asks for it.
template <typename Write>
Buffer written(Shape shape, Memory& memory, Write write) {
  const bool is_host = memory.stream().device.kind == DeviceKind::cpu;
  const auto host = is_host ? nullptr : make_host_memory(Poison::off);
  Buffer buffer(is_host ? memory : *host, shape);
  write(buffer.tensor());
  return is_host ? std::move(buffer) : copy_of(buffer.tensor(), memory);
}

ExpertWeights probes(const Made& made, Memory& memory) {
  const Shape shape{made.size(), made.layer.hidden_size, DType::i8};
  return ProbeWeights{written(shape, memory, [&](const Tensor& tensor) {
    const auto signs = elements_of<std::int8_t>(tensor);
    std::size_t at = 0;
    for (const Count expert : made.experts) {
      const std::uint64_t started = made.signs_of(expert);
      for (Count h = 0; h < made.layer.hidden_size; ++h) {
        signs[at++] =
            static_cast<std::int8_t>(sign(mixed_with(started, static_cast<std::uint64_t>(h))));
      }
    }
  })};
}

// Fills rows_each rows of every expert: write(expert, row, values) with the row's elements.
template <typename Write>
Buffer filled(const Made& made, Shape shape, Memory& memory, Write write) {
  const Count rows_each = made.size() == 0 ? 0 : shape.rows / made.size();
  return written(shape, memory, [&](const Tensor& tensor) {
    for_row_type(shape.dtype, [&](auto element) {
      const auto all = elements_of<decltype(element)>(tensor);
      const auto columns = static_cast<std::size_t>(shape.columns);
      for (Count row = 0; row < shape.rows; ++row) {
        write(made.experts[static_cast<std::size_t>(row / rows_each)], row % rows_each,
              all.subspan(static_cast<std::size_t>(row) * columns, columns));
      }
    });
  });
}

// value(expert, row) at column_of(expert, row), zeros beside it.
template <typename ColumnOf, typename ValueOf>
Buffer one_hot(const Made& made, Shape shape, Memory& memory, ColumnOf column_of,
               ValueOf value_of) {
  return filled(made, shape, memory, [&](Count expert, Count row, auto values) {
    for (auto& value : values) round_to(0.0F, value);
    round_to(value_of(expert, row), values[static_cast<std::size_t>(column_of(expert, row))]);
  });
}

ExpertWeights exact_gemm(const Made& made, Memory& memory) {
  const Count hidden = made.layer.hidden_size;
  const Count intermediate = made.layer.intermediate_size;
  const auto column = [&](int stream, Count expert, Count row, Count columns) {
    return static_cast<Count>(mix(made.seed, stream, expert, row) %
                              static_cast<std::uint64_t>(columns));
  };
  GemmWeights weights{.activation = Activation::relu2_no_mul};
  weights.w13 = one_hot(
      made, {made.size() * intermediate, hidden, made.model.dtype}, memory,
      [&](Count expert, Count row) { return column(made.streams.w13, expert, row, hidden); },
      [](Count, Count) { return 1.0F; });
  weights.w2 = one_hot(
      made, {made.size() * hidden, intermediate, made.model.dtype}, memory,
      [&](Count expert, Count row) { return column(made.streams.w2, expert, row, intermediate); },
      [&](Count expert, Count row) {
        return static_cast<float>(
            sign(mixed_with(made.signs_of(expert), static_cast<std::uint64_t>(row))));
      });
  return weights;
}

// Numbers near normal ones over the divisor.
Buffer near_normal(const Made& made, Shape shape, Memory& memory, int stream) {
  const double divisor = centred_deviation * std::sqrt(static_cast<double>(shape.columns));
  return filled(made, shape, memory, [&](Count expert, Count row, auto values) {
    const std::uint64_t started = mix(made.seed, stream, expert, row);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double number = static_cast<double>(centred(mixed_with(started, i))) / divisor;
      round_to(static_cast<float>(number), values[i]);
    }
  });
}

Buffer bias(const Made& made, Count columns, Memory& memory, int stream) {
  return filled(made, {made.size(), columns, made.model.dtype}, memory,
                [&](Count expert, Count, auto values) {
                  const std::uint64_t started = mix(made.seed, stream, expert);
                  for (std::size_t i = 0; i < values.size(); ++i) {
                    const auto number = static_cast<double>(centred(mixed_with(started, i)));
                    round_to(static_cast<float>(number / (2 * centred_deviation)), values[i]);
                  }
                });
}

ExpertWeights real(const Made& made, Memory& memory) {
  const ModelSpec& model = made.model;
  const Count hidden = made.layer.hidden_size;
  const Count inner = made.layer.intermediate_size * w13_rows_each(model.activation);
  GemmWeights weights{.activation = model.activation};
  weights.w13 =
      near_normal(made, {made.size() * inner, hidden, model.dtype}, memory, made.streams.w13);
  weights.w2 = near_normal(made, {made.size() * hidden, made.layer.intermediate_size, model.dtype},
                           memory, made.streams.w2);
  if (!model.has_bias || made.are_shared) return weights;
  weights.w13_bias = bias(made, inner, memory, w13_bias_stream);
  weights.w2_bias = bias(made, hidden, memory, w2_bias_stream);
  return weights;
}

ExpertWeights weights_of(const Made& made, Memory& memory) {
  switch (made.model.kernel) {
    case ExpertKernel::probe:
      return probes(made, memory);
    case ExpertKernel::exact_gemm:
      return exact_gemm(made, memory);
    default:
      return real(made, memory);
  }
}

}  // namespace

ExpertWeights routed_experts(const MadeLayer& layer, std::span<const int> experts, Memory& memory) {
  Made made{layer.model, layer.layer, layer.seed, routed, {}};
  for (const int expert : experts) {
    made.experts.push_back(static_cast<Count>(layer.number) * layer.model.num_experts + expert);
  }
  return weights_of(made, memory);
}

ExpertWeights shared_expert(const MadeLayer& layer, Memory& memory) {
  Made made{layer.model, layer.layer, layer.seed, shared, {layer.number}, true};
  made.layer.intermediate_size *= layer.model.num_shared_experts;
  return weights_of(made, memory);
}

}  // namespace moe::sim
