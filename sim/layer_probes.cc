// The probes. Rounding commutes with factors of two, so doubled rows and weights must give doubled
// bits; what weights of 0 and 1 must give is asked of the oracle, which sees no layer.

#include "sim/layer_probes.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "kernels/base/bits.h"
#include "kernels/base/digest.h"
#include "kernels/base/text.h"
#include "sim/eplb_rules.h"

namespace moe::sim {
namespace {

// Rows as doubles, row-major.
std::vector<double> values_of(const Tensor& rows) {
  std::vector<double> values(static_cast<std::size_t>(rows.rows * rows.columns));
  for (Count row = 0; row < rows.rows; ++row) {
    const auto begin = static_cast<std::size_t>(row * rows.columns);
    golden::read_row(
        rows, row, std::span(values).subspan(begin).first(static_cast<std::size_t>(rows.columns)));
  }
  return values;
}

void double_rows(const Tensor& rows) {
  for_row_type(rows.dtype, [&](auto element) {
    using T = decltype(element);
    for (T& value : elements_of<T>(rows)) round_to(2 * to_float(value), value);
  });
}

// The first column whose value is not factor times the other but for a rounding; none: no column.
std::optional<std::size_t> first_not_times(std::span<const double> values,
                                           std::span<const double> others, double factor) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double expected = factor * others[i];
    if (std::abs(values[i] - expected) > std::abs(expected) / 64) return i;
  }
  return std::nullopt;
}

// Whether values are factor times the others but for a rounding, and not all of them nothing.
bool is_times(std::span<const double> values, std::span<const double> others, double factor) {
  const auto is_something = [factor](double other) { return factor * other != 0; };
  return !first_not_times(values, others, factor) && std::ranges::any_of(others, is_something);
}

bool is_nothing(std::span<const double> values) {
  return std::ranges::all_of(values, [](double value) { return value == 0; });
}

// Element by element: a - b.
std::vector<double> difference(std::vector<double> a, const std::vector<double>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return a;
}

// What the routed experts alone gave: with weights of 1, with weights of 2, and what the oracle
// says of the first. All [tokens, columns]. What weights of 0 leave is not theirs.
struct RoutedOutputs {
  std::vector<double> ones;
  std::vector<double> twos;
  std::vector<double> expected_ones;
  std::vector<double> beside_shared;  // with weights of 1, less the shared part as it must be
  Count columns = 0;

  // A token's row of one of them.
  std::span<const double> row(const std::vector<double>& of, Count token) const {
    return std::span(of).subspan(static_cast<std::size_t>(token * columns),
                                 static_cast<std::size_t>(columns));
  }
};

// What is wrong with a token's weights or factor; empty where each went in once.
std::string wrong_weighting(const RoutedOutputs& routed, Count token, double scale) {
  const auto ones = routed.row(routed.ones, token);
  const auto twos = routed.row(routed.twos, token);
  const auto expected = routed.row(routed.expected_ones, token);
  const auto not_twice = first_not_times(twos, ones, 2);
  if (!is_nothing(ones) && not_twice) {
    const std::string_view how = is_times(twos, ones, 4) ? "applied twice" : "not applied once";
    return text("weights of 2 give ", twos[*not_twice], " in column ", *not_twice,
                " where weights of 1 give ", ones[*not_twice], ": the router weight is ", how);
  }
  if (is_nothing(ones) && is_nothing(twos) &&
      !is_nothing(routed.row(routed.beside_shared, token))) {
    return "weights of 0, 1 and 2 give the same: the router weight is never applied";
  }
  if (scale == 1) return {};
  for (const int times : {0, 2, 3}) {
    if (!is_times(ones, expected, std::pow(scale, times - 1))) continue;
    const auto due = std::ranges::find_if(expected, [](double value) { return value != 0; });
    const auto column = static_cast<std::size_t>(due - expected.begin());  // zeros say nothing
    return text("weights of 1 give ", ones[column], " in column ", column, " where ", *due,
                " is due: the routed scaling factor ", scale, " is applied ", times, " times");
  }
  return {};
}

}  // namespace

