// Words first, then what they promise together: sizes that multiply, a format that the backend has,
// a reduction that the judge knows.

#include "sim/capture_metadata.h"

#include <algorithm>
#include <optional>

#include "backends/profile.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/capture_contracts.h"
#include "sim/json_document.h"
#include "sim/metadata_words.h"
#include "sim/registry.h"

namespace moe::sim {
namespace {

constexpr int ranks_max = 4'096;

golden::CaptureContract contract_of(const MetadataWords& metadata) {
  const std::string& backend = metadata.word("backend");
  const auto rows = all_capture_contracts();
  const auto row = std::ranges::find(rows, backend, &CaptureContractRow::name);
  if (row == rows.end()) {
    std::vector<std::string> names;
    for (const CaptureContractRow& one : rows) {
      if (one.absence.empty()) names.emplace_back(one.name);
    }
    metadata.refuse("backend", text("must be one of ", joined(names)));
  }
  if (!row->absence.empty()) metadata.refuse("backend", text("cannot be judged: ", row->absence));
  return row->contract;
}

std::vector<Count> token_counts(const SafetensorsHeader& header, const MetadataWords& metadata,
                                int ranks) {
  const std::string& words = metadata.word("num_tokens");
  const JsonValue list = parse_json(words, text(header.path, ": metadata 'num_tokens'"));
  const std::string must = text("must be a JSON list of ", ranks, " counts, one per rank");
  if (list.array() == nullptr || std::ssize(*list.array()) != ranks) {
    metadata.refuse("num_tokens", must);
  }
  std::vector<Count> counts;
  for (const JsonValue& item : *list.array()) {
    if (item.integer() == nullptr || *item.integer() < 0) metadata.refuse("num_tokens", must);
    counts.push_back(*item.integer());
  }
  return counts;
}

void take_sizes(CaptureMetadata& taken, const MetadataWords& metadata) {
  golden::Capture& capture = taken.capture;
  taken.ep_size = metadata.integer("ep_size", 1, ranks_max);
  capture.dp_size = metadata.integer("dp_size", 1, ranks_max);
  capture.tp_size = metadata.integer("tp_size", 1, ranks_max);
  if (capture.dp_size * capture.tp_size != taken.ep_size) {
    metadata.refuse("ep_size",
                    text("must be dp_size x tp_size, ", capture.dp_size, " x ", capture.tp_size));
  }
  capture.num_experts = metadata.integer("num_experts", 1, 1 << 20);
  capture.top_k = metadata.integer("top_k", 1, std::min(capture.num_experts, 1'024));
  capture.hidden_size = metadata.count("hidden_size", 1, 1 << 20);
}

// The format that the backend has, who weights in it, and ids where there are any.
void take_words(CaptureMetadata& taken, const MetadataWords& metadata) {
  golden::Capture& capture = taken.capture;
  const bool is_batched = capture.contract.delivery == golden::Delivery::experts;
  const std::string& format = metadata.one_of("activation_format", {"standard", "batched_experts"});
  if ((format == "batched_experts") != is_batched) {
    metadata.refuse("activation_format",
                    text("must be ", is_batched ? "batched_experts" : "standard", ", as ",
                         capture.backend, " has it"));
  }
  const std::string& placement = metadata.one_of("placement", {"linear", "round_robin"});
  capture.placement =
      placement == "linear" ? golden::Placement::linear : golden::Placement::round_robin;
  const std::string& space = metadata.one_of("topk_ids_space", {"global", "local", "none"});
  capture.id_space = space == "global"  ? golden::IdSpace::global
                     : space == "local" ? golden::IdSpace::local
                                        : golden::IdSpace::none;
  if (!is_batched && space == "none") {
    metadata.refuse("topk_ids_space", "must be global or local in the standard format");
  }
  const std::string& weights =
      metadata.one_of("weights_applied_by", {"expert_rank", "source_rank"});
  if (!is_batched && weights == "source_rank") {
    metadata.refuse("weights_applied_by",
                    "must be expert_rank in the standard format, whose rows are sums of choices");
  }
  capture.weighted_by =
      weights == "expert_rank" ? golden::WeightedBy::expert_rank : golden::WeightedBy::source_rank;
  if (metadata.has("quantization") &&
      metadata.one_of("quantization", {"none", "fp8_block128"}) == "fp8_block128") {
    capture.quantization = golden::Quantization::fp8_block128;
  }
}

// Why the backend cannot have made a capture of such a world, as a run line of it is refused; a
// capture holds rows as they travel, so that their width is one that the backend has. Empty: it
// can.
std::string world_refusal(const CaptureMetadata& taken, DType dtype) {
  const golden::Capture& capture = taken.capture;
  const auto row = std::ranges::find(registry(), emulation_of(capture.backend), &RegistryRow::name);
  if (row == registry().end()) return "";
  const Capabilities& capabilities = row->backend->capabilities;
  if (!capabilities.moves_between_dp_ranks && capture.dp_size > 1) {
    return text("moves nothing between DP ranks and needs dp_size 1, not ", capture.dp_size);
  }
  const std::string refusal =
      refusal_of(capabilities, {.num_ranks = taken.ep_size,
                                .hidden_size = capture.hidden_size,
                                .dtype = dtype,
                                .top_k = capture.top_k,
                                .num_experts = capture.num_experts,
                                .is_linear = capture.placement == golden::Placement::linear,
                                .max_num_tokens = taken.max_num_tokens_per_rank});
  if (!refusal.empty()) return refusal;
  const std::vector<Count>& sizes = capabilities.limits.hidden_sizes;
  if (sizes.empty() || std::ranges::find(sizes, capture.hidden_size) != sizes.end()) return "";
  return text("sends rows of ", joined(sizes), " columns, not of ", capture.hidden_size);
}

void check_world(const CaptureMetadata& taken, const SafetensorsHeader& header,
                 const MetadataWords& metadata) {
  const auto rows = header.tensors.find("hidden_states");
  if (rows == header.tensors.end()) return;  // its absence is refused where tensors are read
  const std::string& word = rows->second.dtype;
  if (word != "BF16" && word != "F16" && word != "F32") return;  // and so is its type
  const DType dtype = word == "BF16" ? DType::bf16 : word == "F16" ? DType::f16 : DType::f32;
  const std::string refusal = world_refusal(taken, dtype);
  if (!refusal.empty()) metadata.refuse("backend", refusal);
}

std::optional<std::string> value_in(const SafetensorsHeader& header, const std::string& key) {
  const auto found = header.metadata.find(key);
  return found == header.metadata.end() ? std::nullopt : std::optional(found->second);
}

std::string value_text(const std::optional<std::string>& value) {
  return value ? text("'", value->substr(0, 80), "'") : "missing";
}

}  // namespace

void check_rank(const SafetensorsHeader& header, int rank) {
  const MetadataWords metadata(header);
  metadata.one_of("format", {"moe-capture/1"});
  if (metadata.integer("rank", 0, ranks_max - 1) != rank) {
    metadata.refuse("rank", text("must be ", rank, ", as the file's name says"));
  }
}

CaptureMetadata capture_from_metadata(const SafetensorsHeader& header, int rank) {
  check_rank(header, rank);
  const MetadataWords metadata(header);
  CaptureMetadata taken;
  taken.capture.backend = metadata.word("backend");
  taken.capture.contract = contract_of(metadata);
  take_sizes(taken, metadata);
  take_words(taken, metadata);
  taken.num_tokens = token_counts(header, metadata, taken.ep_size);
  if (taken.capture.contract.delivery == golden::Delivery::experts) {
    const Count most = std::max<Count>(1, *std::ranges::max_element(taken.num_tokens));
    taken.max_num_tokens_per_rank = metadata.count("max_num_tokens_per_rank", most, Count{1} << 40);
  }
  check_world(taken, header, metadata);
  return taken;
}

void check_same_capture(const SafetensorsHeader& one, const SafetensorsHeader& other) {
  for (const char* key :
       {"backend", "dp_size", "tp_size", "ep_size", "num_experts", "top_k", "hidden_size",
        "placement", "activation_format", "topk_ids_space", "weights_applied_by", "num_tokens",
        "max_num_tokens_per_rank", "quantization"}) {
    const auto first = value_in(one, key);
    const auto second = value_in(other, key);
    if (first == second) continue;
    throw ScenarioError(text(other.path, ": metadata '", key, "' is ", value_text(second), ", in ",
                             one.path, " it is ", value_text(first),
                             ": ranks of one capture must agree"));
  }
}

}  // namespace moe::sim
