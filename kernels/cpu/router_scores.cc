// What the routing operators of the host share: one row at a time, in float.
// Which operator scores how is its own affair; rounding to other types is bits.h.

#include "kernels/cpu/router_scores.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/bits.h"

namespace moe::cpu {

void read_row(const Tensor& logits, Count row, std::span<float> scores) {
  const std::byte* data = row_at(logits, row);
  for (std::size_t e = 0; e < scores.size(); ++e) {
    scores[e] = static_cast<float>(
        element_as_double(data + static_cast<Count>(e) * size_of(logits.dtype), logits.dtype));
  }
}

void softmax(std::span<float> scores) {
  const float largest = *std::ranges::max_element(scores);
  float sum = 0;
  for (float& score : scores) {
    score = std::exp(score - largest);
    sum += score;
  }
  const float factor = 1.0F / sum;
  for (float& score : scores) score *= factor;
}

void round_scores(std::span<float> scores, DType dtype) {
  for_row_type(dtype, [&](auto element) {
    for (float& score : scores) {
      round_to(score, element);
      score = to_float(element);
    }
  });
}

bool nan_first_greater(float a, float b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && !std::isnan(b);
  return a > b;
}

void divide_by_sum(std::span<float> weights, float epsilon) {
  float sum = 0;
  for (const float weight : weights) sum += weight;
  for (float& weight : weights) weight /= sum + epsilon;
}

}  // namespace moe::cpu
