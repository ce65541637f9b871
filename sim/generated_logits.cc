// Logits and biases from mix, in whole sixteenths and 64ths, and a choice that shares no code with
// the kernels it is held against.

#include "sim/generated_logits.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/base/check.h"
#include "kernels/base/mix.h"
#include "kernels/base/text.h"

namespace moe::sim {
namespace {

constexpr int stream_logit = 7;
constexpr int stream_coin = 8;
constexpr int stream_bias = 9;
constexpr double near = 0x1p-16;

double unit_interval(std::uint64_t mixed) { return static_cast<double>(mixed >> 11U) * 0x1p-53; }

// The largest integer not above value / 2^bits.
std::int64_t shifted_down(std::int64_t value, unsigned bits) { return value >> bits; }

std::vector<float> generated_bias(const Scenario& scenario, int layer) {
  std::vector<float> bias;
  for (int e = 0; scenario.model.correction_bias && e < scenario.model.num_experts; ++e) {
    const auto mixed = mix(scenario.routing_seed, stream_bias, layer, e);
    bias.push_back(static_cast<float>(static_cast<int>(mixed % 33) - 16) / 64);
  }
  return bias;
}

// Something that can be chosen: its value, and the size of what the value was added from.
struct Candidate {
  int id = 0;
  double value = 0;
  double size = 0;
  std::vector<double> summed = {};  // of a group: its members' values
};

bool float_holds(double value) { return static_cast<double>(static_cast<float>(value)) == value; }

// Whether float has the same value for both: made of the same, or never rounded.
bool are_equal(const Candidate& one, const Candidate& other) {
  if (one.value != other.value) return false;
  if (one.summed == other.summed) return true;
  return float_holds(one.value) && std::ranges::all_of(one.summed, float_holds) &&
         std::ranges::all_of(other.summed, float_holds);
}

// The best first, the lower id of equals.
std::vector<Candidate> best_of(std::vector<Candidate> candidates, int count) {
  std::ranges::stable_sort(candidates, std::greater{}, &Candidate::value);
  const auto wanted = static_cast<std::size_t>(count);
  for (std::size_t i = 0; i < wanted && i + 1 < candidates.size(); ++i) {
    const Candidate& one = candidates[i];
    const Candidate& next = candidates[i + 1];
    const double apart = one.value - next.value;
    if (!are_equal(one, next) && apart < near * std::max(one.size, next.size)) {
      throw ScenarioError(text("routing: logits: scores ", one.id, " and ", next.id,
                               " nearly tie; choose another seed"));
    }
  }
  candidates.resize(wanted);
  return candidates;
}

std::vector<double> scores_of(const std::vector<float>& logits, Scoring scoring) {
  std::vector<double> scores(logits.begin(), logits.end());
  if (std::isnan(logits.front())) return std::vector<double>(logits.size(), 0.0);
  if (scoring == Scoring::sigmoid) {
    for (double& score : scores) score = 1 / (1 + std::exp(-score));
    return scores;
  }
  const double largest = *std::ranges::max_element(scores);
  for (double& score : scores) score = std::exp(score - largest);
  const double sum = std::accumulate(scores.begin(), scores.end(), 0.0);
  for (double& score : scores) score /= sum;
  return scores;
}

// Whether the experts divide into groups of several; others are vLLM's to fall back from.
bool divides(const RouterSpec& spec) {
  return spec.num_experts > spec.num_expert_group && spec.num_experts % spec.num_expert_group == 0;
}

// The candidates of the best groups. A group is worth its best, with a bias its two best.
std::vector<Candidate> kept_groups(const std::vector<Candidate>& experts, const RouterSpec& spec) {
  const std::ptrdiff_t each = spec.num_experts / spec.num_expert_group;
  std::vector<Candidate> groups;
  for (int group = 0; group < spec.num_expert_group; ++group) {
    const auto begin = experts.begin() + group * each;
    std::vector<Candidate> members(begin, begin + each);
    std::ranges::stable_sort(members, std::greater{}, &Candidate::value);
    members.resize(spec.correction_bias.empty() ? 1 : 2);
    Candidate worth{.id = group};
    for (const Candidate& member : members) {
      worth.value += member.value;
      worth.summed.push_back(member.value);
      worth.size += member.size;
    }
    groups.push_back(worth);
  }
  std::vector<Candidate> kept;
  for (const Candidate& group : best_of(groups, spec.topk_group)) {
    const auto begin = experts.begin() + group.id * each;
    kept.insert(kept.end(), begin, begin + each);
  }
  std::ranges::sort(kept, std::less{}, &Candidate::id);
  return kept;
}

std::vector<int> chosen_of(const RouterSpec& spec, const std::vector<float>& logits) {
  const bool is_grouped = spec.num_expert_group > 1 && divides(spec);
  std::vector<int> ids(static_cast<std::size_t>(spec.top_k));
  std::iota(ids.begin(), ids.end(), 0);
  if (is_grouped && std::isnan(logits.front())) return ids;
  const std::vector<double> scores = plain_scores(spec, logits);
  std::vector<Candidate> experts;
  for (std::size_t e = 0; e < scores.size(); ++e) {
    const double bias = spec.correction_bias.empty() ? 0.0 : double{spec.correction_bias[e]};
    experts.push_back({static_cast<int>(e), scores[e] + bias, std::max(scores[e], std::abs(bias))});
  }
  if (is_grouped) experts = kept_groups(experts, spec);
  const std::vector<Candidate> best = best_of(experts, spec.top_k);
  std::ranges::transform(best, ids.begin(), &Candidate::id);
  return ids;
}

}  // namespace

std::vector<float> generated_logits(const Scenario& scenario, int layer, Count token) {
  const auto& made = std::get<LogitsRouting>(scenario.routing);
  const std::uint64_t seed = scenario.routing_seed;
  const bool has_ties = unit_interval(mix(seed, stream_coin, layer, token, 0)) < made.ties;
  const bool is_nan = unit_interval(mix(seed, stream_coin, layer, token, 1)) < made.nan;
  const auto spread = static_cast<std::int64_t>(made.spread * 16);
  std::vector<float> logits;
  for (int e = 0; e < scenario.model.num_experts; ++e) {
    const std::uint64_t mixed = mix(seed, stream_logit, layer, token, e);
    const auto centred =
        static_cast<std::int64_t>((mixed & 0xFFFFU) + (mixed >> 16U & 0xFFFFU)) - 0xFFFF;
    std::int64_t sixteenths = shifted_down(centred * spread + (1 << 15), 16);
    if (has_ties) sixteenths = shifted_down(sixteenths + 8, 4) * 16;
    const double logit = static_cast<double>(sixteenths) / 16 + made.shift;
    logits.push_back(is_nan ? std::nanf("") : static_cast<float>(logit));
  }
  return logits;
}

RouterSpec router_spec(const Scenario& scenario, int layer) {
  const ModelSpec& model = scenario.model;
  const bool is_grouped = model.num_expert_groups > 1;
  const bool is_llama4 = model.scoring == Scoring::sigmoid && model.top_k == 1 &&
                         !model.renormalize && !is_grouped && !model.correction_bias;
  return {.num_experts = model.num_experts,
          .top_k = model.top_k,
          .scoring = model.scoring,
          .renormalize = model.renormalize,
          .use_grouped_topk = is_grouped,
          .num_expert_group = model.num_expert_groups,
          .topk_group = model.topk_group,
          .correction_bias = generated_bias(scenario, layer),
          .custom = is_llama4 ? CustomRouting::top_1_then_sigmoid : CustomRouting::none};
}

std::vector<double> plain_scores(const RouterSpec& spec, const std::vector<float>& logits) {
  const bool falls_back = spec.num_expert_group > 1 && !divides(spec);
  return scores_of(logits, falls_back ? Scoring::softmax : spec.scoring);
}

std::vector<int> plainly_chosen(const Scenario& scenario, int layer, Count token) {
  return chosen_of(router_spec(scenario, layer), generated_logits(scenario, layer, token));
}

std::vector<int> chosen_by_zeros(const Scenario& scenario, int layer) {
  const RouterSpec spec = router_spec(scenario, layer);
  return chosen_of(spec, std::vector<float>(static_cast<std::size_t>(spec.num_experts), 0.0F));
}

}  // namespace moe::sim
