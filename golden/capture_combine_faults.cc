// What went wrong with a combined row: each hypothesis is a sum of its own, tried against the data.
// One that fits every column is the likely fault; nearly fitting ones come last.

#include <algorithm>
#include <bit>
#include <cmath>
#include <span>

#include "golden/capture_combine.h"
#include "golden/capture_values.h"
#include "kernels/base/text.h"

namespace moe::golden {
namespace {

constexpr Count named_max = 60;  // findings, before hypotheses are no more tried

constexpr Count slots_tried = 512;  // of a place, whose result may stand for another's

struct Hypothesis {
  CaptureFault fault = CaptureFault::value_changed;
  std::string cause;
  Sum sum;
};

const CapturedRows& combined_of(const WrongRow& row) {
  return row.judging.rank(row.token.source).combined;
}

bool fits(const WrongRow& row, const Sum& sum) {
  return wrong_columns(sum, combined_of(row), row.token.row, 1).empty();
}

// Within a few roundings in nearly every column: a weight that was rounded on its way.
bool nearly_fits(const WrongRow& row, const Sum& sum) {
  const CapturedRows& combined = combined_of(row);
  Count far = 0;
  for (Count column = 0; column < combined.columns; ++column) {
    const SumElement element = element_of(sum, column);
    const float actual = float_of(bits_at(combined, row.token.row, column), sum.dtype);
    const double unit = sum.dtype == DType::bf16  ? 0x1p-7
                        : sum.dtype == DType::f16 ? 0x1p-10
                                                  : 0x1p-22;
    const double distance =
        std::fabs(static_cast<double>(actual) - static_cast<double>(element.value));
    far += static_cast<Count>(!(distance <= 2 * unit * element.magnitude + element.bound));
    if (far * 50 > combined.columns) return false;
  }
  return true;
}

// "rank 1's contribution", "the contribution of expert 3, choice 2"
std::string term_text(const WrongRow& row, const Term& term) {
  const Place& place = row.judging.places[term.place];
  if (place.local_expert < 0) return text("rank ", place.rank, "'s contribution");
  return text("the contribution of rank ", place.rank, "'s expert ", place.local_expert,
              " (choice ", term.topk_slot, ", slot ", term.row - place.first, ")");
}

void add_missing(const WrongRow& row, std::vector<Hypothesis>& tried) {
  for (std::size_t i = 0; i < row.sum.terms.size(); ++i) {
    const std::string name = term_text(row, row.sum.terms[i]);
    Sum sum = row.sum;
    sum.terms.erase(sum.terms.begin() + static_cast<Count>(i));
    tried.push_back({CaptureFault::partial_missing, text(name, " is missing"), sum});
    sum = row.sum;
    sum.terms.insert(sum.terms.begin() + static_cast<Count>(i), sum.terms[i]);
    tried.push_back({CaptureFault::partial_doubled, text(name, " was added twice"), sum});
    if (row.sum.terms.size() < 3) continue;
    sum.terms.assign(1, row.sum.terms[i]);
    tried.push_back({CaptureFault::partial_missing, text("nothing but ", name, " came home"), sum});
  }
  if (row.sum.terms.empty()) return;
  Sum twice = row.sum;
  twice.terms.insert(twice.terms.end(), row.sum.terms.begin(), row.sum.terms.end());
  tried.push_back({CaptureFault::partial_doubled, "every contribution was added twice", twice});
}

void add_weight(const WrongRow& row, std::size_t term, std::vector<Hypothesis>& tried) {
  const bool is_all = term == row.sum.terms.size();
  const std::string at = is_all ? "" : text(" of ", term_text(row, row.sum.terms[term]));
  Sum never = row.sum;
  Sum twice = row.sum;
  for (std::size_t i = 0; i < row.sum.terms.size(); ++i) {
    if (!is_all && i != term) continue;
    never.terms[i].weight = 1;
    twice.terms[i].weight *= twice.terms[i].weight;
  }
  tried.push_back(
      {CaptureFault::weight_never, text("the weight", at, " was never applied"), never});
  tried.push_back(
      {CaptureFault::weight_twice, text("the weight", at, " was applied twice"), twice});
}

void add_weights(const WrongRow& row, std::vector<Hypothesis>& tried) {
  if (!row.sum.reduction.is_weighted || row.sum.terms.empty()) return;
  add_weight(row, row.sum.terms.size(), tried);
  Sum values = row.sum;
  values.reduction.weights_values = true;
  tried.push_back({CaptureFault::weight_twice, "the weight was applied twice", values});
  values.reduction.rounds_values = true;
  tried.push_back({CaptureFault::weight_twice,
                   "the weight was applied twice, with a rounding to the rows' type between",
                   values});
  for (std::size_t i = 0; row.sum.terms.size() > 1 && i < row.sum.terms.size(); ++i) {
    add_weight(row, i, tried);
  }
  for (std::size_t by = 1; by < row.sum.terms.size(); ++by) {
    Sum turned = row.sum;
    for (std::size_t i = 0; i < turned.terms.size(); ++i) {
      turned.terms[i].weight = row.sum.terms[(i + by) % row.sum.terms.size()].weight;
    }
    tried.push_back({CaptureFault::weight_wrong,
                     text("each choice has the weight of the one ", by, " further"), turned});
  }
  const int top_k = row.judging.capture.top_k;
  const CapturedRank& source = row.judging.rank(row.token.source);
  for (Count other = 0; other < source.hidden_states.rows; ++other) {
    if (other == row.token.row) continue;
    Sum wrong = row.sum;
    for (Term& term : wrong.terms) {
      term.weight = source.topk_weights[static_cast<std::size_t>(other * top_k + term.topk_slot)];
    }
    tried.push_back({CaptureFault::weight_wrong, text("with the weights of row ", other), wrong});
  }
}

void add_recipes(const WrongRow& row, std::vector<Hypothesis>& tried) {
  const auto add = [&](const char* cause, auto&& change) {
    Sum sum = row.sum;
    change(sum.reduction);
    tried.push_back({CaptureFault::recipe_differs, cause, sum});
  };
  add("the terms were added in the reverse order", [](Reduction& r) { r.is_reversed = true; });
  add("every sum was rounded to the rows' type", [](Reduction& r) { r.rounds_sums = true; });
  if (!row.sum.reduction.is_weighted) return;
  add("products were rounded before they were added", [](Reduction& r) { r.is_fused = false; });
  add("products were rounded to the rows' type", [](Reduction& r) { r.rounds_products = true; });
  add("products and sums were rounded to the rows' type", [](Reduction& r) {
    r.rounds_products = true;
    r.rounds_sums = true;
  });
  add("the terms were added in the reverse order without fma", [](Reduction& r) {
    r.is_reversed = true;
    r.is_fused = false;
  });
  Sum rounded = row.sum;
  for (Term& term : rounded.terms) {
    term.weight = float_of(rounded_bits(term.weight, rounded.dtype), rounded.dtype);
  }
  tried.push_back(
      {CaptureFault::recipe_differs, "weights were rounded to the rows' type", rounded});
}

// A contribution that another slot of the same place made.
void add_other_slots(const WrongRow& row, std::vector<Hypothesis>& tried) {
  for (std::size_t i = 0; i < row.sum.terms.size(); ++i) {
    const Term& term = row.sum.terms[i];
    const Place& place = row.judging.places[term.place];
    for (Count slot = 0; slot < std::min(place.size, slots_tried); ++slot) {
      const DueRow* due = row.judging.due_at(term.place, slot);
      if (due == nullptr || place.first + slot == term.row) continue;
      Sum sum = row.sum;
      sum.terms[i].row = place.first + slot;
      tried.push_back({CaptureFault::partial_wrong,
                       text("in the place of ", term_text(row, term), " that of ", row_text(*due)),
                       sum});
    }
  }
}

// Which other tokens' sums count: those whose row holds this one's, or all.
enum class OtherTokens { swapped, all };

// The row is what another token should get. RETURNS whether it is one.
bool name_other_token(const WrongRow& row, OtherTokens which, CaptureFinding& finding) {
  const CapturedRows& combined = combined_of(row);
  const int ranks = row.judging.capture.ep_size();
  for (int i = 0; i < ranks; ++i) {
    const int rank = (row.token.source + i) % ranks;  // its own first
    const CapturedRows& others = row.judging.rank(rank).combined;
    for (Count other = 0; other < others.rows; ++other) {
      if (rank == row.token.source && other == row.token.row) continue;
      const DueRow token{rank, other};
      const DeclaredSum declared = declared_sum(row.judging, token);
      if (!declared.is_whole) continue;
      if (!wrong_columns(declared.sum, combined, row.token.row, 1).empty()) continue;
      const bool is_swapped = wrong_columns(row.sum, others, other, 1).empty();
      if (!is_swapped && (which == OtherTokens::swapped || declared.sum.terms.empty())) continue;
      const bool is_here = rank == row.token.source;
      finding.fault = is_swapped ? CaptureFault::row_swapped
                      : is_here  ? CaptureFault::row_doubled
                                 : CaptureFault::row_from_wrong_rank;
      finding.cause = text("this is the sum of ", row_text(token),
                           is_swapped ? ", which has this one's: the two are swapped"
                           : is_here  ? ": that row is doubled, this one is lost or stale"
                                      : ": the wrong rank's row");
      return true;
    }
  }
  return false;
}

// Rows that hold no sum at all. RETURNS whether it is one.
bool name_unwritten(const WrongRow& row, CaptureFinding& finding) {
  const CapturedRows& combined = combined_of(row);
  const std::vector<float> values = floats_of(combined, row.token.row);
  const CapturedRows& hidden = row.judging.rank(row.token.source).hidden_states;
  std::string cause;
  if (std::ranges::all_of(values, [](float value) { return std::isnan(value); })) {
    cause = "every element is NaN: the row was never written";
  } else if (std::ranges::all_of(values, [](float value) { return value == 0; })) {
    cause = "every element is zero: no contribution came home, or the row was never written";
  } else if (key_of(combined.row(row.token.row)) == key_of(hidden.row(row.token.row))) {
    cause = "the row is its own hidden state: nothing was written over it";
  }
  if (cause.empty()) return false;
  finding.fault = CaptureFault::row_unwritten;
  finding.cause = cause;
  return true;
}

std::string few_text(const WrongRow& row) {
  const CapturedRows& combined = combined_of(row);
  int bits = 0;
  for (const Count column : row.columns) {
    const std::uint32_t expected = rounded_bits(element_of(row.sum, column).value, row.sum.dtype);
    bits += std::popcount(bits_at(combined, row.token.row, column) ^ expected);
  }
  if (row.columns.size() == 1) return text("one element, ", bits, bits == 1 ? " bit" : " bits");
  return text(row.columns.size(), " of ", combined.columns, " elements, columns ",
              row.columns.front(), " to ", row.columns.back());
}

// The constant between the row and its sum; 0 if there is none.
float factor_of(const WrongRow& row) {
  std::vector<float> due;
  for (Count column = 0; column < combined_of(row).columns; ++column) {
    due.push_back(element_of(row.sum, column).value);
  }
  return common_factor(floats_of(combined_of(row), row.token.row), due);
}

// The first of the hypotheses that passes the test names the fault. RETURNS whether one
// does.
bool name_by(const WrongRow& row, std::span<const Hypothesis> tried,
             bool (*test)(const WrongRow&, const Sum&), CaptureFinding& finding) {
  const auto found =
      std::ranges::find_if(tried, [&](const Hypothesis& one) { return test(row, one.sum); });
  if (found == tried.end()) return false;
  finding.fault = found->fault;
  finding.cause = found->cause;
  return true;
}

}  // namespace

void name_combined(const WrongRow& row, CaptureFinding& finding) {
  finding.fault = CaptureFault::value_changed;
  finding.cause = few_text(row);
  if (row.columns.size() == 1 && combined_of(row).columns > 1) return;
  if (std::ssize(row.judging.result.findings) > named_max) return;
  if (name_other_token(row, OtherTokens::swapped, finding)) return;
  if (name_unwritten(row, finding)) return;
  if (name_other_token(row, OtherTokens::all, finding)) return;
  std::vector<Hypothesis> tried;
  add_missing(row, tried);
  add_weights(row, tried);
  add_recipes(row, tried);
  const std::size_t num_near = tried.size();  // in another slot's place only what fits is one
  add_other_slots(row, tried);
  if (name_by(row, tried, fits, finding)) return;
  if (std::ssize(row.columns) * 4 <= combined_of(row).columns) return;
  if (nearly_fits(row, row.sum)) {
    finding.fault = CaptureFault::recipe_differs;
    finding.cause += "; all are near: added or rounded in another way than declared";
    return;
  }
  if (name_by(row, std::span(tried).first(num_near), nearly_fits, finding)) return;
  if (const float factor = factor_of(row)) {
    finding.fault = CaptureFault::row_scaled;
    finding.cause += text("; the row times ", factor);
  } else {
    finding.cause += "; no sum of this token's contributions: stale, torn, or not its row";
  }
}

}  // namespace moe::golden
