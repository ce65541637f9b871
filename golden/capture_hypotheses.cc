// Sums of the right contributions with weights of others, added or rounded in another way, or with
// one that another slot made.

#include "golden/capture_hypotheses.h"

#include <algorithm>
#include <numeric>

#include "golden/capture_values.h"
#include "kernels/base/text.h"

namespace moe::golden {
namespace {

constexpr Count slots_tried = 512;  // of a place, whose result may stand for another's

constexpr int permuted_max = 6;  // choices whose weights are tried in every order: 720 of them

using Order = std::vector<int>;  // which choice's weight each choice has

// The first that fits.
std::optional<Hypothesis> first_fitting(const WrongRow& row, const std::vector<Hypothesis>& tried) {
  const auto found =
      std::ranges::find_if(tried, [&](const Hypothesis& one) { return fits(row, one.sum); });
  return found == tried.end() ? std::nullopt : std::optional(*found);
}

float weight_of(const WrongRow& row, Count token_row, int choice) {
  const auto at = static_cast<std::size_t>(token_row * row.judging.capture.top_k + choice);
  return row.judging.rank(row.token.source).topk_weights[at];
}

Count num_moved(const Order& order) {
  Count moved = 0;
  for (std::size_t choice = 0; choice < order.size(); ++choice) {
    moved += static_cast<Count>(order[choice] != static_cast<int>(choice));
  }
  return moved;
}

Order in_place(int top_k) {
  Order order(static_cast<std::size_t>(top_k));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

// All of few choices; of many two exchanged, all turned, all reversed. The least moved first.
std::vector<Order> weight_orders(int top_k) {
  std::vector<Order> orders;
  Order order = in_place(top_k);
  if (top_k <= permuted_max) {
    while (std::ranges::next_permutation(order).found) orders.push_back(order);
  } else {
    for (std::size_t i = 0; i < order.size(); ++i) {
      for (std::size_t j = i + 1; j < order.size(); ++j) {
        orders.push_back(order);
        std::swap(orders.back()[i], orders.back()[j]);
      }
    }
    for (Count by = 1; by < top_k; ++by) {
      orders.push_back(order);
      std::rotate(orders.back().begin(), orders.back().begin() + by, orders.back().end());
    }
    orders.emplace_back(order.rbegin(), order.rend());
  }
  std::ranges::stable_sort(orders, {}, num_moved);
  return orders;
}

std::string order_text(const Order& order) {
  std::vector<std::string> words;
  for (std::size_t choice = 0; choice < order.size(); ++choice) {
    const int from = order[choice];
    const bool is_exchanged = order[static_cast<std::size_t>(from)] == static_cast<int>(choice);
    if (from == static_cast<int>(choice) || (is_exchanged && from < static_cast<int>(choice))) {
      continue;
    }
    words.push_back(is_exchanged
                        ? text("the weights of choices ", choice, " and ", from, " are exchanged")
                        : text("choice ", choice, " has the weight of choice ", from));
  }
  return joined(words);
}

// Choices that are not masked, each with the weight of the one so many further.
std::vector<Hypothesis> turned_weights(const WrongRow& row) {
  std::vector<Hypothesis> tried;
  const std::size_t count = row.sum.terms.size();
  for (std::size_t by = 1; by < count; ++by) {
    Sum turned = row.sum;
    for (std::size_t i = 0; i < count; ++i) {
      turned.terms[i].weight = row.sum.terms[(i + by) % count].weight;
    }
    tried.push_back({CaptureFault::weight_wrong,
                     text("each choice has the weight of the one ", by, " further"), turned});
  }
  return tried;
}

std::vector<Hypothesis> permuted_weights(const WrongRow& row) {
  std::vector<Hypothesis> tried;
  for (const Order& order : weight_orders(row.judging.capture.top_k)) {
    Sum sum = row.sum;
    for (Term& term : sum.terms) {
      term.weight = weight_of(row, row.token.row, order[static_cast<std::size_t>(term.topk_slot)]);
    }
    tried.push_back({CaptureFault::weight_wrong, order_text(order), sum});
  }
  return tried;
}

std::vector<Hypothesis> foreign_weights(const WrongRow& row) {
  std::vector<Hypothesis> tried;
  const Count rows = row.judging.rank(row.token.source).hidden_states.rows;
  for (Count other = 0; other < rows; ++other) {
    if (other == row.token.row) continue;
    Sum sum = row.sum;
    for (Term& term : sum.terms) term.weight = weight_of(row, other, term.topk_slot);
    tried.push_back({CaptureFault::weight_wrong, text("with the weights of row ", other), sum});
  }
  return tried;
}

// Rows that were weighted before they were weighted.
std::vector<Hypothesis> weighted_values(const WrongRow& row) {
  Sum values = row.sum;
  values.reduction.weights_values = true;
  Sum rounded = values;
  rounded.reduction.rounds_values = true;
  return {{CaptureFault::weight_twice, "the weight was applied twice", values},
          {CaptureFault::weight_twice,
           "the weight was applied twice, with a rounding to the rows' type between", rounded}};
}

}  // namespace

std::string term_text(const WrongRow& row, const Term& term) {
  const Place& place = row.judging.places[term.place];
  if (place.local_expert < 0) return text("rank ", place.rank, "'s contribution");
  return text("the contribution of rank ", place.rank, "'s expert ", place.local_expert,
              " (choice ", term.topk_slot, ", slot ", term.row - place.first, ")");
}

std::optional<Hypothesis> fitting_weights(const WrongRow& row) {
  if (!row.sum.reduction.is_weighted || row.sum.terms.empty()) return std::nullopt;
  for (const auto& tried :
       {weighted_values(row), turned_weights(row), permuted_weights(row), foreign_weights(row)}) {
    if (const auto found = first_fitting(row, tried)) return found;
  }
  return std::nullopt;
}

std::optional<Hypothesis> fitting_recipe(const WrongRow& row) {
  std::vector<Hypothesis> tried;
  const auto add = [&](const char* cause, auto&& change) {
    Sum sum = row.sum;
    change(sum.reduction);
    tried.push_back({CaptureFault::recipe_differs, cause, sum});
  };
  add("the terms were added in the reverse order", [](Reduction& r) { r.is_reversed = true; });
  add("every sum was rounded to the rows' type", [](Reduction& r) { r.rounds_sums = true; });
  if (!row.sum.reduction.is_weighted) return first_fitting(row, tried);
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
  return first_fitting(row, tried);
}

std::optional<Hypothesis> fitting_slot(const WrongRow& row) {
  for (std::size_t i = 0; i < row.sum.terms.size(); ++i) {
    const Term& term = row.sum.terms[i];
    const Place& place = row.judging.places[term.place];
    for (Count slot = 0; slot < std::min(place.size, slots_tried); ++slot) {
      const DueRow* due = row.judging.due_at(term.place, slot);
      if (due == nullptr || place.first + slot == term.row) continue;
      Sum sum = row.sum;
      sum.terms[i].row = place.first + slot;
      if (!fits(row, sum)) continue;
      return Hypothesis{CaptureFault::partial_wrong,
                        text("in the place of ", term_text(row, term), " that of ", row_text(*due)),
                        sum};
    }
  }
  return std::nullopt;
}

}  // namespace moe::golden
