// Routers on the host: scores then top-k, top-k then scores, and a routing that was written down.
// Rules and their sources stand at the doors in kernels.h.

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/cpu_operators.h"
#include "kernels/cpu/router_scores.h"

namespace moe::cpu {
namespace {

constexpr float taken = -10000.0F;  // what vLLM writes over a winner's score

void score_row(std::span<float> scores, const TopkSettings& settings) {
  if (settings.scoring == Scoring::softmax) {
    softmax(scores);
  } else {
    for (float& score : scores) score = 1.0F / (1.0F + std::exp(-score));
  }
  if (settings.score_rounding == ScoreRounding::bf16) round_scores(scores, DType::bf16);
  for (float& score : scores) {
    if (!std::isfinite(score)) score = 0;
  }
}

// The slots of one token.
struct Slots {
  std::span<std::int32_t> ids;
  std::span<float> weights;
};

Slots slots_of(const Routing& chosen, Count token) {
  const auto top_k = static_cast<std::size_t>(chosen.topk_ids.columns);
  const std::size_t at = static_cast<std::size_t>(token) * top_k;
  return {elements_of<std::int32_t>(chosen.topk_ids).subspan(at, top_k),
          elements_of<float>(chosen.topk_weights).subspan(at, top_k)};
}

void weigh(std::span<float> weights, const TopkSettings& settings) {
  float divisor = 1.0F;
  if (settings.renormalize) {
    float sum = 0;
    for (const float weight : weights) sum += weight;
    if (sum > 0) divisor = sum;
  }
  for (float& weight : weights) weight = weight / divisor * settings.routed_scaling_factor;
}

}  // namespace

void fused_topk(const Tensor& router_logits, const TopkSettings& settings, const Routing& chosen) {
  std::vector<float> scores(static_cast<std::size_t>(router_logits.columns));
  std::vector<float> biased(scores.size());
  const bool has_bias = settings.correction_bias.columns > 0;
  for (Count token = 0; token < router_logits.rows; ++token) {
    read_row(router_logits, token, scores);
    score_row(scores, settings);
    biased = scores;
    if (has_bias) {
      const auto bias = elements_of<float>(settings.correction_bias);
      for (std::size_t e = 0; e < biased.size(); ++e) biased[e] += bias[e];
    }
    const Slots slots = slots_of(chosen, token);
    for (std::size_t k = 0; k < slots.ids.size(); ++k) {
      const auto best = std::ranges::max_element(biased);  // the first of equals
      const auto expert = best - biased.begin();
      slots.ids[k] = static_cast<std::int32_t>(expert);
      slots.weights[k] = scores[static_cast<std::size_t>(expert)];
      *best = taken;
    }
    weigh(slots.weights, settings);
  }
}

void topk_then_score(const Tensor& router_logits, ChosenScoreSettings settings,
                     const Routing& chosen) {
  std::vector<float> logits(static_cast<std::size_t>(router_logits.columns));
  std::vector<std::int32_t> order(logits.size());
  for (Count token = 0; token < router_logits.rows; ++token) {
    read_row(router_logits, token, logits);
    for (std::size_t e = 0; e < order.size(); ++e) order[e] = static_cast<std::int32_t>(e);
    std::ranges::stable_sort(order, [&](std::int32_t a, std::int32_t b) {
      return nan_first_greater(logits[static_cast<std::size_t>(a)],
                               logits[static_cast<std::size_t>(b)]);
    });
    const Slots slots = slots_of(chosen, token);
    for (std::size_t k = 0; k < slots.ids.size(); ++k) {
      slots.ids[k] = order[k];
      slots.weights[k] = logits[static_cast<std::size_t>(order[k])];
    }
    if (settings.scoring == Scoring::softmax) {
      softmax(slots.weights);
    } else {
      for (float& weight : slots.weights) weight = 1.0F / (1.0F + std::exp(-weight));
    }
  }
}

void recorded_routing(const Tensor& recorded, const Routing& chosen) {
  const auto top_k = static_cast<std::size_t>(chosen.topk_ids.columns);
  const auto from = elements_of<float>(recorded);
  const auto ids = elements_of<std::int32_t>(chosen.topk_ids);
  const auto weights = elements_of<float>(chosen.topk_weights);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::size_t at = i / top_k * 2 * top_k + i % top_k;
    ids[i] = static_cast<std::int32_t>(from[at]) + static_cast<std::int32_t>(i % top_k);
    weights[i] = from[at + top_k];
  }
}

}  // namespace moe::cpu
