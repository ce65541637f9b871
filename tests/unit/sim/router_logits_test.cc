// Recorded router logits: the reader's refusals, and the kernels replaying the three recorded files
// with the acceptance of numerics.md, 7.

#include "sim/router_logits.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <span>

#include "backends/routers.h"
#include "kernels/base/text.h"
#include "tests/catch.h"
#include "tests/unit/sim/input_files.h"

using namespace moe;
using namespace moe::sim;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

RouterLogits recorded(const std::string& model) {
  return read_router_logits(
      text(MOE_SOURCE_DIR "/scenarios/traces/logits-", model, ".dev.safetensors"));
}

RouterSpec spec_of(const RouterLogits& logits) {
  return {.num_experts = logits.num_experts,
          .top_k = logits.top_k,
          .scoring = logits.scoring == "sigmoid" ? Scoring::sigmoid : Scoring::softmax,
          .renormalize = logits.renormalize,
          .use_grouped_topk = logits.num_expert_groups > 1,
          .num_expert_group = logits.num_expert_groups,
          .topk_group = logits.topk_group,
          .correction_bias = logits.e_score_correction_bias,
          .routed_scaling_factor = logits.routed_scaling_factor};
}

struct Row {
  std::vector<int> ids;
  std::map<int, double> weight_of;

  std::vector<int> set() const {
    std::vector<int> sorted = ids;
    std::ranges::sort(sorted);
    return sorted;
  }
};

std::vector<Row> rows_from(std::span<const std::int32_t> ids, std::span<const float> weights,
                           int top_k) {
  std::vector<Row> rows(ids.size() / static_cast<std::size_t>(top_k));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    Row& row = rows[i / static_cast<std::size_t>(top_k)];
    row.ids.push_back(ids[i]);
    row.weight_of[ids[i]] = weights[i];
  }
  return rows;
}

std::vector<Row> chosen_by(const RouterSpec& spec, RouterLogits& logits) {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const Tensor rows = {
      logits.router_logits.data(), logits.num_tokens, logits.num_experts, DType::f32, {}};
  const RoutingBuffers routing = make_router(*kernels, spec)->select_experts(rows);
  return rows_from(elements_of<std::int32_t>(routing.topk_ids.tensor()),
                   elements_of<float>(routing.topk_weights.tensor()), logits.top_k);
}

struct Agreement {
  int sets_differing = 0;
  double worst_weight = 0;  // of the equal sets
  std::vector<std::size_t> differing;
};

Agreement agreement(const std::vector<Row>& expected, const std::vector<Row>& actual) {
  REQUIRE(expected.size() == actual.size());
  Agreement found;
  for (std::size_t token = 0; token < expected.size(); ++token) {
    if (expected[token].set() != actual[token].set()) {
      ++found.sets_differing;
      found.differing.push_back(token);
      continue;
    }
    for (const auto& [expert, weight] : expected[token].weight_of) {
      const double apart = std::abs(weight - actual[token].weight_of.at(expert));
      found.worst_weight = std::max(found.worst_weight, apart);
    }
  }
  return found;
}

// How far apart the scores are that decide which groups, and which experts of them, are chosen.
double deciding_margin(const RouterLogits& logits, std::size_t token) {
  const auto experts = static_cast<std::size_t>(logits.num_experts);
  const std::size_t each = experts / static_cast<std::size_t>(logits.num_expert_groups);
  std::vector<double> scores(experts);
  for (std::size_t e = 0; e < experts; ++e) {
    const double logit = logits.router_logits[token * experts + e];
    scores[e] = 1 / (1 + std::exp(-logit)) + double{logits.e_score_correction_bias[e]};
  }
  std::vector<std::pair<double, std::size_t>> groups;
  for (std::size_t begin = 0; begin < experts; begin += each) {
    std::vector<double> best(scores.begin() + static_cast<std::ptrdiff_t>(begin),
                             scores.begin() + static_cast<std::ptrdiff_t>(begin + each));
    std::ranges::sort(best, std::greater{});
    groups.emplace_back(best[0] + best[1], begin);
  }
  std::ranges::sort(groups, std::greater{});
  const auto kept = static_cast<std::size_t>(logits.topk_group);
  std::vector<double> candidates;
  for (std::size_t group = 0; group < kept; ++group) {
    const auto begin = scores.begin() + static_cast<std::ptrdiff_t>(groups[group].second);
    candidates.insert(candidates.end(), begin, begin + static_cast<std::ptrdiff_t>(each));
  }
  std::ranges::sort(candidates, std::greater{});
  const auto top_k = static_cast<std::size_t>(logits.top_k);
  return std::min(groups[kept - 1].first - groups[kept].first,
                  candidates[top_k - 1] - candidates[top_k]);
}

