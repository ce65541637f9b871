// Grouped top-k on a GPU, one warp a token, by vLLM's torch path and by its CUDA op
// (experts-and-oracles.md, 3.3). The rules are those of grouped_topk_cpu.cc, step by step.

#include "kernels/cuda/cuda_operators.cuh"
#include "kernels/cuda/router_rows.cuh"

namespace moe::cuda {
namespace {

// Few tokens are many threads' work each, many tokens a warp's.
constexpr int scoring_threads_max = 256;
constexpr Count few_tokens = 512;

struct GroupRules {
  Scoring scoring;
  bool is_cuda_op;
  DType score_type;
  DType bias_type;
  const float* bias;  // null: none
  int groups;
  int topk_group;
  bool renormalize;
  float factor;
};

GroupRules rules_of(const GroupedTopkSettings& settings, const Tensor& logits, Count top_k) {
  const GroupedTopkTypes types = types_of(settings, logits, top_k);
  const bool has_bias = settings.topk.correction_bias.columns > 0;
  return {settings.topk.scoring,
          settings.rules == GroupedTopkRules::cuda_op,
          types.score,
          types.bias,
          has_bias ? device_elements<float>(settings.topk.correction_bias) : nullptr,
          settings.num_expert_group,
          settings.topk_group,
          settings.topk.renormalize,
          settings.topk.routed_scaling_factor};
}

// What a warp keeps of its row.
struct Row {
  float* scores;        // what weights are made of
  float* biased;        // what is chosen by
  float* group_scores;  // [groups]
  bool* kept;           // experts of chosen groups
  bool* there;          // groups not chosen yet
};

Count row_bytes_of(Count experts, Count groups) {
  return (2 * experts + groups) * size_of(DType::f32) + experts + groups;
}

__device__ Row row_in(float* memory, int experts, int groups) {
  bool* flags = reinterpret_cast<bool*>(memory + 2 * experts + groups);
  return {memory, memory + experts, memory + 2 * experts, flags, flags + experts};
}

__device__ float scored(float logit, const GroupRules& rules) {
  if (rules.is_cuda_op) return 0.5F * tanh_of(0.5F * logit) + 0.5F;
  return sigmoid(logit);
}

// By all threads of the block; exp and tanh in double are most of a row's work.
__device__ void score(const Row& row, const GroupRules& rules, int experts) {
  if (rules.scoring == Scoring::softmax) {
    if (threadIdx.x < warp) softmax(row.scores, experts);
    __syncthreads();
  }
  for (int e = static_cast<int>(threadIdx.x); e < experts; e += blockDim.x) {
    const float value =
        rules.scoring == Scoring::softmax ? row.scores[e] : scored(row.scores[e], rules);
    row.scores[e] = rounded_to(value, rules.score_type);
    const float bias = rules.bias == nullptr ? 0.0F : rounded_to(rules.bias[e], rules.bias_type);
    const float biased = row.scores[e] + bias;
    row.biased[e] = rules.is_cuda_op && !isfinite(biased) ? -INFINITY : biased;
    row.kept[e] = false;
  }
}

// The two best of some numbers, as keys.
struct TwoBest {
  unsigned best = 0;
  unsigned second = 0;

