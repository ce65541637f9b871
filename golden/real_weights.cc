// The weights of real experts: numbers from mix, and what their codes stand for. What experts make
// of them is real_experts.cc.

#include <algorithm>
#include <cmath>

#include "golden/expert_streams.h"
#include "golden/real_experts.h"
#include "golden/requantisation.h"
#include "kernels/base/bits.h"
#include "kernels/base/mix.h"

namespace moe::golden {
namespace {

constexpr int w13_bias_stream = 13;
constexpr int w2_bias_stream = 14;

// A row of numbers near normal ones over the divisor, rounded to float and then to the dtype.
void write_row(std::uint64_t started, double divisor, DType dtype, std::span<std::byte> row) {
  for_row_type(dtype, [&](auto element) {
    using T = decltype(element);
    const std::span values(reinterpret_cast<T*>(row.data()), row.size() / sizeof(T));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double number = static_cast<double>(centred(mixed_with(started, i))) / divisor;
      round_to(static_cast<float>(number), values[i]);
    }
  });
}

// [rows, columns] of deviation 1 / sqrt(columns); started(row) is the row's mix without the column.
template <typename Started>
std::vector<std::byte> matrix(Count rows, Count columns, DType dtype, Started started) {
  const auto size = static_cast<std::size_t>(columns * size_of(dtype));
  std::vector<std::byte> bytes(static_cast<std::size_t>(rows) * size);
  const double divisor = centred_deviation * std::sqrt(static_cast<double>(columns));
  for (Count row = 0; row < rows; ++row) {
    write_row(started(row), divisor, dtype,
              std::span(bytes).subspan(static_cast<std::size_t>(row) * size, size));
  }
  return bytes;
}

std::vector<std::byte> bias(std::uint64_t started, Count columns, DType dtype) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(columns * size_of(dtype)));
  write_row(started, 2 * centred_deviation, dtype, bytes);
  return bytes;
}

// The matrix [rows, columns] of the dtype as the f64 numbers that its codes stand for. Under plain
// rows, groups with 16-bit scales are rounded to the dtype (vLLM: WNA16).
std::vector<std::byte> quantised_matrix(const ExpertQuantisation& quantisation, DType dtype,
                                        const std::vector<std::byte>& bytes, QuantiseOrder order) {
  std::vector<double> values(bytes.size() / static_cast<std::size_t>(size_of(dtype)));
  const Tensor row{const_cast<std::byte*>(bytes.data()), 1, std::ssize(values), dtype, {}};
  read_row(row, 0, values);
  const std::vector<float> floats(values.begin(), values.end());
  float most = 0;
  for (const float value : floats) most = std::max(most, std::abs(value));
  order.given.assign(static_cast<std::size_t>(order.parts), 448.0F * 6.0F / most);
  std::vector<double> numbers = quantised_numbers(quantisation.weights, floats, order);
  const bool is_uint = quantisation.weights.find("uint") != std::string_view::npos ||
                       quantisation.weights == "int4_zero_point";
  for (double& number : numbers) {
    if (!is_uint || !quantisation.a1.empty()) break;
    for_row_type(dtype, [&](auto element) {
      round_to(static_cast<float>(number), element);
      number = static_cast<double>(to_float(element));
    });
  }
  const auto held = std::as_bytes(std::span(numbers));
  return {held.begin(), held.end()};
}

void quantise_weights(const OracleModel& model, RealExpert& expert) {
  const bool has_halves = activation_row(model.activation).gate == GateLayout::halves;
  const bool has_blocks = model.quantisation.weights == "fp8_block128x128";
  expert.quantisation = model.quantisation;
  expert.weight_dtype = DType::f64;
  const Count w13_rows = expert.intermediate_size * w13_rows_each(model.activation);
  expert.w13 = quantised_matrix(
      model.quantisation, model.dtype, expert.w13,
      {.rows = w13_rows, .columns = expert.hidden_size, .parts = has_halves && has_blocks ? 2 : 1});
  expert.w2 = quantised_matrix(model.quantisation, model.dtype, expert.w2,
                               {.rows = expert.hidden_size, .columns = expert.intermediate_size});
}

}  // namespace

RealExpert real_expert(const OracleModel& model, int layer, int expert) {
  const bool is_shared = expert < 0;
  const Count e = is_shared ? layer : static_cast<Count>(layer) * model.num_experts + expert;
  const ExpertStreams& streams = is_shared ? shared_streams : routed_streams;
  RealExpert made{
      .hidden_size = model.hidden_size,
      .intermediate_size = model.intermediate_size * (is_shared ? model.num_shared_experts : 1),
      .dtype = model.dtype,
      .weight_dtype = model.dtype};
  const Count w13_rows = made.intermediate_size * w13_rows_each(model.activation);
  made.w13 = matrix(w13_rows, model.hidden_size, model.dtype,
                    [&](Count row) { return mix(model.seed, streams.w13, e, row); });
  made.w2 = matrix(model.hidden_size, made.intermediate_size, model.dtype,
                   [&](Count row) { return mix(model.seed, streams.w2, e, row); });
  if (!is_shared && !model.quantisation.weights.empty()) quantise_weights(model, made);
  if (!model.has_bias || is_shared) return made;
  made.w13_bias = bias(mix(model.seed, w13_bias_stream, e), w13_rows, model.dtype);
  made.w2_bias = bias(mix(model.seed, w2_bias_stream, e), model.hidden_size, model.dtype);
  return made;
}

}  // namespace moe::golden
