// What each row of an exact world must be: signs and one-hot rows from mix, sums in double, expert
// by expert. golden/oracle.py says the same in numpy, and its docstring is the contract of both.
// Nothing of the layer is used here.

#include "golden/oracle.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "kernels/base/bits.h"
#include "kernels/base/mix.h"
#include "kernels/base/text.h"

namespace moe::golden {
namespace {

// The indices that keep the uses of one seed apart (oracle.py).
constexpr int w13_stream = 3;
constexpr int w2_stream = 4;

// One expert as a whole: output column h is signs[h] times the activated input of column
// sources[h].
struct ExpertColumns {
  std::vector<std::size_t> sources;
  std::vector<double> signs;
};

struct Choice {
  Count token = 0;
  double weight = 0;
};

// A probe passes column h itself. exact_gemm takes row h of W2 to one intermediate, and that one's
// row of W13 to one input column.
std::size_t source_of(const OracleExperts& experts, std::uint64_t e, std::size_t h,
                      std::size_t hidden_size) {
  if (experts.kernel == ExpertKernel::probe) return h;
  const auto intermediate =
      mix(experts.seed, w2_stream, e, h) % static_cast<std::uint64_t>(experts.intermediate_size);
  return mix(experts.seed, w13_stream, e, intermediate) % hidden_size;
}

ExpertColumns columns_of(const OracleExperts& experts, int expert, std::size_t hidden_size) {
  const std::uint64_t e =
      static_cast<std::uint64_t>(experts.layer) * static_cast<std::uint64_t>(experts.num_experts) +
      static_cast<std::uint64_t>(expert);
  const std::uint64_t started = mix(experts.seed, e);
  ExpertColumns columns;
  columns.sources.reserve(hidden_size);
  columns.signs.reserve(hidden_size);
  for (std::size_t h = 0; h < hidden_size; ++h) {
    columns.signs.push_back(mixed_with(started, h) % 2 == 0 ? 1.0 : -1.0);
    columns.sources.push_back(source_of(experts, e, h, hidden_size));
  }
  return columns;
}

std::vector<std::vector<Choice>> choices_by_expert(const OracleTokens& tokens, int num_experts) {
  const std::span<const std::int32_t> ids = elements_of<std::int32_t>(tokens.topk_ids);
  const std::span<const float> weights = elements_of<float>(tokens.topk_weights);
  std::vector<std::vector<Choice>> choices(static_cast<std::size_t>(num_experts));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const Count token = static_cast<Count>(i) / tokens.topk_ids.columns;
    MOE_CHECK(ids[i] >= -1 && ids[i] < num_experts,
              text("token ", token, " chose expert ", ids[i], " of ", num_experts));
    if (ids[i] < 0) continue;  // masked, its weight means nothing
    choices[static_cast<std::size_t>(ids[i])].push_back({token, static_cast<double>(weights[i])});
  }
  return choices;
}

void check_shapes(const OracleExperts& experts, const OracleTokens& tokens) {
  const Tensor& ids = tokens.topk_ids;
  const Tensor& weights = tokens.topk_weights;
  MOE_CHECK(ids.rows == tokens.hidden_states.rows && weights.rows == ids.rows &&
                weights.columns == ids.columns,
            text("hidden_states ", shape_text(tokens.hidden_states), ", topk_ids ", shape_text(ids),
                 ", topk_weights ", shape_text(weights)));
  MOE_CHECK(experts.num_experts > 0 && experts.layer >= 0,
            text(experts.num_experts, " experts in layer ", experts.layer));
  MOE_CHECK(experts.kernel == ExpertKernel::probe || experts.intermediate_size > 0,
            text("intermediate_size ", experts.intermediate_size));
}

void activate(ExpertKernel kernel, std::vector<double>& input) {
  if (kernel == ExpertKernel::probe) return;
  for (double& value : input) {
    value = std::max(value, 0.0);  // a NaN stays
    value *= value;
  }
}

double widened(double value) { return value; }
double widened(float value) { return static_cast<double>(value); }
double widened(BFloat16 value) { return static_cast<double>(to_float(value)); }
double widened(Float16 value) { return static_cast<double>(to_float(value)); }

template <typename T>
void widen(const Tensor& row, std::span<double> values) {
  const std::span<const T> elements = elements_of<T>(row);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = widened(elements[i]);
}

}  // namespace

void read_row(const Tensor& tensor, Count row, std::span<double> values) {
  const Tensor slice = rows_of(tensor, row, 1);
  MOE_CHECK(std::cmp_equal(values.size(), tensor.columns),
            text(values.size(), " values for a row of ", shape_text(tensor)));
  switch (tensor.dtype) {
    case DType::f64:
      return widen<double>(slice, values);
    case DType::f32:
      return widen<float>(slice, values);
    case DType::bf16:
      return widen<BFloat16>(slice, values);
    case DType::f16:
      return widen<Float16>(slice, values);
    default:
      throw ContractError(text("the judge reads f64, f32, bf16 and f16, not ", shape_text(tensor)));
  }
}

std::vector<double> expected_rows(const OracleExperts& experts, const OracleTokens& tokens) {
  check_shapes(experts, tokens);
  const Tensor& hidden = tokens.hidden_states;
  const std::vector<std::vector<Choice>> choices = choices_by_expert(tokens, experts.num_experts);
  std::vector<double> rows(static_cast<std::size_t>(hidden.rows * hidden.columns));
  std::vector<double> input(static_cast<std::size_t>(hidden.columns));
  for (int expert = 0; expert < experts.num_experts; ++expert) {
    const std::vector<Choice>& chosen = choices[static_cast<std::size_t>(expert)];
    if (chosen.empty()) continue;
    const ExpertColumns columns = columns_of(experts, expert, input.size());
    for (const Choice& choice : chosen) {
      read_row(hidden, choice.token, input);
      activate(experts.kernel, input);
      double* row = rows.data() + choice.token * hidden.columns;
      for (std::size_t h = 0; h < input.size(); ++h) {
        row[h] += choice.weight * columns.signs[h] * input[columns.sources[h]];
      }
    }
  }
  return rows;
}

}  // namespace moe::golden