  __device__ void add(unsigned key) {
    second = max(second, min(best, key));
    best = max(best, key);
  }
};

// The sum of each group's two best where there is a bias, else its best; from 0, as the host adds.
// Some lanes a group, so many that all groups have some.
__device__ void score_groups(const Row& row, const GroupRules& rules, int each) {
  int lanes = warp;
  while (lanes > 1 && lanes * rules.groups > warp) lanes /= 2;
  for (int first = 0; first < rules.groups; first += warp / lanes) {
    const int group = first + lane() / lanes;
    const bool is_one = group < rules.groups;
    TwoBest found;
    for (int e = lane() % lanes; is_one && e < each; e += lanes) {
      found.add(key_of(row.biased[group * each + e]));
    }
    for (int distance = lanes / 2; distance > 0; distance /= 2) {
      const unsigned best = __shfl_xor_sync(whole_warp, found.best, distance);
      const unsigned second = __shfl_xor_sync(whole_warp, found.second, distance);
      found.add(best);
      found.add(second);
    }
    if (!is_one || lane() % lanes != 0) continue;
    const float sum = 0.0F + value_of_key(found.best);
    const bool counts_two = rules.bias != nullptr && each > 1;
    row.group_scores[group] = counts_two ? sum + value_of_key(found.second) : sum;
    row.there[group] = true;
  }
}

// Marks the experts of the topk_group best groups. RETURNS whether the op has that many.
__device__ bool keep_best_groups(const Row& row, const GroupRules& rules, int experts) {
  const int each = experts / rules.groups;
  score_groups(row, rules, each);
  __syncwarp();
  for (int chosen = 0; chosen < rules.topk_group; ++chosen) {
    const int best = best_of(row.group_scores, row.there, rules.groups);
    if (rules.is_cuda_op && row.group_scores[best] == -INFINITY) return false;
    __syncwarp();
    if (lane() == 0) row.there[best] = false;
    for (int e = lane(); e < each; e += warp) row.kept[best * each + e] = true;
    __syncwarp();
  }
  return true;
}

__device__ void weigh(float* weights, int top_k, const GroupRules& rules) {
  __syncwarp();
  const float sum = rules.renormalize ? sum_of(weights, top_k) : 0.0F;
  for (int k = lane(); k < top_k; k += warp) {
    if (!rules.renormalize) {
      weights[k] *= rules.factor;
    } else if (rules.is_cuda_op) {
      weights[k] = weights[k] * rules.factor / (sum + 1e-20F);
    } else {
      weights[k] = weights[k] / sum * rules.factor;
    }
  }
}

struct Slots {
  int top_k;
  std::int32_t* ids;
  float* weights;
};

__global__ void choose_grouped(Logits logits, GroupRules rules, Slots chosen) {
  extern __shared__ float memory[];
  const Row row = row_in(memory, logits.columns, rules.groups);
  const Count token = blockIdx.x;
  std::int32_t* ids = chosen.ids + token * chosen.top_k;
  float* weights = chosen.weights + token * chosen.top_k;
  for (int e = static_cast<int>(threadIdx.x); e < logits.columns; e += blockDim.x) {
    row.scores[e] = logits.at(token, e);
  }
  __syncthreads();
  score(row, rules, logits.columns);
  __syncthreads();
  if (threadIdx.x >= warp) return;  // the rest is one warp's
  if (!keep_best_groups(row, rules, logits.columns)) {
    for (int k = lane(); k < chosen.top_k; k += warp) {
      ids[k] = k;
      weights[k] = 1.0F / static_cast<float>(chosen.top_k);
    }
    return;
  }
  for (int k = 0; k < chosen.top_k; ++k) {
    const int best = best_of(row.biased, row.kept, logits.columns);
    __syncwarp();
    if (lane() == 0) {
      row.kept[best] = false;
      ids[k] = best;
      // Fewer finite scores than top_k in the op's kept groups: the rest is chosen with weight 0.
      weights[k] = rules.is_cuda_op && row.biased[best] == -INFINITY ? 0.0F : row.scores[best];
    }
    __syncwarp();
  }
  weigh(weights, chosen.top_k, rules);
}

}  // namespace

void grouped_topk(CudaMemory& memory, const Tensor& router_logits,
                  const GroupedTopkSettings& settings, const Routing& chosen) {
  const Count top_k = chosen.topk_ids.columns;
  const Slots slots{static_cast<int>(top_k), device_elements<std::int32_t>(chosen.topk_ids),
                    device_elements<float>(chosen.topk_weights)};
  const Count bytes = row_bytes_of(router_logits.columns, settings.num_expert_group);
  const int threads = router_logits.rows <= few_tokens ? scoring_threads_max : warp;
  launch_rows(memory, {router_logits.rows, bytes, threads}, choose_grouped, Logits(router_logits),
              rules_of(settings, router_logits, top_k), slots);
}

}  // namespace moe::cuda