LayerProbes::LayerProbes(const ProbedWorld& world, CheckLedger& ledger)
    : world_(world), ledger_(ledger), host_(make_host_memory(Poison::on)) {
  if (world.stage.first == world.stage.last) return;
  // Where sums round, another rank's replica gives other bits: only the maps still in force count.
  const bool rounds = world.scenario.values == Values::real;
  const int num_steps = world.inputs.num_steps();
  for (int step = rounds ? first_step_of_last_maps(world.scenario, num_steps) : 0; step < num_steps;
       ++step) {
    if (total_rows(world.inputs.tokens(step)) == 0) continue;
    const golden::Cell last{step, world.stage.last - 1, 0};
    if (cells_.empty()) cells_.push_back({step, world.stage.first, 0});
    if (cells_.front() == last) continue;
    cells_.resize(1);
    cells_.push_back(last);
  }
}

bool LayerProbes::is_probed(golden::Cell cell) const {
  return std::ranges::any_of(cells_, [cell](golden::Cell probed) {
    return probed.step == cell.step && probed.layer == cell.layer;
  });
}

void LayerProbes::note(golden::Cell cell, const CellInputs& inputs, const Tensor& output,
                       RankOutputs& outputs) {
  const auto bytes = static_cast<std::size_t>(bytes_of(output));
  const std::array<std::uint64_t, 2> chain = {
      outputs.digest, digest_of({static_cast<const std::byte*>(output.data), bytes})};
  outputs.digest = digest_of(std::as_bytes(std::span(chain)));
  outputs.has_bounds = world_.scenario.values == Values::real;
  if (!is_probed(cell)) return;
  Buffer copy(*host_, {output.rows, output.columns, output.dtype});
  host_->copy(output, copy.tensor());
  kept_.push_back({cell, std::move(copy)});
  if (output.rows == 0) return;
  for (const Count token : {Count{0}, output.rows - 1}) {
    const std::vector<OutputSample> samples = samples_of(cell, inputs, output, token);
    outputs.samples.insert(outputs.samples.end(), samples.begin(), samples.end());
  }
}

// Of one row, with the bounds that a real world has.
std::vector<OutputSample> LayerProbes::samples_of(golden::Cell cell, const CellInputs& inputs,
                                                  const Tensor& output, Count token) const {
  std::vector<double> bounds;
  if (world_.scenario.values == Values::real) {
    const golden::Expected expected = world_.inputs.expected_row(cell, inputs, token, world_.how);
    for (std::size_t i = 0; i < expected.values.size(); ++i) {
      bounds.push_back(expected.bound(i, world_.num_roundings));
    }
  }
  return row_samples(cell, output, token, bounds);
}

void LayerProbes::run(const Forward& forward) {
  // From the last cell back: the first one comes after a longer and a shorter step alike.
  for (auto kept = kept_.rbegin(); kept != kept_.rend(); ++kept) twice(*kept, forward);
  if (kept_.empty() || world_.scenario.values != Values::integers) return;
  const golden::Cell cell = kept_.back().cell;
  const SharedPart shared{with_weights(cell, 0, forward), expected_with(cell, 0).values};
  linear(cell, shared, forward);
  weighted_once(cell, shared, forward);
}

void LayerProbes::twice(const Kept& kept, const Forward& forward) {
  ledger_.looked("TWICE");
  const Buffer again = forward(kept.cell, world_.inputs.cell(kept.cell, *host_));
  const Tensor& first = kept.output.tensor();
  const auto width = static_cast<std::size_t>(size_of(first.dtype));
  for (Count i = 0; i < first.rows * first.columns; ++i) {
    const std::byte* then = row_at(first, 0) + i * size_of(first.dtype);
    const std::byte* now = row_at(again.tensor(), 0) + i * size_of(first.dtype);
    if (std::memcmp(then, now, width) == 0) continue;
    found("TWICE", kept.cell,
          text("token ", i / first.columns, " gives other bits when the step is run again: column ",
               i % first.columns, " was ", element_as_double(then, first.dtype), " and is ",
               element_as_double(now, first.dtype)));
    return;
  }
}

