// Reads moe-router-logits/1: shapes against metadata, then every value. A refusal says which
// tensor, token and column. Called by whoever replays a router.

#include "sim/router_logits.h"

#include <cmath>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/safetensors.h"
#include "sim/trace_metadata.h"

namespace moe::sim {
namespace {

[[noreturn]] void refuse(const RouterLogits& logits, const std::string& why) {
  throw ScenarioError(text(logits.path, ": ", why));
}

void check_finite(const RouterLogits& logits, const std::string& name,
                  const std::vector<float>& values, int columns) {
  const auto width = static_cast<std::size_t>(columns);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) continue;
    refuse(logits, text(name, ": row ", i / width, ", column ", i % width, ": ", values[i],
                        " is not finite"));
  }
}

// last_seen remembers for each expert in which token it was chosen last.
void check_ids(const RouterLogits& logits) {
  const auto top_k = static_cast<std::size_t>(logits.top_k);
  std::vector<std::size_t> last_seen(static_cast<std::size_t>(logits.num_experts), SIZE_MAX);
  for (std::size_t i = 0; i < logits.topk_ids.size(); ++i) {
    const std::int32_t expert = logits.topk_ids[i];
    const std::string place = text("topk_ids: token ", i / top_k, ", slot ", i % top_k);
    if (expert < 0 || expert >= logits.num_experts) {
      refuse(logits, text(place, ": expert ", expert, " is outside [0, ", logits.num_experts, ")"));
    }
    std::size_t& seen = last_seen[static_cast<std::size_t>(expert)];
    if (seen == i / top_k) refuse(logits, text(place, ": expert ", expert, " a second time"));
    seen = i / top_k;
  }
}

}  // namespace

RouterLogits read_router_logits(const std::string& path) {
  const SafetensorsFile file(path);
  const SafetensorsHeader& header = file.header();
  RouterLogits logits = logits_from_metadata(header);
  logits.num_tokens = require_tensor(header, "router_logits", "F32", 2).shape[0];
  if (logits.num_tokens == 0) refuse(logits, "router_logits: there is no token");
  require_shape(header, "router_logits", "F32", {logits.num_tokens, logits.num_experts});
  require_shape(header, "topk_ids", "I32", {logits.num_tokens, logits.top_k});
  require_shape(header, "topk_weights", "F32", {logits.num_tokens, logits.top_k});
  logits.router_logits = tensor_values<float>(file, "router_logits");
  logits.topk_ids = tensor_values<std::int32_t>(file, "topk_ids");
  logits.topk_weights = tensor_values<float>(file, "topk_weights");
  if (logits.scoring == "sigmoid") {
    require_shape(header, "e_score_correction_bias", "F32", {logits.num_experts});
    logits.e_score_correction_bias = tensor_values<float>(file, "e_score_correction_bias");
  }
  check_ids(logits);
  check_finite(logits, "router_logits", logits.router_logits, logits.num_experts);
  check_finite(logits, "topk_weights", logits.topk_weights, logits.top_k);
  check_finite(logits, "e_score_correction_bias", logits.e_score_correction_bias,
               logits.num_experts);
  return logits;
}

}  // namespace moe::sim
