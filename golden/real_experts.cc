// Real experts: products in double, and the bound of each element. Per row of W13 one pass over all
// tokens of the expert, then the activation, then the same for W2. Weights are real_weights.cc's.

#include "golden/real_experts.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <utility>

#include "golden/products.h"
#include "golden/requantisation.h"
#include "kernels/base/bits.h"
#include "kernels/base/check.h"

namespace moe::golden {
namespace {

// Rows of a matrix as doubles, a few at a time.
class Rows {
 public:
  Rows(const std::vector<std::byte>& bytes, Count columns, DType dtype)
      : tensor_{const_cast<std::byte*>(bytes.data()),
                std::ssize(bytes) / std::max<Count>(columns * size_of(dtype), 1),
                columns,
                dtype,
                {}} {}

  // RETURNS [rows, columns], good until the next call.
  const std::vector<double>& read(std::initializer_list<std::size_t> rows) {
    const auto columns = static_cast<std::size_t>(tensor_.columns);
    values_.resize(rows.size() * columns);
    std::size_t at = 0;
    for (const std::size_t row : rows) {
      read_row(tensor_, static_cast<Count>(row), std::span(values_).subspan(at, columns));
      at += columns;
    }
    return values_;
  }

 private:
  Tensor tensor_;
  std::vector<double> values_;
};

std::vector<double> all_of(const std::vector<std::byte>& bytes, DType dtype) {
  if (bytes.empty()) return {};
  return Rows(bytes, std::ssize(bytes) / size_of(dtype), dtype).read({0});
}

double norm(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum);
}

// A number and how far a computed one may be from it.
struct Near {
  double value = 0;
  double error = 0;
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// One activation: its value, and the largest slope of it.
struct Curve {
  double (*value)(double);
  double slope;
};
constexpr Curve silu_curve{[](double x) { return x * sigmoid(x); }, 1.1};  // at most 1.0998
constexpr Curve gelu_curve{[](double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); },
                           1.13};  // at most 1.1290
constexpr Curve oai_curve{[](double x) { return x * sigmoid(1.702 * x); }, 1.1};

constexpr double function_error = 8 * 0x1p-24;  // of exp, erf and a division in fp32, relative

// Of one row's pre-activations to its activated ones. Roundings as in activation.h.
class Activator {
 public:
  Activator(Activation activation, ActivationRounding rounding, Roundoff roundoff)
      : activation_(activation), rounding_(rounding), roundoff_(roundoff) {}

  Near gated(Near gate, Near up) const {
    if (activation_ == Activation::swigluoai) return swigluoai(gate, up);
    const Near curved = bent(activation_ == Activation::silu ? silu_curve : gelu_curve, gate);
    return rounded(product(rounding_ == ActivationRounding::each ? rounded(curved) : curved, up));
  }

  Near alone(Near x) const {
    if (activation_ == Activation::silu_no_mul) return rounded(bent(silu_curve, x));
    if (activation_ == Activation::gelu_no_mul) return rounded(bent(gelu_curve, x));
    const double positive = std::max(x.value, 0.0);
    return rounded({positive * positive, (2 * positive + x.error) * x.error});
  }

 private:
  Near swigluoai(Near gate, Near up) const {
    const Near g = bent(oai_curve, {std::min(gate.value, 7.0), gate.error});
    const Near u{std::clamp(up.value, -7.0, 7.0) + 1, up.error};
    return rounded(product(g, u));
  }

  static Near bent(const Curve& curve, Near x) {
    const double value = curve.value(x.value);
    return {value, curve.slope * x.error + function_error * std::abs(value)};
  }

  static Near product(Near a, Near b) {
    return {a.value * b.value, std::abs(a.value) * b.error + std::abs(b.value) * a.error +
                                   a.error * b.error + 0x1p-23 * std::abs(a.value * b.value)};
  }

  Near rounded(Near x) const {
    if (rounding_ == ActivationRounding::never) {
      return {x.value, x.error + 0x1p-23 * (std::abs(x.value) + x.error)};  // in fp32
    }
    return {x.value, x.error + roundoff_.of(std::abs(x.value) + x.error)};
  }

  Activation activation_;
  ActivationRounding rounding_;
  Roundoff roundoff_;
};

// Everything about n rows of one expert while it is computed. Two rows of a weight at a time.
class ExpertRun {
 public:
  ExpertRun(const RealExpert& expert, Activation activation, Parts parts,
            const std::vector<double>& rows)
      : expert_(expert),
        activation_(activation),
        parts_(parts),
        roundoff_(roundoff_of(expert.dtype)),
        hidden_(static_cast<std::size_t>(expert.hidden_size)),
        intermediate_(static_cast<std::size_t>(expert.intermediate_size)),
        count_(rows.size() / hidden_),
        rows_(rows),
        pair_(2 * count_) {
    for (std::size_t row = 0; row < count_; ++row) {
      norms_.push_back(norm(std::span(rows_).subspan(row * hidden_, hidden_)));
    }
  }

