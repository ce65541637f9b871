// The oracle's way through one cell: choices grouped by expert, each expert's rows computed once,
// and the weighted sum of each token. Which experts there are is exact_experts.cc and
// real_experts.cc. Nothing of the layer is used here.

#include "golden/oracle.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include "golden/exact_experts.h"
#include "golden/quantise.h"
#include "golden/real_experts.h"
#include "kernels/base/bits.h"
#include "kernels/base/text.h"

namespace moe::golden {
namespace {

constexpr int shared_expert = -1;

struct Choice {
  Count token = 0;
  double weight = 0;
};

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

void check_shapes(const OracleModel& model, int layer, const OracleTokens& tokens) {
  const Tensor& ids = tokens.topk_ids;
  const Tensor& weights = tokens.topk_weights;
  const Tensor& hidden = tokens.hidden_states;
  MOE_CHECK(ids.rows == hidden.rows && weights.rows == ids.rows && weights.columns == ids.columns &&
                hidden.columns == model.hidden_size,
            text("hidden_states ", shape_text(hidden), ", topk_ids ", shape_text(ids),
                 ", topk_weights ", shape_text(weights), "; hidden_size ", model.hidden_size));
  MOE_CHECK(layer >= 0, text("layer ", layer));
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

// A row's element as the dtype holds it.
double as_held(DType dtype, double value) {
  double held = value;
  for_row_type(dtype, [&](auto element) {
    round_to(static_cast<float>(value), element);
    held = static_cast<double>(to_float(element));
  });
  return held;
}

// The inputs of one expert, [choices, hidden]. A router weight on the input is cast to the dtype
// and its product rounded there (experts-and-oracles.md, 3.4: Llama 4).
std::vector<double> inputs_of(const OracleModel& model, const OracleTokens& tokens,
                              const std::vector<Choice>& chosen) {
  const auto hidden = static_cast<std::size_t>(model.hidden_size);
  std::vector<double> rows(chosen.size() * hidden);
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const std::span row = std::span(rows).subspan(i * hidden, hidden);
    read_row(tokens.hidden_states, chosen[i].token, row);
    if (!model.router_weight_on_input) continue;
    const double weight = as_held(model.dtype, chosen[i].weight);
    for (double& x : row) x = as_held(model.dtype, x * weight);
  }
  return rows;
}

std::vector<Choice> every_token(Count num_tokens) {
  std::vector<Choice> all;
  for (Count token = 0; token < num_tokens; ++token) all.push_back({token, 1.0});
  return all;
}

// Every row as it is dispatched, whatever its token chose.
std::vector<Choice> every_row_of(const OracleTokens& tokens) {
  const std::span<const float> weights = elements_of<float>(tokens.topk_weights);
  std::vector<Choice> all = every_token(tokens.hidden_states.rows);
  for (Choice& row : all) {
    const Count first_slot = row.token * tokens.topk_weights.columns;
    row.weight = static_cast<double>(weights[static_cast<std::size_t>(first_slot)]);
  }
  return all;
}

double largest_of_rows(const std::vector<double>& rows) {
  double most = 0;
  for (const double value : rows) most = std::max(most, std::abs(value));
  return most;
}

// Of a tensor with that largest magnitude.
float scale_of_tensor(float most) {
  const QuantisedBytes made =
      quantise("fp8_dynamic_tensor", std::span(&most, 1), {.rows = 1, .columns = 1});
  float scale = 0;
  std::memcpy(&scale, made.scales.data(), sizeof(scale));
  return scale;
}

// Sums of one cell while its experts are gone through, [tokens, hidden].
struct Sums {
  std::vector<double> values;
  std::vector<double> errors;      // real worlds: of the experts' outputs, weighted
  std::vector<double> magnitudes;  // real worlds: sums of absolute weighted outputs
};

}  // namespace

// Experts as they are first asked for. THREAD: safe.
class Oracle::Experts {
 public:
  explicit Experts(const OracleModel& model) : model_(model) {}

  const ExpertColumns& columns(int layer, int expert) { return made(columns_, layer, expert); }
  const RealExpert& real(int layer, int expert) { return made(real_, layer, expert); }

 private:
  template <typename Expert>
  struct Slot {
    std::once_flag once;
    Expert expert;
  };
  template <typename Expert>
  using Slots = std::map<std::pair<int, int>, Slot<Expert>>;

  void make(int layer, int expert, ExpertColumns& to) { to = columns_of(model_, layer, expert); }
  void make(int layer, int expert, RealExpert& to) { to = real_expert(model_, layer, expert); }

