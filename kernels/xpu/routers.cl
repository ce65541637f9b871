// Routers, a work item a token: scores then top-k, top-k then scores, top-k within groups, and a
// routing that was written down. Rules and their sources stand at the doors in kernels.h. exp and
// tanh are computed in double and rounded; sums go from the left, as the host's do.

float exp_of(float x) { return (float)exp((double)x); }
float tanh_of(float x) { return (float)tanh((double)x); }
float sigmoid(float x) { return 1.0f / (1.0f + exp_of(-x)); }

// exp(score - largest) · (1 / sum), in place; a NaN or +Inf in the row makes all of it NaN.
void softmax(global float *scores, long count) {
  float largest = -INFINITY;
  for (long i = 0; i < count; ++i) largest = fmax(largest, scores[i]);
  float sum = 0;
  for (long i = 0; i < count; ++i) {
    scores[i] = exp_of(scores[i] - largest);
    sum += scores[i];
  }
  const float factor = 1.0f / sum;
  for (long i = 0; i < count; ++i) scores[i] *= factor;
}

float sum_of(global const float *values, long count) {
  float sum = 0;
  for (long i = 0; i < count; ++i) sum += values[i];
  return sum;
}

// Whether a goes before b: the larger, and as torch has it a NaN before everything.
bool nan_first_greater(float a, float b) {
  if (isnan(a) || isnan(b)) return isnan(a) && !isnan(b);
  return a > b;
}

// The first of the best among those that are there, which is not 0 in there; count if none is.
long best_of(global const float *values, global const float *there, long count) {
  long best = count;
  for (long i = 0; i < count; ++i) {
    if (there[i] != 0 && (best == count || nan_first_greater(values[i], values[best]))) best = i;
  }
  return best;
}

// rows [items, 2 * experts] f32: room for scores, and for what is chosen by.
kernel void moe_fused_topk(IN(logits), int dtype, long experts, int scoring, int rounds_to_bf16,
                           int renormalize, float factor, IN(bias), OUT(rows), OUT(ids),
                           OUT(weights), long top_k, ITEMS) {
  ITEM(token);
  global float *scores = WRITE(float, rows) + token * 2 * experts;
  global float *biased = scores + experts;
  for (long e = 0; e < experts; ++e) {
    scores[e] = row_value(READ(uchar, logits), dtype, token * experts + e);
  }
  if (scoring == SCORING_SOFTMAX) softmax(scores, experts);
  for (long e = 0; e < experts; ++e) {
    float score = scoring == SCORING_SOFTMAX ? scores[e] : sigmoid(scores[e]);
    if (rounds_to_bf16) score = rounded_as(score, DTYPE_BF16);
    scores[e] = isfinite(score) ? score : 0.0f;
    biased[e] = bias_buffer == 0 ? scores[e] : scores[e] + READ(float, bias)[e];
  }
  global float *own = WRITE(float, weights) + token * top_k;
  for (long k = 0; k < top_k; ++k) {
    long best = 0;
    for (long e = 1; e < experts; ++e) {
      if (nan_first_greater(biased[e], biased[best])) best = e;
    }
    WRITE(int, ids)[token * top_k + k] = (int)best;
    own[k] = scores[best];
    biased[best] = -10000.0f;  // what vLLM writes over a winner's score
  }
  float divisor = 1.0f;
  if (renormalize) {
    const float sum = sum_of(own, top_k);
    if (sum > 0) divisor = sum;
  }
  for (long k = 0; k < top_k; ++k) own[k] = own[k] / divisor * factor;
}

// rows [items, 2 * experts] f32: room for the logits, and for which of them are there.
kernel void moe_topk_then_score(IN(logits), int dtype, long experts, int scoring, OUT(rows),
                                OUT(ids), OUT(weights), long top_k, ITEMS) {
  ITEM(token);
  global float *values = WRITE(float, rows) + token * 2 * experts;
  global float *there = values + experts;
  for (long e = 0; e < experts; ++e) {
    values[e] = row_value(READ(uchar, logits), dtype, token * experts + e);
    there[e] = 1;
  }
  global float *own = WRITE(float, weights) + token * top_k;
  for (long k = 0; k < top_k; ++k) {
    const long best = best_of(values, there, experts);
    WRITE(int, ids)[token * top_k + k] = (int)best;
    own[k] = values[best];
    there[best] = 0;
  }
  if (scoring == SCORING_SOFTMAX) {
    softmax(own, top_k);
  } else {
    for (long k = 0; k < top_k; ++k) own[k] = sigmoid(own[k]);
  }
}