struct SmallLogits {
  std::map<std::string, std::string> metadata = SmallTrace().metadata;
  std::vector<float> logits = {1, 2, 3, 4, 4, 3, 2, 1};
  std::vector<std::int32_t> ids = {3, 2, 0, 1};
  std::vector<float> weights = {.75F, .25F, .75F, .25F};
  std::vector<float> bias = {0, 0, .5F, 0};
  std::string ids_dtype = "I32";

  SmallLogits() {
    metadata["format"] = "moe-router-logits/1";
    metadata["layer"] = "1";
    metadata["note"] = "made by hand";
    metadata["scoring"] = "sigmoid";
  }

  std::string bytes() const {
    std::string header = "{\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      header += text(header.ends_with('{') ? "" : ",", '"', key, "\":\"", value, '"');
    }
    header += '}';
    std::string data;
    const auto add = [&](const std::string& name, const std::string& dtype_and_shape,
                         const auto& values) {
      const std::size_t begin = data.size();
      data.append(reinterpret_cast<const char*>(values.data()), values.size() * 4);
      header += text(",\"", name, "\":{\"dtype\":", dtype_and_shape, ",\"data_offsets\":[", begin,
                     ',', data.size(), "]}");
    };
    const auto shaped = [](const char* dtype, std::size_t rows, const char* columns) {
      return text('"', dtype, "\",\"shape\":[", rows, columns, ']');
    };
    add("e_score_correction_bias", shaped("F32", bias.size(), ""), bias);
    add("router_logits", shaped("F32", logits.size() / 4, ",4"), logits);
    add("topk_ids", shaped(ids_dtype.c_str(), ids.size() / 2, ",2"), ids);
    add("topk_weights", shaped("F32", weights.size() / 2, ",2"), weights);
    return safetensors_bytes(header + "}", data);
  }
};

}  // namespace

TEST_CASE("logits: a small file is read whole") {
  const TemporaryFolder folder;
  const SmallLogits small;
  const RouterLogits logits = read_router_logits(folder.write("l", small.bytes()));
  CHECK(logits.num_tokens == 2);
  CHECK(logits.num_experts == 4);
  CHECK(logits.top_k == 2);
  CHECK(logits.layer == 1);
  CHECK(logits.scoring == "sigmoid");
  CHECK(logits.note == "made by hand");
  CHECK(logits.router_logits == small.logits);
  CHECK(logits.topk_ids == small.ids);
  CHECK(logits.topk_weights == small.weights);
  CHECK(logits.e_score_correction_bias == small.bias);
}