  template <typename Expert>
  const Expert& made(Slots<Expert>& slots, int layer, int expert) {
    Slot<Expert>* slot = nullptr;
    {
      const std::lock_guard lock(mutex_);
      slot = &slots[{layer, expert}];  // stays where it is
    }
    std::call_once(slot->once, [&] { make(layer, expert, slot->expert); });
    return slot->expert;
  }

  const OracleModel& model_;
  std::mutex mutex_;
  Slots<ExpertColumns> columns_;
  Slots<RealExpert> real_;
};

namespace {

// value · weight for each choice of an exact expert.
void add_exact(const OracleModel& model, const ExpertColumns& columns, std::vector<double> rows,
               const std::vector<Choice>& chosen, Sums& sums) {
  const auto hidden = static_cast<std::size_t>(model.hidden_size);
  if (model.kernel == ExpertKernel::exact_gemm) {
    for (double& value : rows) value = value < 0 ? 0 : value * value;  // a NaN stays
  }
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const double* input = &rows[i * hidden];
    double* sum = &sums.values[static_cast<std::size_t>(chosen[i].token) * hidden];
    for (std::size_t h = 0; h < hidden; ++h) {
      sum[h] +=
          chosen[i].weight * columns.signs[h] * input[static_cast<std::size_t>(columns.sources[h])];
    }
  }
}

void add_real(const ExpertOutput& output, const std::vector<Choice>& chosen, Sums& sums) {
  if (chosen.empty()) return;
  const std::size_t hidden = output.values.size() / chosen.size();
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const double weight = chosen[i].weight;
    const std::size_t to = static_cast<std::size_t>(chosen[i].token) * hidden;
    for (std::size_t h = 0; h < hidden; ++h) {
      const double value = output.values[i * hidden + h];
      sums.values[to + h] += weight * value;
      sums.errors[to + h] += std::abs(weight) * output.errors[i * hidden + h];
      sums.magnitudes[to + h] += std::abs(weight) * output.magnitudes[i * hidden + h];
    }
  }
}

// scale times the routed sums so far.
void multiply(double scale, Sums& sums) {
  if (scale == 1) return;
  for (double& value : sums.values) value *= scale;
  for (double& error : sums.errors) error *= std::abs(scale);
  for (double& magnitude : sums.magnitudes) magnitude *= std::abs(scale);
}

}  // namespace

Oracle::Oracle(const OracleModel& model)
    : model_(model), experts_(std::make_unique<Experts>(model_)) {
  MOE_CHECK(model.num_experts > 0 && model.hidden_size > 0 &&
                (model.kernel == ExpertKernel::probe || model.intermediate_size > 0),
            text(model.num_experts, " experts of hidden_size ", model.hidden_size,
                 ", intermediate_size ", model.intermediate_size));
}

Oracle::~Oracle() = default;

namespace {

// The scale of an expert's rank, where scales are of whole tensors.
std::optional<TensorScale> scale_of(std::span<const TensorScale> scales, int expert) {
  if (scales.empty() || expert < 0) return std::nullopt;
  return scales[static_cast<std::size_t>(expert)];
}

}  // namespace

Expected Oracle::expected(int layer, const OracleTokens& tokens,
                          std::span<const TensorScale> scales) const {
  check_shapes(model_, layer, tokens);
  const bool is_real = model_.kernel == ExpertKernel::real;
  const auto size = static_cast<std::size_t>(tokens.hidden_states.rows * model_.hidden_size);
  Sums sums{std::vector<double>(size), std::vector<double>(is_real ? size : 0),
            std::vector<double>(is_real ? size : 0)};
  const auto add = [&](int expert, std::vector<double> rows, const std::vector<Choice>& chosen) {
    if (chosen.empty()) return;
    if (!is_real) {
      return add_exact(model_, experts_->columns(layer, expert), std::move(rows), chosen, sums);
    }
    const Parts parts = model_.is_sharded ? Parts::sharded : Parts::whole;
    add_real(expert_output(experts_->real(layer, expert), model_.activation, parts,
                           {rows, scale_of(scales, expert)}),
             chosen, sums);
  };
  auto choices = choices_by_expert(tokens, model_.num_experts);
  for (int expert = 0; expert < model_.num_experts; ++expert) {
    std::vector<Choice>& chosen = choices[static_cast<std::size_t>(expert)];
    std::vector<double> rows = inputs_of(model_, tokens, chosen);
    if (model_.router_weight_on_input) {
      for (Choice& choice : chosen) choice.weight = 1;
    }
    add(expert, std::move(rows), chosen);
  }
  const bool divides_shared = model_.dtype == DType::f16 && model_.num_shared_experts > 0;
  if (!divides_shared) multiply(model_.scale, sums);
  if (model_.num_shared_experts > 0) {
    std::vector<Choice> all = every_token(tokens.hidden_states.rows);
    OracleModel plain = model_;
    plain.router_weight_on_input = false;
    std::vector<double> rows = inputs_of(plain, tokens, all);
    for (Choice& one : all) one.weight = divides_shared ? 1 / model_.scale : 1;
    add(shared_expert, std::move(rows), all);
  }
  return {.values = std::move(sums.values),
          .errors = std::move(sums.errors),
          .magnitudes = std::move(sums.magnitudes),
          .roundoff = roundoff_of(model_.dtype),
          .num_additions = tokens.topk_ids.columns,
          .is_sharded = model_.is_sharded};
}