// The sum of a group's two best where there is a bias, else its best; from 0, as the host adds.
float score_of_group(global const float *biased, long count, bool counts_two) {
  long best = 0;
  for (long e = 1; e < count; ++e) {
    if (nan_first_greater(biased[e], biased[best])) best = e;
  }
  const float sum = 0.0f + biased[best];
  if (!counts_two || count < 2) return sum;
  long second = best == 0 ? 1 : 0;
  for (long e = 0; e < count; ++e) {
    if (e != best && nan_first_greater(biased[e], biased[second])) second = e;
  }
  return sum + biased[second];
}

// The settings of grouped_topk; types as GroupedTopkTypes.
typedef struct {
  int scoring;
  int is_cuda_op;
  int score_type;
  int bias_type;
  int groups;
  int topk_group;
  int renormalize;
  float factor;
} GroupRules;

void score_experts(global float *scores, global float *biased, long experts, GroupRules rules,
                   global const float *bias) {
  if (rules.scoring == SCORING_SOFTMAX) softmax(scores, experts);
  for (long e = 0; e < experts; ++e) {
    float score = scores[e];
    if (rules.scoring != SCORING_SOFTMAX) {
      score = rules.is_cuda_op ? 0.5f * tanh_of(0.5f * score) + 0.5f : sigmoid(score);
    }
    scores[e] = rounded_as(score, rules.score_type);
    const float sum = scores[e] + (bias == 0 ? 0.0f : rounded_as(bias[e], rules.bias_type));
    biased[e] = rules.is_cuda_op && !isfinite(sum) ? -INFINITY : sum;
  }
}

// Marks the experts of the topk_group best groups. RETURNS whether the op has that many.
bool keep_best_groups(global const float *biased, long experts, GroupRules rules, bool has_bias,
                      global float *kept) {
  global float *group_scores = kept + experts;
  global float *there = group_scores + rules.groups;
  const long each = experts / rules.groups;
  for (long g = 0; g < rules.groups; ++g) {
    group_scores[g] = score_of_group(biased + g * each, each, has_bias);
    there[g] = 1;
  }
  for (long e = 0; e < experts; ++e) kept[e] = 0;
  for (int chosen = 0; chosen < rules.topk_group; ++chosen) {
    const long best = best_of(group_scores, there, rules.groups);
    if (rules.is_cuda_op && group_scores[best] == -INFINITY) return false;
    there[best] = 0;
    for (long e = best * each; e < (best + 1) * each; ++e) kept[e] = 1;
  }
  return true;
}

// rows [items, 3 * experts + 2 * groups] f32: room for what a token keeps.
kernel void moe_grouped_topk(IN(logits), int dtype, long experts, GroupRules rules, IN(bias),
                             OUT(rows), OUT(ids), OUT(weights), long top_k, ITEMS) {
  ITEM(token);
  global float *scores = WRITE(float, rows) + token * (3 * experts + 2 * rules.groups);
  global float *biased = scores + experts;
  global float *kept = biased + experts;
  global int *own_ids = WRITE(int, ids) + token * top_k;
  global float *own = WRITE(float, weights) + token * top_k;
  for (long e = 0; e < experts; ++e) {
    scores[e] = row_value(READ(uchar, logits), dtype, token * experts + e);
  }
  const bool has_bias = bias_buffer != 0;
  score_experts(scores, biased, experts, rules, has_bias ? READ(float, bias) : 0);
  if (!keep_best_groups(biased, experts, rules, has_bias, kept)) {
    for (long k = 0; k < top_k; ++k) {
      own_ids[k] = (int)k;
      own[k] = 1.0f / (float)top_k;
    }
    return;
  }
  for (long k = 0; k < top_k; ++k) {
    const long best = best_of(biased, kept, experts);
    own_ids[k] = (int)best;
    // Fewer finite scores than top_k in the op's kept groups: the rest is chosen with weight 0.
    own[k] = rules.is_cuda_op && biased[best] == -INFINITY ? 0.0f : scores[best];
    kept[best] = 0;
  }
  const float sum = rules.renormalize ? sum_of(own, top_k) : 0.0f;
  for (long k = 0; k < top_k; ++k) {
    if (!rules.renormalize) {
      own[k] *= rules.factor;
    } else if (rules.is_cuda_op) {
      own[k] = own[k] * rules.factor / (sum + 1e-20f);
    } else {
      own[k] = own[k] / sum * rules.factor;
    }
  }
}

kernel void moe_recorded_routing(IN(recorded), long top_k, OUT(ids), OUT(weights), ITEMS) {
  ITEM(i);
  const long slot = i % top_k;
  const long at = i / top_k * 2 * top_k + slot;
  WRITE(int, ids)[i] = (int)READ(float, recorded)[at] + (int)slot;
  WRITE(float, weights)[i] = READ(float, recorded)[at + top_k];
}