Buffer LayerProbes::with_weights(golden::Cell cell, float weight, const Forward& forward) {
  return forward(cell, inputs_with(cell, weight));
}

CellInputs LayerProbes::inputs_with(golden::Cell cell, float weight) const {
  CellInputs inputs = world_.inputs.cell(cell, *host_);
  std::ranges::fill(elements_of<float>(inputs.topk_weights.tensor()), weight);
  return inputs;
}

golden::Expected LayerProbes::expected_with(golden::Cell cell, float weight) const {
  return world_.inputs.expected(cell, inputs_with(cell, weight), world_.how);
}

// Weights of 0 leave what the shared experts give; doubled rows give doubled outputs where experts
// are linear.
void LayerProbes::linear(golden::Cell cell, const SharedPart& shared, const Forward& forward) {
  ledger_.looked("LIN");
  const auto compared = golden::compare(shared.expected, shared.output.tensor());
  if (compared.first && !std::isnan(compared.first->actual)) {  // NaN is POISON's affair
    const golden::Mismatch& first = *compared.first;
    found("LIN", cell,
          text("with router weights of 0 token ", first.token, ", column ", first.column,
               " must be ", first.expected, ", the shared experts' part, and is ", first.actual));
  }
  if (world_.scenario.model.kernel != ExpertKernel::probe) return;
  const Buffer once = forward(cell, world_.inputs.cell(cell, *host_));
  const CellInputs doubled = world_.inputs.cell(cell, *host_);
  double_rows(doubled.hidden_states.tensor());
  const std::vector<double> twice = values_of(forward(cell, doubled).tensor());
  const std::vector<double> single = values_of(once.tensor());
  for (std::size_t i = 0; i < single.size(); ++i) {
    if (twice[i] == 2 * single[i] || std::isnan(single[i])) continue;
    const auto columns = static_cast<std::size_t>(once.tensor().columns);
    found("LIN", cell,
          text("doubled hidden states turn ", single[i], " into ", twice[i], " (token ",
               i / columns, ", column ", i % columns, ")"));
    return;
  }
}

void LayerProbes::weighted_once(golden::Cell cell, const SharedPart& shared,
                                const Forward& forward) {
  const ModelSpec& model = world_.scenario.model;
  // A weight on the input goes through the activation, which is not linear.
  if (model.router_weight_on_input && model.kernel != ExpertKernel::probe) return;
  ledger_.looked("WONCE");
  const std::vector<double> without_weight = values_of(shared.output.tensor());
  const Buffer ones = with_weights(cell, 1, forward);
  const std::vector<double> whole_ones = values_of(ones.tensor());
  const RoutedOutputs routed{
      .ones = difference(whole_ones, without_weight),
      .twos = difference(values_of(with_weights(cell, 2, forward).tensor()), without_weight),
      .expected_ones = difference(expected_with(cell, 1).values, shared.expected),
      .beside_shared = difference(whole_ones, shared.expected),
      .columns = ones.tensor().columns};
  for (Count token = 0; token < ones.tensor().rows; ++token) {
    const std::string wrong = wrong_weighting(routed, token, model.scale);
    if (wrong.empty()) continue;
    found("WONCE", cell, text("token ", token, ": ", wrong));
    return;
  }
}

void LayerProbes::found(std::string_view check, golden::Cell cell, const std::string& what) {
  const golden::Cell place{cell.step, cell.layer, world_.world_rank};
  ledger_.found(check, moment_of(place, 1), text(place_text(place), ", probe: ", what));
}

}  // namespace moe::sim
