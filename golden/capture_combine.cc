// Replays the declared reduction of each token: contributions over ranks ascending in fp32, or rows
// times weights by fma in top-k order, one rounding at the end; where a collective promises no
// order, a bound that follows from the roundings it may make.

#include "golden/capture_combine.h"

#include <algorithm>
#include <cmath>

#include "golden/capture_values.h"
#include "golden/roundoff.h"
#include "kernels/base/text.h"

namespace moe::golden {
namespace {

float rounded(float value, DType dtype) { return float_of(rounded_bits(value, dtype), dtype); }

float value_of(const Term& term, Count column) {
  return float_of(bits_at(*term.rows, term.row, column), term.rows->dtype);
}

float added(const Sum& sum, const Term& term, Count column, float to) {
  const Reduction& reduction = sum.reduction;
  float value = value_of(term, column);
  if (!reduction.is_weighted) return to + value;
  if (reduction.weights_values) value *= term.weight;
  if (reduction.rounds_values) value = rounded(value, sum.wire);
  if (reduction.rounds_products) return to + rounded(value * term.weight, sum.wire);
  if (!reduction.is_fused) {
    const float product = value * term.weight;
    return to + product;
  }
  return std::fma(value, term.weight, to);
}

// The largest error of n - 1 additions in any order, each rounded to the wire's type, and of the
// rounding to the row's.
double bound_of(const Sum& sum, const SumElement& element, Count num_terms) {
  const Roundoff wire = roundoff_of(sum.wire);
  const Count steps = num_terms - 1;
  double bound =
      gamma_of(steps, wire.unit) * element.magnitude + static_cast<double>(steps) * wire.smallest;
  if (sum.wire != sum.dtype) {
    bound += roundoff_of(sum.dtype).of(std::fabs(element.exact) + bound);
  }
  return bound;
}

}  // namespace

Locations locations_of(const Judging& judging) {
  Locations locations;
  for (const ShippedRows& shipped : judging.shipped) {
    locations.emplace_back(static_cast<std::size_t>(shipped.rows.rows));
  }
  for (std::size_t place = 0; place < judging.places.size(); ++place) {
    const std::vector<DueRow>& due = judging.places[place].due;
    for (std::size_t i = 0; i < due.size(); ++i) {
      locations[static_cast<std::size_t>(due[i].source)][static_cast<std::size_t>(due[i].row)]
          .push_back({place, i, due[i].topk_slot});
    }
  }
  for (auto& of_rank : locations) {
    for (auto& of_row : of_rank) {
      std::ranges::stable_sort(of_row, {}, &Location::topk_slot);
    }
  }
  return locations;
}

DeclaredSum declared_sum(const Judging& judging, DueRow token) {
  const Capture& capture = judging.capture;
  const auto source = static_cast<std::size_t>(sender_of(capture, token.source));
  DeclaredSum declared;
  Sum& sum = declared.sum;
  sum.reduction.is_weighted = capture.weighted_by == WeightedBy::source_rank;
  sum.reduction.in_any_order = capture.contract.sums_in_any_order;
  sum.dtype = judging.rank(token.source).combined.dtype;
  sum.wire = judging.rank(token.source).expert_output.dtype;
  for (const Location& at : judging.locations[source][static_cast<std::size_t>(token.row)]) {
    const Count slot = judging.arrivals[at.place].slot_of[at.due];
    if (slot < 0) {
      declared.is_whole = false;
      continue;
    }
    const Place& place = judging.places[at.place];
    Term term{.rows = &judging.rank(place.rank).expert_output,
              .row = place.first + slot,
              .place = at.place,
              .topk_slot = at.topk_slot};
    if (sum.reduction.is_weighted) {
      term.weight =
          judging.rank(token.source)
              .topk_weights[static_cast<std::size_t>(token.row * capture.top_k + at.topk_slot)];
    }
    sum.terms.push_back(term);
  }
  return declared;
}

SumElement element_of(const Sum& sum, Count column) {
  // Declared sums begin at +0, so that terms of -0 make +0. A collective may add them to each
  // other, as NCCL does (-0), or to a +0, as ours do.
  SumElement element{.has_free_zero_sign = sum.reduction.in_any_order && !sum.terms.empty()};
  Count num_nonzero = 0;
  for (std::size_t i = 0; i < sum.terms.size(); ++i) {
    const Term& term = sum.terms[sum.reduction.is_reversed ? sum.terms.size() - 1 - i : i];
    element.value = added(sum, term, column, element.value);
    if (sum.reduction.rounds_sums) element.value = rounded(element.value, sum.wire);
    const float product = value_of(term, column) * term.weight;
    element.has_free_zero_sign &= product == 0 && std::signbit(product);
    num_nonzero += static_cast<Count>(product != 0);
    element.magnitude += std::fabs(static_cast<double>(product));
    element.exact += static_cast<double>(product);
  }
  if (sum.reduction.in_any_order && num_nonzero > 2) {
    element.value = static_cast<float>(element.exact);
    element.bound = bound_of(sum, element, num_nonzero);
  }
  return element;
}

bool is_right(const SumElement& element, std::uint32_t bits, DType dtype) {
  const float actual = float_of(bits, dtype);
  if (element.bound == 0) {
    if (is_same_value(bits, rounded_bits(element.value, dtype), dtype)) return true;
    return element.has_free_zero_sign && actual == 0 && element.value == 0;
  }
  if (!std::isfinite(element.magnitude)) return !std::isfinite(actual);
  if (!std::isfinite(actual)) {
    return element.magnitude + element.bound >= largest_of(dtype);
  }
  return std::fabs(static_cast<double>(actual) - element.exact) <= element.bound;
}

std::vector<Count> wrong_columns(const Sum& sum, const CapturedRows& combined, Count row,
                                 Count most) {
  std::vector<Count> columns;
  for (Count column = 0; column < combined.columns && std::ssize(columns) < most; ++column) {
    const SumElement element = element_of(sum, column);
    if (!is_right(element, bits_at(combined, row, column), sum.dtype)) columns.push_back(column);
  }
  return columns;
}

bool is_wrong(const Judging& judging, DueRow token) {
  const DeclaredSum declared = declared_sum(judging, token);
  if (!declared.is_whole) return false;
  const CapturedRows& combined = judging.rank(token.source).combined;
  return !wrong_columns(declared.sum, combined, token.row, 1).empty();
}

namespace {

// What was used of the bounds, and whether there is one.
void note_bounds(Judging& judging, const Sum& sum, const CapturedRows& combined, Count row) {
  bool has_bound = false;
  for (Count column = 0; sum.reduction.in_any_order && column < combined.columns; ++column) {
    const SumElement element = element_of(sum, column);
    if (element.bound == 0) continue;
    has_bound = true;
    const float actual = float_of(bits_at(combined, row, column), sum.dtype);
    const double share = std::fabs(static_cast<double>(actual) - element.exact) / element.bound;
    if (std::isfinite(share) && share <= 1) {
      judging.result.largest_share = std::max(judging.result.largest_share, share);
    }
  }
  judging.result.rows_bounded += static_cast<Count>(has_bound);
  judging.result.rows_combined += static_cast<Count>(!has_bound);
}

void judge_token(Judging& judging, DueRow token) {
  const CapturedRows& combined = judging.rank(token.source).combined;
  const DeclaredSum declared = declared_sum(judging, token);
  if (!declared.is_whole) return;  // its lost row is a finding of its own
  const Sum& sum = declared.sum;
  const auto columns = wrong_columns(sum, combined, token.row, combined.columns);
  note_bounds(judging, sum, combined, token.row);
  if (columns.empty()) return;
  CaptureFinding finding{.tensor = "combined",
                         .rank = token.source,
                         .row = token.row,
                         .column = columns.front(),
                         .elements = std::ssize(columns)};
  const SumElement element = element_of(sum, finding.column);
  finding.value = value_text(bits_at(combined, token.row, finding.column), sum.dtype);
  finding.expected = value_text(rounded_bits(element.value, sum.dtype), sum.dtype);
  if (element.bound > 0) finding.expected += text(" within ", element.bound);
  name_combined({judging, token, sum, columns}, finding);
  judging.result.findings.push_back(finding);
}

}  // namespace

void judge_combined(Judging& judging) {
  for (int rank = 0; rank < judging.capture.ep_size(); ++rank) {
    for (Count row = 0; row < judging.rank(rank).combined.rows; ++row) {
      judge_token(judging, {rank, row});
    }
  }
}

}  // namespace moe::golden