  // Of what stands between the products, before it is quantised.
  double largest_activated() {
    activate();
    double most = 0;
    for (std::size_t i = 0; i < activated_.size(); ++i) {
      most = std::max(most, std::abs(activated_[i]) + errors_[i]);
    }
    return most;
  }

  std::vector<double> activated() {
    activate();
    return std::move(activated_);
  }

  // a2_given: as add_requantisation has it.
  ExpertOutput output(double a2_given) {
    activate();
    add_losses(a2_given);
    for (std::size_t row = 0; row < count_ && parts_ == Parts::sharded; ++row) {
      activated_norms_.push_back(
          norm(std::span(activated_).subspan(row * intermediate_, intermediate_)));
    }
    const std::size_t size = count_ * hidden_;
    ExpertOutput out{std::vector<double>(size), std::vector<double>(size),
                     std::vector<double>(size)};
    Rows w2(expert_.w2, expert_.intermediate_size, expert_.weight_dtype);
    const std::vector<double> bias = all_of(expert_.w2_bias, expert_.dtype);
    std::vector<double> absolute;
    std::vector<double> errors(count_ * 2);
    for (std::size_t h = 0; h < hidden_; h += 2) {
      const std::size_t next = std::min(h + 1, hidden_ - 1);
      const std::vector<double>& weights = w2.read({h, next});
      absolute.resize(weights.size());
      std::ranges::transform(weights, absolute.begin(), [](double w) { return std::abs(w); });
      multiply_({count_, 2, intermediate_}, activated_.data(), weights.data(), pair_.data());
      multiply_({count_, 2, intermediate_}, errors_.data(), absolute.data(), errors.data());
      for (const std::size_t which : {std::size_t{0}, next - h}) {
        const auto row = std::span(weights).subspan(which * intermediate_, intermediate_);
        const Column column{h + which, which, bias.empty() ? 0 : bias[h + which],
                            parts_ == Parts::sharded ? norm(row) : 0};
        write_column(column, errors, out);
      }
    }
    return out;
  }

 private:
  // An output column, where in the pair of products it is, its bias and its weights' norm.
  struct Column {
    std::size_t number;
    std::size_t which;
    double bias;
    double norm;
  };

  void write_column(const Column& column, const std::vector<double>& errors,
                    ExpertOutput& out) const {
    const double lost = lost_in(expert_.intermediate_size) * std::abs(column.bias);
    for (std::size_t row = 0; row < count_; ++row) {
      const std::size_t at = row * hidden_ + column.number;
      const double value = pair_[2 * row + column.which] + column.bias;
      const double error = errors[2 * row + column.which] + lost;
      const double parts = column.norm * activated_norm(row) + std::abs(column.bias);
      const double magnitude = parts_ == Parts::sharded ? parts : std::abs(value);
      out.values[at] = value;
      out.errors[at] = error + roundoff_.of(magnitude + error);
      out.magnitudes[at] = magnitude;
    }
  }

  double activated_norm(std::size_t row) const {
    return activated_norms_.empty() ? 0 : activated_norms_[row];
  }

  // One of the pair of products that was computed last, with its bias: the sum of absolute products
  // is at most the product of the norms.
  Near product(std::size_t row, std::size_t which, double weights_norm, double bias) const {
    const double value = pair_[2 * row + which] + bias;
    const double error =
        lost_in(expert_.hidden_size) * (weights_norm * norms_[row] + std::abs(bias));
    return {value, error + roundoff_.of(std::abs(value) + error)};
  }

  // activated_ and errors_ [n, intermediate]; the second product's own loss is in the errors.
  void activate() {
    const GateLayout layout = activation_row(activation_).gate;
    Rows w13(expert_.w13, expert_.hidden_size, expert_.weight_dtype);
    const std::vector<double> bias = all_of(expert_.w13_bias, expert_.dtype);
    const Activator activator(activation_, expert_.quantisation.rounding, roundoff_);
    activated_.resize(count_ * intermediate_);
    errors_.resize(count_ * intermediate_);
    for (std::size_t i = 0; i < intermediate_; ++i) {
      const std::size_t first = layout == GateLayout::interleaved ? 2 * i : i;
      const std::size_t second = layout == GateLayout::interleaved ? 2 * i + 1
                                 : layout == GateLayout::halves    ? intermediate_ + i
                                                                   : i;
      const std::vector<double>& weights = w13.read({first, second});
      multiply_({count_, 2, hidden_}, rows_.data(), weights.data(), pair_.data());
      const double first_norm = norm(std::span(weights).first(hidden_));
      const double second_norm = norm(std::span(weights).last(hidden_));
      for (std::size_t row = 0; row < count_; ++row) {
        const Near gate = product(row, 0, first_norm, bias.empty() ? 0 : bias[first]);
        const Near up = product(row, 1, second_norm, bias.empty() ? 0 : bias[second]);
        write_activated(
            row, i, layout == GateLayout::none ? activator.alone(gate) : activator.gated(gate, up));
      }
    }
  }

