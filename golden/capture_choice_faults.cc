// Ids and weights are explained one by one, or a row of them by one sentence. What is due is not
// decided here.

#include "golden/capture_choice_faults.h"

#include <algorithm>
#include <cmath>

#include "golden/capture_values.h"
#include "kernels/base/text.h"

namespace moe::golden {
namespace {

// The constant between weights; 0 if there is none.
float factor_between(const std::vector<float>& actual, const std::vector<float>& expected) {
  std::vector<Range> arrived;
  std::vector<Range> due;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    arrived.push_back(rounding_range(std::bit_cast<std::uint32_t>(actual[i]), DType::f32));
    const auto value = static_cast<double>(expected[i]);
    due.push_back({value, value});
  }
  return common_factor(arrived, due, 1);
}

}  // namespace

std::string id_cause(const Judging& judging, const Place& place, const Choice& choice,
                     std::int64_t actual, std::span<const std::string> expected) {
  const std::int64_t distance = actual - choice.id;
  const bool is_local = judging.capture.id_space == IdSpace::local;
  const auto here = static_cast<std::size_t>(place.rank);
  const int experts =
      is_local ? judging.experts.num_local_experts[here] : judging.capture.num_experts;
  if (choice.is_local && is_local && actual == choice.expert) return "the global id, not the local";
  if (choice.is_local && !is_local &&
      actual == judging.experts.local_of[static_cast<std::size_t>(choice.expert)]) {
    return "the local id, not the global";
  }
  if (actual == -1) return text("the choice of expert ", choice.expert, " is masked");
  const bool is_known = actual >= 0 && actual < experts;
  if (choice.id == -1 && is_known) {
    return choice.expert < 0 ? "the token's choice is masked"
                             : text("the token's choice is expert ", choice.expert,
                                    ", which is not one of rank ", place.rank, "'s");
  }
  if (choice.id != -1 && (distance == 1 || distance == -1)) {
    return text("shifted by ", distance, is_known ? "" : ", out of range");
  }
  if (!is_known) return text("out of range: ids are -1 to ", experts - 1, " here");
  const auto other = std::ranges::find(expected, text(actual));
  if (other != expected.end()) {
    return text("the id of the token's choice ", other - expected.begin());
  }
  return text("another expert than the token's choice, ", choice.expert);
}

std::string weight_cause(const Judging& judging, const DueRow& due, const Choice& choice,
                         float actual) {
  if (!choice.is_local && choice.weight == 0) {
    return "the choice of another rank's expert must weigh nothing here";
  }
  if (actual == 0) return "the weight is lost";
  if (is_same(actual, 1)) return "the weight is 1: never applied, or lost";
  if (is_same(actual, choice.weight * choice.weight)) return "the weight twice";
  for (int slot = 0; slot < judging.capture.top_k; ++slot) {
    const auto given = static_cast<std::size_t>(due.row * judging.capture.top_k + slot);
    if (is_same(actual, judging.rank(due.source).topk_weights[given])) {
      return text("the weight of the token's choice ", slot);
    }
  }
  const std::uint32_t bits =
      std::bit_cast<std::uint32_t>(actual) ^ std::bit_cast<std::uint32_t>(choice.weight);
  const int count = std::popcount(bits);
  const float factor = factor_between({actual}, {choice.weight});
  if (count > 1 && factor != 0 && factor * 1000 == std::nearbyint(factor * 1000))
    return text("times ", factor);
  return text(count, count == 1 ? " bit differs" : " bits differ");
}

std::string order_text(const Labels& actual, const Labels& expected) {
  std::vector<std::string> words;
  std::vector<bool> used(expected.size(), false);
  for (std::size_t slot = 0; slot < actual.size(); ++slot) {
    std::size_t from = slot;
    if (actual[slot] != expected[slot]) {
      from = 0;
      while (from < expected.size() &&
             (used[from] || expected[from] != actual[slot] || actual[from] == expected[from])) {
        ++from;
      }
      if (from == expected.size()) return "";
      words.push_back(text("that of choice ", from, " in slot ", slot));
    }
    used[from] = true;
  }
  return joined(words);
}

std::string scaled_text(const std::vector<float>& actual, const std::vector<float>& expected) {
  const auto count = std::ranges::count_if(expected, [](float weight) { return weight != 0; });
  if (count < 2) return "";
  const float factor = factor_between(actual, expected);
  return factor == 0 ? "" : text("every weight of the row times ", factor);
}

}  // namespace moe::golden
