// Routers on a GPU, one warp a token: scores then top-k, top-k then scores, and a routing that was
// written down. Rules and their sources stand at the doors in kernels.h.

#include "kernels/cuda/cuda_operators.cuh"
#include "kernels/cuda/router_rows.cuh"

namespace moe::cuda {
namespace {

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

// What a warp keeps of its row: scores, keys by which it chooses, and what it chose.
Count row_bytes_of(Count experts, Count top_k) {
  return 2 * experts * size_of(DType::f32) + Slots::bytes(top_k);
}

// The top_k best by their keys, each with its value. REQUIRES that each lane sees its own keys.
template <int held>
__device__ void take_best(unsigned* keys, const float* values, int count, int top_k,
                          const Slots& slots) {
  BestFirst<held> best(keys, count);
  for (int k = 0; k < top_k; ++k) {
    const int expert = best.take().at;
    if (lane() == 0) {
      slots.ids[k] = expert;
      slots.weights[k] = values[expert];
    }
  }
}

template <int held>
__global__ void choose_scored(RowGrid grid, Logits logits, Rules rules, Choices chosen) {
  extern __shared__ float4 memory[];
  const Count token = grid.row();
  if (token >= grid.rows) return;
  auto* scores = static_cast<float*>(grid.memory_of(memory));
  auto* keys = reinterpret_cast<unsigned*>(scores + logits.columns);
  const Slots slots(keys + logits.columns, chosen.top_k);
  for (int e = lane(); e < logits.columns; e += warp) scores[e] = logits.at(token, e);
  __syncwarp();
  score_row(scores, logits.columns, rules);
  for (int e = lane(); e < logits.columns; e += warp) {
    keys[e] = key_of(rules.bias == nullptr ? scores[e] : scores[e] + rules.bias[e]);
  }
  take_best<held>(keys, scores, logits.columns, chosen.top_k, slots);
  weigh(slots.weights, chosen.top_k, rules);
  __syncwarp();
  chosen.write(token, slots);
}

template <int held>
__global__ void choose_then_score(RowGrid grid, Logits logits, Scoring scoring, Choices chosen) {
  extern __shared__ float4 memory[];
  const Count token = grid.row();
  if (token >= grid.rows) return;
  auto* values = static_cast<float*>(grid.memory_of(memory));
  auto* keys = reinterpret_cast<unsigned*>(values + logits.columns);
  const Slots slots(keys + logits.columns, chosen.top_k);
  for (int e = lane(); e < logits.columns; e += warp) {
    values[e] = logits.at(token, e);
    keys[e] = key_of(values[e]);
  }
  __syncwarp();
  take_best<held>(keys, values, logits.columns, chosen.top_k, slots);
  __syncwarp();
  if (scoring == Scoring::softmax) {
    softmax(slots.weights, chosen.top_k);
  } else {
    for (int k = lane(); k < chosen.top_k; k += warp) slots.weights[k] = sigmoid(slots.weights[k]);
  }
  __syncwarp();
  chosen.write(token, slots);
}

}  // namespace

void fused_topk(CudaMemory& memory, const Tensor& router_logits, const TopkSettings& settings,
                const Routing& chosen) {
  const Tensor& bias = settings.correction_bias;
  const Rules rules{settings.scoring, settings.score_rounding, settings.renormalize,
                    settings.routed_scaling_factor,
                    bias.columns > 0 ? device_elements<float>(bias) : nullptr};
  const Count bytes = row_bytes_of(router_logits.columns, chosen.topk_ids.columns);
  with_held(router_logits.columns, [&](auto held) {
    launch_rows(memory, {router_logits.rows, bytes}, choose_scored<held>, Logits(router_logits),
                rules, Choices(chosen));
  });
}

void topk_then_score(CudaMemory& memory, const Tensor& router_logits, ChosenScoreSettings settings,
                     const Routing& chosen) {
  const Count bytes = row_bytes_of(router_logits.columns, chosen.topk_ids.columns);
  with_held(router_logits.columns, [&](auto held) {
    launch_rows(memory, {router_logits.rows, bytes}, choose_then_score<held>, Logits(router_logits),
                settings.scoring, Choices(chosen));
  });
}

void recorded_routing(CudaMemory& memory, const Tensor& recorded, const Routing& chosen) {
  const auto* from = device_elements<float>(recorded);
  const Choices to(chosen);
  for_each(memory.queue(), chosen.topk_ids.rows * to.top_k, [=] __device__(Count i) {
    const Count slot = i % to.top_k;
    const Count at = i / to.top_k * 2 * to.top_k + slot;
    to.ids[i] = static_cast<std::int32_t>(from[at]) + static_cast<std::int32_t>(slot);
    to.weights[i] = from[at + to.top_k];
  });
}

}  // namespace moe::cuda