TEST_CASE("logits: what cannot be is refused with its place") {
  struct Case {
    void (*break_it)(SmallLogits&);
    std::string message;
  };
  const std::vector<Case> cases = {
      {[](SmallLogits& l) { l.metadata["format"] = "moe-routing-trace/1"; },
       "must be one of moe-router-logits/1"},
      {[](SmallLogits& l) { l.metadata["layer"] = "2"; }, "metadata 'layer' is '2'"},
      {[](SmallLogits& l) { l.metadata.erase("note"); }, "the metadata has no 'note'"},
      {[](SmallLogits& l) { l.metadata["num_experts"] = "5"; }, "router_logits is [2, 4]"},
      {[](SmallLogits& l) {
         l.ids = {3, 2};
       },
       "topk_ids is [1, 2]"},
      {[](SmallLogits& l) { l.ids[3] = 4; },
       "topk_ids: token 1, slot 1: expert 4 is outside [0, 4)"},
      {[](SmallLogits& l) { l.ids[0] = -1; }, "topk_ids: token 0, slot 0: expert -1 is outside"},
      {[](SmallLogits& l) { l.ids[3] = 0; }, "topk_ids: token 1, slot 1: expert 0 a second time"},
      {[](SmallLogits& l) { l.ids_dtype = "F32"; }, "topk_ids is F32"},
      {[](SmallLogits& l) { l.weights.resize(2); }, "topk_weights is [1, 2]"},
      {[](SmallLogits& l) { l.weights[2] = std::numeric_limits<float>::infinity(); },
       "topk_weights: row 1, column 0: inf is not finite"},
      {[](SmallLogits& l) { l.logits[5] = std::nanf(""); },
       "router_logits: row 1, column 1: nan is not finite"},
      {[](SmallLogits& l) { l.bias[3] = std::nanf(""); },
       "e_score_correction_bias: row 0, column 3: nan is not finite"},
      {[](SmallLogits& l) { l.bias.pop_back(); }, "e_score_correction_bias is [3]"},
      {[](SmallLogits& l) { l.logits.clear(); }, "router_logits: there is no token"},
  };
  const TemporaryFolder folder;
  for (const Case& one : cases) {
    CAPTURE(one.message);
    SmallLogits small;
    one.break_it(small);
    const std::string path = folder.write("l", small.bytes());
    CHECK_THAT(error_of([&] { read_router_logits(path); }),
               StartsWith(path + ": ") && Contains(one.message));
  }
}

TEST_CASE("logits: a file cut anywhere is refused") {
  const TemporaryFolder folder;
  const std::string whole = SmallLogits().bytes();
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const std::string path = folder.write("l", whole.substr(0, length));
    CAPTURE(length);
    CHECK(error_of([&] { read_router_logits(path); }) != "no error");
  }
}

TEST_CASE("logits: recorded softmax routers choose the same, in the same order up to ties") {
  for (const std::string model : {"mixtral-style-e8k2", "qwen3-style-e64k8"}) {
    CAPTURE(model);
    RouterLogits logits = recorded(model);
    const std::vector<Row> expected = rows_from(logits.topk_ids, logits.topk_weights, logits.top_k);
    const std::vector<Row> actual = chosen_by(spec_of(logits), logits);
    const Agreement found = agreement(expected, actual);
    CHECK(found.sets_differing == 0);
    CHECK(found.worst_weight <= 1e-5);
    int out_of_order = 0;
    for (std::size_t token = 0; token < expected.size(); ++token) {
      const auto logit = [&](int expert) {
        return logits.router_logits[token * static_cast<std::size_t>(logits.num_experts) +
                                    static_cast<std::size_t>(expert)];
      };
      for (std::size_t slot = 0; slot < expected[token].ids.size(); ++slot) {
        out_of_order += logit(expected[token].ids[slot]) != logit(actual[token].ids[slot]) ? 1 : 0;
      }
    }
    CHECK(out_of_order == 0);
  }
}

TEST_CASE("logits: the recorded sigmoid router, its sigmoid rounded to bf16: all sets are equal") {
  RouterLogits logits = recorded("deepseek-v3-style-e32k4");
  const std::vector<Row> expected = rows_from(logits.topk_ids, logits.topk_weights, logits.top_k);
  RouterSpec spec = spec_of(logits);
  spec.score_rounding = ScoreRounding::bf16;
  for (const GroupedTopkRules rules : {GroupedTopkRules::cuda_op, GroupedTopkRules::torch}) {
    spec.grouped_rules = rules;
    const Agreement found = agreement(expected, chosen_by(spec, logits));
    CHECK(found.sets_differing == 0);
    CHECK(found.worst_weight <= 0x1p-7);
  }
}

TEST_CASE("logits: the recorded sigmoid router in float32: near-ties alone may differ") {
  RouterLogits logits = recorded("deepseek-v3-style-e32k4");
  const std::vector<Row> expected = rows_from(logits.topk_ids, logits.topk_weights, logits.top_k);
  const Agreement found = agreement(expected, chosen_by(spec_of(logits), logits));
  CHECK(found.sets_differing * 100 <= std::ssize(expected));
  CHECK(found.worst_weight <= 0x1p-7);
  for (const std::size_t token : found.differing) {
    CAPTURE(token);
    CHECK(deciding_margin(logits, token) < 0x1p-8);
  }
}