std::vector<TensorScale> Oracle::tensor_scales(int layer, const OracleTokens& all,
                                               const ExpertHomes& homes) const {
  if (!has_tensor_scale(model_.quantisation)) return {};
  check_shapes(model_, layer, all);
  MOE_CHECK(std::ssize(homes.rank_of) == model_.num_experts,
            text(homes.rank_of.size(), " homes of ", model_.num_experts, " experts"));
  const std::vector<std::vector<Choice>> choices = choices_by_expert(all, model_.num_experts);
  std::vector<std::vector<double>> rows;
  for (const std::vector<Choice>& chosen : choices) {
    rows.push_back(inputs_of(model_, all, chosen));
  }
  const double every_row =
      homes.has_every_row ? largest_of_rows(inputs_of(model_, all, every_row_of(all))) : 0;
  std::map<int, TensorScale> ranks;
  for (std::size_t expert = 0; expert < rows.size(); ++expert) {
    float& most = ranks[homes.rank_of[expert]].rows;
    most = std::max(most, static_cast<float>(std::max(every_row, largest_of_rows(rows[expert]))));
  }
  for (auto& [rank, scale] : ranks) scale.rows = scale_of_tensor(scale.rows);
  for (std::size_t expert = 0; expert < rows.size(); ++expert) {
    if (rows[expert].empty()) continue;
    TensorScale& scale = ranks[homes.rank_of[expert]];
    const double most = largest_activated(experts_->real(layer, static_cast<int>(expert)),
                                          model_.activation, {rows[expert], scale});
    scale.between = std::max(scale.between, most / 448 * (1 + 0x1p-20));  // rounded in fp32
  }
  std::vector<TensorScale> scales;
  for (const int rank : homes.rank_of) scales.push_back(ranks[rank]);
  return scales;
}

std::vector<double> Oracle::outputs(int layer, int expert, const Tensor& rows,
                                    std::span<const TensorScale> scales) const {
  MOE_CHECK(expert < model_.num_experts && rows.columns == model_.hidden_size,
            text("expert ", expert, " for rows ", shape_text(rows)));
  const std::vector<Choice> all = every_token(rows.rows);
  OracleModel plain = model_;
  plain.router_weight_on_input = false;
  std::vector<double> inputs = inputs_of(plain, {rows, {}, {}}, all);
  if (model_.kernel == ExpertKernel::real) {
    return expert_output(experts_->real(layer, expert), model_.activation, Parts::whole,
                         {inputs, scale_of(scales, expert)})
        .values;
  }
  Sums sums{std::vector<double>(inputs.size()), {}, {}};
  add_exact(model_, experts_->columns(layer, expert), std::move(inputs), all, sums);
  return std::move(sums.values);
}

std::vector<double> Oracle::activated(int layer, int expert, const std::vector<double>& rows,
                                      std::span<const TensorScale> scales) const {
  MOE_CHECK(model_.kernel == ExpertKernel::real && expert >= 0 && expert < model_.num_experts,
            text("expert ", expert, " of a world that is not real, or has not so many"));
  return activated_rows(experts_->real(layer, expert), model_.activation,
                        {rows, scale_of(scales, expert)});
}

// The experts' own errors, then a rounding of at most the sum of magnitudes for each sum on the way
// home, and that way's additions in fp32. The last factor covers products of errors
// (experts-and-oracles.md, 14.2 is of first order).
double Expected::bound(std::size_t i, int num_roundings) const {
  const double reached = magnitudes[i] + errors[i];
  const double additions = gamma_of(num_additions + num_roundings + 8);
  return (errors[i] + num_roundings * roundoff.of(reached) + additions * reached) *
         (1 + 16 * roundoff.unit);
}

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

}  // namespace moe::golden
