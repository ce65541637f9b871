// Routers on a GPU, one warp a token: scores then top-k, top-k then scores, and a routing that was
// written down. Rules and their sources stand at the doors in kernels.h.

#include "kernels/cuda/cuda_operators.cuh"
#include "kernels/cuda/router_rows.cuh"

namespace moe::cuda {
namespace {

constexpr float taken = -10000.0F;  // what vLLM writes over a winner's score

// What all tokens of a call have in common.
struct Choice {
  int top_k;
  std::int32_t* ids;
  float* weights;

  explicit Choice(const Routing& chosen)
      : top_k(static_cast<int>(chosen.topk_ids.columns)),
        ids(device_elements<std::int32_t>(chosen.topk_ids)),
        weights(device_elements<float>(chosen.topk_weights)) {}
};

struct Rules {
  Scoring scoring;
  ScoreRounding rounding;
  bool renormalize;
  float factor;
  const float* bias;  // null: none
};

// After softmax or sigmoid: rounded, and 0 where it is not finite.
__device__ float as_score(float score, ScoreRounding rounding) {
  const float rounded = rounding == ScoreRounding::bf16 ? rounded_to(score, DType::bf16) : score;
  return isfinite(rounded) ? rounded : 0.0F;
}

__device__ void score_row(float* scores, int count, const Rules& rules) {
  if (rules.scoring == Scoring::softmax) softmax(scores, count);
  for (int e = lane(); e < count; e += warp) {
    const float score = rules.scoring == Scoring::softmax ? scores[e] : sigmoid(scores[e]);
    scores[e] = as_score(score, rules.rounding);
  }
  __syncwarp();
}

__device__ void weigh(float* weights, int top_k, const Rules& rules) {
  __syncwarp();
  float divisor = 1.0F;
  if (rules.renormalize) {
    const float sum = sum_of(weights, top_k);
    if (sum > 0) divisor = sum;
  }
  for (int k = lane(); k < top_k; k += warp) weights[k] = weights[k] / divisor * rules.factor;
}

__global__ void choose_scored(Logits logits, Rules rules, Choice chosen) {
  extern __shared__ float row[];
  float* scores = row;
  float* biased = row + logits.columns;
  const Count token = blockIdx.x;
  for (int e = lane(); e < logits.columns; e += warp) scores[e] = logits.at(token, e);
  __syncwarp();
  score_row(scores, logits.columns, rules);
  for (int e = lane(); e < logits.columns; e += warp) {
    biased[e] = rules.bias == nullptr ? scores[e] : scores[e] + rules.bias[e];
  }
  __syncwarp();
  float* weights = chosen.weights + token * chosen.top_k;
  for (int k = 0; k < chosen.top_k; ++k) {
    const int expert = best_of(biased, nullptr, logits.columns);
    if (lane() == 0) {
      chosen.ids[token * chosen.top_k + k] = expert;
      weights[k] = scores[expert];
      biased[expert] = taken;
    }
    __syncwarp();
  }
  weigh(weights, chosen.top_k, rules);
}

__global__ void choose_then_score(Logits logits, Scoring scoring, Choice chosen) {
  extern __shared__ float row[];
  float* values = row;
  bool* there = reinterpret_cast<bool*>(row + logits.columns);
  const Count token = blockIdx.x;
  for (int e = lane(); e < logits.columns; e += warp) {
    values[e] = logits.at(token, e);
    there[e] = true;
  }
  __syncwarp();
  float* weights = chosen.weights + token * chosen.top_k;
  for (int k = 0; k < chosen.top_k; ++k) {
    const int expert = best_of(values, there, logits.columns);
    if (lane() == 0) {
      chosen.ids[token * chosen.top_k + k] = expert;
      weights[k] = values[expert];
      there[expert] = false;
    }
    __syncwarp();
  }
  if (scoring == Scoring::softmax) return softmax(weights, chosen.top_k);
  for (int k = lane(); k < chosen.top_k; k += warp) weights[k] = sigmoid(weights[k]);
}

}  // namespace

void fused_topk(CudaMemory& memory, const Tensor& router_logits, const TopkSettings& settings,
                const Routing& chosen) {
  const Tensor& bias = settings.correction_bias;
  const Rules rules{settings.scoring, settings.score_rounding, settings.renormalize,
                    settings.routed_scaling_factor,
                    bias.columns > 0 ? device_elements<float>(bias) : nullptr};
  const Count bytes = 2 * router_logits.columns * size_of(DType::f32);
  launch_rows(memory, {router_logits.rows, bytes}, choose_scored, Logits(router_logits), rules,
              Choice(chosen));
}

void topk_then_score(CudaMemory& memory, const Tensor& router_logits, ChosenScoreSettings settings,
                     const Routing& chosen) {
  const Count bytes = router_logits.columns * (size_of(DType::f32) + 1);
  launch_rows(memory, {router_logits.rows, bytes}, choose_then_score, Logits(router_logits),
              settings.scoring, Choice(chosen));
}

void recorded_routing(CudaMemory& memory, const Tensor& recorded, const Routing& chosen) {
  const auto* from = device_elements<float>(recorded);
  const Choice to(chosen);
  for_each(memory.queue(), chosen.topk_ids.rows * to.top_k, [=] __device__(Count i) {
    const Count slot = i % to.top_k;
    const Count at = i / to.top_k * 2 * to.top_k + slot;
    to.ids[i] = static_cast<std::int32_t>(from[at]) + static_cast<std::int32_t>(slot);
    to.weights[i] = from[at + to.top_k];
  });
}

}  // namespace moe::cuda