  void write_activated(std::size_t row, std::size_t i, Near a) {
    activated_[row * intermediate_ + i] = a.value;
    errors_[row * intermediate_ + i] = a.error;
  }

  // What quantising between the products may add, then the second product's own loss.
  void add_losses(double a2_given) {
    const std::string_view a2 = expert_.quantisation.a2;
    if (!a2.empty()) {
      add_requantisation(a2, a2_given, expert_.intermediate_size, activated_, errors_);
    }
    const double lost = lost_in(expert_.intermediate_size);
    for (std::size_t i = 0; i < errors_.size(); ++i) {
      errors_[i] += lost * (std::abs(activated_[i]) + errors_[i]);
    }
  }

  // The share of a sum of absolute products that n of them and a bias may lose: scales add two
  // products and an addition for each run of columns, at most one a column, and four at the end.
  double lost_in(Count n) const {
    return gamma_of(expert_.quantisation.weights.empty() ? n + 1 : 4 * n + 8);
  }

  const RealExpert& expert_;
  Activation activation_;
  Parts parts_;
  Roundoff roundoff_;
  std::size_t hidden_;
  std::size_t intermediate_;
  std::size_t count_;
  const std::vector<double>& rows_;
  std::vector<double> pair_;  // [n, 2]
  std::vector<double> norms_;
  std::vector<double> activated_;
  std::vector<double> activated_norms_;  // where parts are summed
  std::vector<double> errors_;
  Products multiply_ = chosen_products();
};

constexpr std::string_view of_tensor = "fp8_dynamic_tensor";

// The rows as their codes say. With the scale of the tensor that they are part of, a whole tensor's
// codes are those of a static scale (experts-and-oracles.md, 8.2: "same").
std::vector<double> rows_as_codes(const RealExpert& expert, const ExpertRows& rows) {
  const ExpertQuantisation& quantisation = expert.quantisation;
  if (quantisation.a1.empty()) return rows.values;
  QuantiseOrder order{.rows = std::ssize(rows.values) / expert.hidden_size,
                      .columns = expert.hidden_size};
  const bool is_of_tensor = quantisation.a1 == of_tensor;
  order.given = {is_of_tensor ? rows.scale->rows : quantisation.a1_given};
  const std::vector<float> floats(rows.values.begin(), rows.values.end());
  return quantised_numbers(is_of_tensor ? "fp8_static_tensor" : quantisation.a1, floats, order);
}

void check_scale(const RealExpert& expert, const ExpertRows& rows) {
  MOE_CHECK(rows.scale.has_value() || !has_tensor_scale(expert.quantisation),
            "a scale of a whole tensor depends on rows that one expert does not see");
}

}  // namespace

bool has_tensor_scale(const ExpertQuantisation& quantisation) {
  return quantisation.a1 == of_tensor || quantisation.a2 == of_tensor;
}

ExpertOutput expert_output(const RealExpert& expert, Activation activation, Parts parts,
                           const ExpertRows& rows) {
  check_scale(expert, rows);
  const ExpertQuantisation& quantisation = expert.quantisation;
  const std::vector<double> numbers = rows_as_codes(expert, rows);
  return ExpertRun(expert, activation, parts, numbers)
      .output(quantisation.a2 == of_tensor ? rows.scale->between : double{quantisation.a2_given});
}

std::vector<double> activated_rows(const RealExpert& expert, Activation activation,
                                   const ExpertRows& rows) {
  check_scale(expert, rows);
  const std::vector<double> numbers = rows_as_codes(expert, rows);
  return ExpertRun(expert, activation, Parts::whole, numbers).activated();
}

double largest_activated(const RealExpert& expert, Activation activation, const ExpertRows& rows) {
  check_scale(expert, rows);
  const std::vector<double> numbers = rows_as_codes(expert, rows);
  return ExpertRun(expert, activation, Parts::whole, numbers).largest_activated();
}

}  // namespace moe::golden
