// Routers on the host: softmax then top-k, and a routing that was written down.
// Rules and their sources stand at the doors in kernels.h.

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/base/bits.h"
#include "kernels/cpu/cpu_operators.h"

namespace moe::cpu {
namespace {

constexpr float taken = -10000.0F;  // what vLLM writes over a winner's score

void read_row(const Tensor& logits, Count row, std::vector<float>& scores) {
  const std::byte* data = row_at(logits, row);
  for (std::size_t e = 0; e < scores.size(); ++e) {
    scores[e] = static_cast<float>(
        element_as_double(data + static_cast<Count>(e) * size_of(logits.dtype), logits.dtype));
  }
}

void softmax(std::vector<float>& scores) {
  const float largest = *std::ranges::max_element(scores);
  float sum = 0;
  for (float& score : scores) {
    score = std::exp(score - largest);
    sum += score;
  }
  const float factor = 1.0F / sum;
  for (float& score : scores) {
    score *= factor;
    if (!std::isfinite(score)) score = 0;
  }
}

}  // namespace

void topk_softmax(const Tensor& router_logits, TopkSettings settings, const Routing& chosen) {
  const auto top_k = static_cast<std::size_t>(chosen.topk_ids.columns);
  const auto ids = elements_of<std::int32_t>(chosen.topk_ids);
  const auto weights = elements_of<float>(chosen.topk_weights);
  std::vector<float> scores(static_cast<std::size_t>(router_logits.columns));
  for (Count token = 0; token < router_logits.rows; ++token) {
    read_row(router_logits, token, scores);
    softmax(scores);
    const auto row_ids = ids.subspan(static_cast<std::size_t>(token) * top_k, top_k);
    const auto row_weights = weights.subspan(static_cast<std::size_t>(token) * top_k, top_k);
    float sum = 0;
    for (std::size_t k = 0; k < top_k; ++k) {
      const auto best = std::ranges::max_element(scores);  // the first of equals
      row_ids[k] = static_cast<std::int32_t>(best - scores.begin());
      row_weights[k] = *best;
      sum += *best;
      *best = taken;
    }
    if (!settings.renormalize) continue;
    const float divisor = sum > 0 ? sum : 1.0F;
    for (float& weight : row_weights) weight /= divisor;
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
