// Grouped top-k on the host, by vLLM's torch path and by its CUDA op (experts-and-oracles.md, 3.3).
// One class decides a row; the rules differ in rounding, in what is not finite, in the divisor.

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/cpu/cpu_operators.h"
#include "kernels/cpu/router_scores.h"

namespace moe::cpu {
namespace {

constexpr float never = -std::numeric_limits<float>::infinity();

class GroupedTopk {
 public:
  GroupedTopk(const Tensor& router_logits, const GroupedTopkSettings& settings, Count top_k)
      : logits_(router_logits),
        settings_(settings),
        scores_(static_cast<std::size_t>(router_logits.columns)),
        biased_(scores_.size()),
        experts_each_(scores_.size() / static_cast<std::size_t>(settings.num_expert_group)),
        bias_(scores_.size(), 0.0F),
        group_scores_(static_cast<std::size_t>(settings.num_expert_group)) {
    const GroupedTopkTypes types = types_of(settings, router_logits, top_k);
    score_type_ = types.score;
    has_bias_ = settings.topk.correction_bias.columns > 0;
    if (has_bias_)
      std::ranges::copy(elements_of<float>(settings.topk.correction_bias), bias_.begin());
    round_scores(bias_, types.bias);
  }

  void choose(Count token, std::span<std::int32_t> ids, std::span<float> weights) {
    score(token);
    if (!keep_best_groups()) {
      std::iota(ids.begin(), ids.end(), 0);
      std::ranges::fill(weights, 1.0F / static_cast<float>(weights.size()));
      return;
    }
    for (std::size_t k = 0; k < ids.size(); ++k) {
      const std::size_t best = best_of(biased_, kept_);
      kept_[best] = false;
      ids[k] = static_cast<std::int32_t>(best);
      // Fewer finite scores than top_k in the op's kept groups: the rest is chosen with weight 0.
      weights[k] = is_cuda_op() && biased_[best] == never ? 0.0F : scores_[best];
    }
    weigh(weights);
  }

 private:
  bool is_cuda_op() const { return settings_.rules == GroupedTopkRules::cuda_op; }

  void score(Count token) {
    read_row(logits_, token, scores_);
    if (settings_.topk.scoring == Scoring::softmax) {
      softmax(scores_);
    } else if (is_cuda_op()) {
      for (float& score : scores_) score = 0.5F * std::tanh(0.5F * score) + 0.5F;
    } else {
      for (float& score : scores_) score = 1.0F / (1.0F + std::exp(-score));
    }
    round_scores(scores_, score_type_);
    for (std::size_t e = 0; e < scores_.size(); ++e) {
      biased_[e] = scores_[e] + bias_[e];
      if (is_cuda_op() && !std::isfinite(biased_[e])) biased_[e] = never;
    }
  }

  // The first of the best among those that are still there.
  static std::size_t best_of(std::span<const float> values, const std::vector<bool>& there) {
    std::size_t best = values.size();
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (there[i] && (best == values.size() || nan_first_greater(values[i], values[best]))) {
        best = i;
      }
    }
    return best;
  }

  float score_of_group(std::size_t group) const {
    const auto begin = biased_.begin() + static_cast<std::ptrdiff_t>(group * experts_each_);
    std::vector<float> best(begin, begin + static_cast<std::ptrdiff_t>(experts_each_));
    const std::size_t counted = std::min<std::size_t>(has_bias_ ? 2 : 1, best.size());
    std::ranges::partial_sort(best, best.begin() + static_cast<std::ptrdiff_t>(counted),
                              nan_first_greater);
    return std::accumulate(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(counted), 0.0F);
  }

  // Marks the experts of the topk_group best groups in kept_. RETURNS whether the op has that many.
  bool keep_best_groups() {
    for (std::size_t group = 0; group < group_scores_.size(); ++group) {
      group_scores_[group] = score_of_group(group);
    }
    kept_.assign(scores_.size(), false);
    std::vector<bool> there(group_scores_.size(), true);
    for (int chosen = 0; chosen < settings_.topk_group; ++chosen) {
      const std::size_t best = best_of(group_scores_, there);
      if (is_cuda_op() && group_scores_[best] == never) return false;
      there[best] = false;
      const std::size_t begin = best * experts_each_;
      for (std::size_t e = begin; e < begin + experts_each_; ++e) kept_[e] = true;
    }
    return true;
  }

  void weigh(std::span<float> weights) const {
    const float factor = settings_.topk.routed_scaling_factor;
    if (!settings_.topk.renormalize) {
      for (float& weight : weights) weight *= factor;
    } else if (is_cuda_op()) {
      const float sum = std::accumulate(weights.begin(), weights.end(), 0.0F);
      for (float& weight : weights) weight = weight * factor / (sum + 1e-20F);
    } else {
      const float sum = std::accumulate(weights.begin(), weights.end(), 0.0F);
      for (float& weight : weights) weight = weight / sum * factor;
    }
  }

  const Tensor& logits_;
  const GroupedTopkSettings& settings_;
  std::vector<float> scores_;  // what weights are made of
  std::vector<float> biased_;  // what is chosen by
  std::size_t experts_each_;
  std::vector<float> bias_;
  std::vector<float> group_scores_;
  std::vector<bool> kept_;
  DType score_type_ = DType::f32;
  bool has_bias_ = false;
};

}  // namespace

void grouped_topk(const Tensor& router_logits, const GroupedTopkSettings& settings,
                  const Routing& chosen) {
  const auto top_k = static_cast<std::size_t>(chosen.topk_ids.columns);
  const auto ids = elements_of<std::int32_t>(chosen.topk_ids);
  const auto weights = elements_of<float>(chosen.topk_weights);
  GroupedTopk rows(router_logits, settings, chosen.topk_ids.columns);
  for (Count token = 0; token < router_logits.rows; ++token) {
    const std::size_t at = static_cast<std::size_t>(token) * top_k;
    rows.choose(token, ids.subspan(at, top_k), weights.subspan(at, top_k));
  }
}

}  // namespace moe::cpu
