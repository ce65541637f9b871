// Contributions missing or added twice and weights applied never or twice, in every subset of a
// token's terms where they are few. One kind at a time; of two explanations the smaller one.

#include <algorithm>
#include <cstdint>
#include <map>

#include "golden/capture_hypotheses.h"
#include "golden/capture_values.h"
#include "kernels/base/text.h"

namespace moe::golden {
namespace {

constexpr std::size_t all_subsets_max = 12;  // terms: 4096 subsets of each kind
constexpr std::size_t pairs_max = 90;        // terms: about as many pairs

enum class Kind { missing, doubled, doubled_last, weight_never, weight_twice };

using Indices = std::vector<std::size_t>;  // of terms

bool is_weights(Kind kind) { return kind == Kind::weight_never || kind == Kind::weight_twice; }

// Terms that the kind changes anything of: not zeros, for weights not those with the weight 1.
Indices acting_terms(const WrongRow& row, Kind kind) {
  Indices acting;
  for (std::size_t i = 0; i < row.sum.terms.size(); ++i) {
    const Term& term = row.sum.terms[i];
    if (is_weights(kind) && term.weight == 1) continue;
    const std::vector<float> values = floats_of(*term.rows, term.row);
    const bool is_zero =
        term.weight == 0 || std::ranges::all_of(values, [](float value) { return value == 0; });
    if (!is_zero || (kind == Kind::weight_never && term.weight == 0)) acting.push_back(i);
  }
  return acting;
}

Sum changed(const Sum& sum, Kind kind, const Indices& subset) {
  Sum result = sum;
  result.terms.clear();
  std::vector<Term> last;
  for (std::size_t i = 0; i < sum.terms.size(); ++i) {
    const bool is_in = std::ranges::find(subset, i) != subset.end();
    if (is_in && kind == Kind::missing) continue;
    result.terms.push_back(sum.terms[i]);
    if (!is_in) continue;
    Term& term = result.terms.back();
    if (kind == Kind::weight_never) term.weight = 1;
    if (kind == Kind::weight_twice) term.weight *= term.weight;
    if (kind == Kind::doubled) result.terms.push_back(sum.terms[i]);
    if (kind == Kind::doubled_last) last.push_back(sum.terms[i]);
  }
  result.terms.insert(result.terms.end(), last.begin(), last.end());
  return result;
}

CaptureFault fault_of(Kind kind) {
  if (kind == Kind::missing) return CaptureFault::partial_missing;
  if (kind == Kind::weight_never) return CaptureFault::weight_never;
  if (kind == Kind::weight_twice) return CaptureFault::weight_twice;
  return CaptureFault::partial_doubled;
}

std::string ending_of(Kind kind, bool is_one) {
  const char* be = is_one ? "is" : "are";
  const char* was = is_one ? "was" : "were";
  if (kind == Kind::missing) return text(" ", be, " missing");
  if (kind == Kind::weight_never) return text(" ", was, " never applied");
  if (kind == Kind::weight_twice) return text(" ", was, " applied twice");
  return text(" ", was, " added twice");
}

int rank_of(const WrongRow& row, std::size_t term) {
  return row.judging.places[row.sum.terms[term].place].rank;
}

// The rank of whose acting terms the subset has all and no others; -1 if there is none, or where a
// rank has but one term.
int whole_rank(const WrongRow& row, const Indices& subset, const Indices& acting) {
  const int rank = rank_of(row, subset.front());
  const auto is_there = [&](std::size_t term) { return rank_of(row, term) == rank; };
  const bool is_whole = std::ranges::all_of(subset, is_there) &&
                        std::ranges::count_if(acting, is_there) == std::ssize(subset);
  return is_whole && subset.size() > 1 ? rank : -1;
}

std::string choices_text(const WrongRow& row, const Indices& subset) {
  std::vector<int> choices;
  for (const std::size_t term : subset) choices.push_back(row.sum.terms[term].topk_slot);
  return text(" (choices ", joined(choices), ")");
}

std::string cause_of(const WrongRow& row, Kind kind, const Indices& subset, const Indices& acting) {
  std::vector<std::string> names;
  for (const std::size_t term : subset) names.push_back(term_text(row, row.sum.terms[term]));
  const bool is_one = subset.size() == 1;
  const bool is_all = subset.size() == acting.size();
  const int rank = whole_rank(row, subset, acting);
  if (is_weights(kind)) {
    if (is_all && !is_one) return text("the weight", ending_of(kind, true));
    const char* word = is_one ? "the weight of " : "the weights of ";
    return text(word, joined(names, " and "), ending_of(kind, is_one));
  }
  if (is_all && !is_one) return text("every contribution", ending_of(kind, true));
  if (rank >= 0) {
    return text("every contribution of rank ", rank, choices_text(row, subset),
                ending_of(kind, true));
  }
  if (kind == Kind::missing && subset.size() + 1 == acting.size() && acting.size() > 2) {
    const auto left = std::ranges::find_if(
        acting, [&](std::size_t term) { return std::ranges::find(subset, term) == subset.end(); });
    return text("nothing but ", term_text(row, row.sum.terms[*left]), " came home");
  }
  return text(joined(names, " and "), ending_of(kind, is_one));
}

// Every subset of few terms, the smaller ones first; of many: single ones, pairs, all but one, all,
// and each rank's.
std::vector<Indices> subsets_of(const WrongRow& row, const Indices& acting) {
  std::vector<Indices> subsets;
  const std::size_t count = acting.size();
  if (count <= all_subsets_max) {
    for (std::uint32_t bits = 1; bits < 1U << count; ++bits) {
      Indices& subset = subsets.emplace_back();
      for (std::size_t i = 0; i < count; ++i) {
        if ((bits >> i & 1U) != 0) subset.push_back(acting[i]);
      }
    }
    std::ranges::stable_sort(subsets, {}, &Indices::size);
    return subsets;
  }
  std::map<int, Indices> of_rank;
  for (std::size_t i = 0; i < count; ++i) {
    subsets.push_back({acting[i]});
    of_rank[rank_of(row, acting[i])].push_back(acting[i]);
    for (std::size_t j = i + 1; count <= pairs_max && j < count; ++j) {
      subsets.push_back({acting[i], acting[j]});
    }
    Indices& others = subsets.emplace_back(acting);
    others.erase(others.begin() + static_cast<Count>(i));
  }
  for (const auto& [rank, terms] : of_rank) subsets.push_back(terms);
  subsets.push_back(acting);
  std::ranges::stable_sort(subsets, {}, &Indices::size);
  return subsets;
}

}  // namespace

std::optional<Hypothesis> fitting_subset(const WrongRow& row) {
  std::vector<Kind> kinds = {Kind::missing, Kind::doubled, Kind::doubled_last};
  if (row.sum.reduction.is_weighted) {
    kinds.insert(kinds.end(), {Kind::weight_never, Kind::weight_twice});
  }
  std::optional<Hypothesis> best;
  std::size_t least = 0;
  for (const Kind kind : kinds) {
    const Indices acting = acting_terms(row, kind);
    for (const Indices& subset : subsets_of(row, acting)) {
      if (best && subset.size() >= least) break;
      const Sum sum = changed(row.sum, kind, subset);
      if (!fits(row, sum)) continue;
      best = Hypothesis{fault_of(kind), cause_of(row, kind, subset, acting), sum};
      least = subset.size();
      break;
    }
  }
  return best;
}

}  // namespace moe::golden
