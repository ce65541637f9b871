// Grouped top-k on a GPU, one warp a token once scores are there, by vLLM's torch path and CUDA op
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

// What a row has in memory.
struct Row {
  float* scores;         // what weights are made of
  unsigned* keys;        // by which experts are chosen
  float* group_scores;   // [groups]
  unsigned* group_keys;  // [groups]
  Slots slots;

  __device__ Row(void* memory, int experts, int groups, int top_k)
      : scores(static_cast<float*>(memory)),
        keys(reinterpret_cast<unsigned*>(scores + experts)),
        group_scores(scores + 2 * experts),
        group_keys(reinterpret_cast<unsigned*>(group_scores + groups)),
        slots(group_keys + groups, top_k) {}
};

Count row_bytes_of(Count experts, Count groups, Count top_k) {
  return 2 * (experts + groups) * size_of(DType::f32) + Slots::bytes(top_k);
}

// tanh by way of exp, in double: what cancels for small logits stays far below half an ulp of 0.5.
__device__ float scored(float logit, const GroupRules& rules) {
  if (!rules.is_cuda_op) return sigmoid(logit);
  const auto tanh_of_half = static_cast<float>(1 - 2 / (exp(static_cast<double>(logit)) + 1));
  return 0.5F * tanh_of_half + 0.5F;
}

// By all of the row's threads; exp in double is most of a row's work.
__device__ void score(const RowGrid& grid, const Row& row, const GroupRules& rules, int experts) {
  if (rules.scoring == Scoring::softmax) {
    if (grid.thread() < warp) softmax(row.scores, experts);
    grid.synchronize();
  }
  for (int e = grid.thread(); e < experts; e += grid.threads) {
    const float value =
        rules.scoring == Scoring::softmax ? row.scores[e] : scored(row.scores[e], rules);
    row.scores[e] = rounded_to(value, rules.score_type);
    const float bias = rules.bias == nullptr ? 0.0F : rounded_to(rules.bias[e], rules.bias_type);
    const float biased = row.scores[e] + bias;
    row.keys[e] = key_of(rules.is_cuda_op && !isfinite(biased) ? -INFINITY : biased);
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
      found.add(row.keys[group * each + e]);
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
    row.group_keys[group] = key_of(row.group_scores[group]);
  }
}

// Makes the keys of the topk_group best groups 0. RETURNS whether the op has that many.
template <int held>
__device__ bool take_best_groups(const Row& row, const GroupRules& rules) {
  BestFirst<held> best(row.group_keys, rules.groups);
  __syncwarp();
  for (int chosen = 0; chosen < rules.topk_group; ++chosen) {
    const int group = best.take().at;
    if (rules.is_cuda_op && row.group_scores[group] == -INFINITY) return false;
    if (held > 0 && lane() == 0) row.group_keys[group] = 0;  // else best has done it
  }
  return true;
}

// Leaves the keys of the topk_group best groups alone. RETURNS whether the op has that many.
__device__ bool keep_best_groups(const Row& row, const GroupRules& rules, int experts) {
  const int each = experts / rules.groups;
  score_groups(row, rules, each);
  __syncwarp();
  const bool has_all =
      rules.groups <= warp ? take_best_groups<1>(row, rules) : take_best_groups<0>(row, rules);
  if (!has_all) return false;
  __syncwarp();
  for (int group = 0; group < rules.groups; ++group) {
    if (row.group_keys[group] == 0) continue;  // taken
    for (int e = lane(); e < each; e += warp) row.keys[group * each + e] = 0;
  }
  __syncwarp();
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

// The experts of the kept groups, or the op's answer to rows without scores.
template <int held>
__device__ void choose(const Row& row, const GroupRules& rules, int experts, int top_k) {
  const Slots& slots = row.slots;
  if (!keep_best_groups(row, rules, experts)) {
    for (int k = lane(); k < top_k; k += warp) {
      slots.ids[k] = k;
      slots.weights[k] = 1.0F / static_cast<float>(top_k);
    }
    return;
  }
  const unsigned least = key_of(-INFINITY);
  BestFirst<held> best(row.keys, experts);
  for (int k = 0; k < top_k; ++k) {
    const Best found = best.take();
    if (lane() != 0) continue;
    slots.ids[k] = found.at;
    // Fewer finite scores than top_k in the op's kept groups: the rest is chosen with weight 0.
    slots.weights[k] = rules.is_cuda_op && found.key == least ? 0.0F : row.scores[found.at];
  }
  weigh(slots.weights, top_k, rules);
}

template <int held>
__global__ void choose_grouped(RowGrid grid, Logits logits, GroupRules rules, Choices chosen) {
  extern __shared__ float4 memory[];
  const Count token = grid.row();
  if (token >= grid.rows) return;
  const Row row(grid.memory_of(memory), logits.columns, rules.groups, chosen.top_k);
  for (int e = grid.thread(); e < logits.columns; e += grid.threads) {
    row.scores[e] = logits.at(token, e);
  }
  grid.synchronize();
  score(grid, row, rules, logits.columns);
  grid.synchronize();
  if (grid.thread() >= warp) return;  // the rest is one warp's
  choose<held>(row, rules, logits.columns, chosen.top_k);
  __syncwarp();
  chosen.write(token, row.slots);
}

}  // namespace

void grouped_topk(CudaMemory& memory, const Tensor& router_logits,
                  const GroupedTopkSettings& settings, const Routing& chosen) {
  const Count top_k = chosen.topk_ids.columns;
  const Count bytes = row_bytes_of(router_logits.columns, settings.num_expert_group, top_k);
  const int threads = router_logits.rows <= few_tokens ? scoring_threads_max : warp;
  with_held(router_logits.columns, [&](auto held) {
    launch_rows(memory, {router_logits.rows, bytes, threads}, choose_grouped<held>,
                Logits(router_logits), rules_of(settings, router_logits, top_k), Choices(chosen));
  });
}

}  // namespace moe::cuda
