// Finds a capture's files, holds every shape against the metadata, and copies the tensors out.
// Values are not looked at: a wrong one is a finding.

#include "sim/capture_file.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>

#include "golden/capture_quantiser.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/capture_metadata.h"

namespace moe::sim {
namespace {

namespace fs = std::filesystem;
using Shape = std::vector<Count>;

constexpr std::string_view ending = ".safetensors";
constexpr std::string_view rank_mark = ".rank";

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw ScenarioError(text(path, ": ", why));
}

struct RankFile {
  std::string name;  // of the capture
  int rank = 0;
};

// What a path of the form NAME.rank<r>.safetensors says.
std::optional<RankFile> rank_file(const std::string& path) {
  if (!path.ends_with(ending)) return std::nullopt;
  const std::string stem = path.substr(0, path.size() - ending.size());
  const std::size_t mark = stem.rfind(rank_mark);
  if (mark == std::string::npos) return std::nullopt;
  const std::string digits = stem.substr(mark + rank_mark.size());
  int rank = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
  if (error != std::errc() || end != digits.data() + digits.size() || rank < 0) return std::nullopt;
  if (digits != text(rank)) return std::nullopt;  // no +1, no 01
  return RankFile{stem.substr(0, mark), rank};
}

std::string path_of(const std::string& name, int rank) {
  return text(name, rank_mark, rank, ending);
}

// The ranks whose files lie beside each other, ascending.
std::vector<int> ranks_present(const std::string& name) {
  const fs::path whole(name);
  const fs::path folder = whole.has_parent_path() ? whole.parent_path() : fs::path(".");
  std::vector<int> ranks;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const auto file = rank_file(entry.path().filename().string());
    if (file && file->name == whole.filename().string()) ranks.push_back(file->rank);
  }
  std::ranges::sort(ranks);
  return ranks;
}

const std::map<std::string, DType>& known_dtypes() {
  static const std::map<std::string, DType> dtypes = {
      {"BF16", DType::bf16}, {"F16", DType::f16}, {"F32", DType::f32}, {"F8_E4M3", DType::f8e4m3}};
  return dtypes;
}

// One rank's file on its way into the struct.
class RankReader {
 public:
  RankReader(const std::string& path, const CaptureMetadata& metadata, Count num_local_experts)
      : file_(path), metadata_(metadata), local_(num_local_experts) {}

  golden::CapturedRank read(int rank, Count capacity) const {
    const golden::Capture& capture = metadata_.capture;
    const Count tokens = metadata_.num_tokens[static_cast<std::size_t>(rank)];
    golden::CapturedRank read;
    read.hidden_states =
        rows("hidden_states", {tokens, capture.hidden_size}, {"BF16", "F16", "F32"});
    read.topk_ids = integers("topk_ids", {tokens, capture.top_k});
    read.topk_weights = floats("topk_weights", {tokens, capture.top_k});
    const std::string input = entry("hidden_states").dtype;
    read.combined = rows("combined", {tokens, capture.hidden_size}, {input});
    const Shape arrived = arrived_shape(capacity);
    const bool is_quantised = capture.quantization != golden::Quantization::none;
    read.dispatched = rows("dispatched_hidden_states", arrived, {is_quantised ? "F8_E4M3" : input});
    std::vector<std::string> outputs = {"BF16", "F32"};
    if (std::ranges::find(outputs, input) == outputs.end()) outputs.insert(outputs.begin(), input);
    read.expert_output = rows("expert_output", arrived, outputs);
    if (is_quantised) {
      Shape scales = arrived;
      scales.back() = golden::num_quantised_groups(capture.hidden_size);
      read.dispatched_scales = floats("dispatched_scales", scales);
    }
    if (capacity > 0) {
      take_batched(read, capacity);
    } else {
      read.dispatched_topk_ids = integers("dispatched_topk_ids", {arrived[0], capture.top_k});
      read.dispatched_topk_weights = floats("dispatched_topk_weights", {arrived[0], capture.top_k});
      if (has("expert_num_tokens")) {
        read.expert_num_tokens = values<std::int32_t>("expert_num_tokens", "I32", {local_});
      }
    }
    check_nothing_is_left();
    return read;
  }

  // The batched format's C, 0 in the standard one.
  Count capacity() const {
    if (metadata_.capture.contract.delivery != golden::Delivery::experts) return 0;
    const SafetensorsEntry& rows = entry("dispatched_hidden_states");
    if (rows.shape.size() != 3 || rows.shape[1] < 1) {
      refuse(file_.path(), text("dispatched_hidden_states is ", shape_text(rows.shape),
                                ", batched rows are [experts, capacity, hidden]"));
    }
    return rows.shape[1];
  }

  const SafetensorsHeader& header() const { return file_.header(); }

 private:
  bool has(const std::string& name) const { return file_.entries().contains(name); }

  const SafetensorsEntry& entry(const std::string& name) const {
    const auto found = file_.entries().find(name);
    if (found == file_.entries().end()) refuse(file_.path(), text("has no tensor '", name, "'"));
    used_.push_back(name);
    return found->second;
  }

  // Of one of those dtypes, of that shape.
  const SafetensorsEntry& checked(const std::string& name, const Shape& shape,
                                  const std::vector<std::string>& dtypes) const {
    const SafetensorsEntry& found = entry(name);
    if (std::ranges::find(dtypes, found.dtype) == dtypes.end()) {
      refuse(file_.path(),
             text(name, " is ", found.dtype, ", it must be ", joined(dtypes, " or ")));
    }
    require_shape(file_.header(), name, found.dtype, shape);
    return found;
  }

  golden::CapturedRows rows(const std::string& name, const Shape& shape,
                            const std::vector<std::string>& dtypes) const {
    const SafetensorsEntry& found = checked(name, shape, dtypes);
    golden::CapturedRows rows;
    rows.dtype = known_dtypes().at(found.dtype);
    rows.columns = shape.back();
    rows.rows = shape.size() == 3 ? shape[0] * shape[1] : shape[0];
    rows.bytes.assign(found.bytes.begin(), found.bytes.end());
    return rows;
  }

  template <typename T>
  std::vector<T> values(const std::string& name, const char* dtype, const Shape& shape) const {
    checked(name, shape, {dtype});
    return tensor_values<T>(file_, name);
  }

  std::vector<float> floats(const std::string& name, const Shape& shape) const {
    return values<float>(name, "F32", shape);
  }

  std::vector<std::int64_t> integers(const std::string& name, const Shape& shape) const {
    if (checked(name, shape, {"I64", "I32"}).dtype == "I64") {
      return tensor_values<std::int64_t>(file_, name);
    }
    const std::vector<std::int32_t> narrow = tensor_values<std::int32_t>(file_, name);
    return {narrow.begin(), narrow.end()};
  }

  Shape arrived_shape(Count capacity) const {
    const Count hidden = metadata_.capture.hidden_size;
    if (capacity > 0) return {local_, capacity, hidden};
    const SafetensorsEntry& found = entry("dispatched_hidden_states");
    return {found.shape.empty() ? 0 : found.shape[0], hidden};
  }

  void take_batched(golden::CapturedRank& read, Count capacity) const {
    const golden::Capture& capture = metadata_.capture;
    const Count senders = capture.contract.tp_peers_send_once ? metadata_.ep_size / capture.tp_size
                                                              : metadata_.ep_size;
    const Count due = metadata_.max_num_tokens_per_rank * senders;
    if (capture.contract.has_capacity_per_peer && capacity != due) {
      refuse(file_.path(), text("has room for ", capacity, " rows per expert, ", capture.backend,
                                " has max_num_tokens_per_rank x senders, ",
                                metadata_.max_num_tokens_per_rank, " x ", senders));
    }
    read.expert_num_tokens = values<std::int32_t>("expert_num_tokens", "I32", {local_});
    if (has("source_row")) {
      read.source_row = values<std::int32_t>("source_row", "I32", {local_, capacity});
    }
    if (!has("source_range")) return;
    if (senders != metadata_.ep_size) {
      refuse(file_.path(), text("has a source_range over ", metadata_.ep_size, " ranks, but only ",
                                senders, " send in ", capture.backend));
    }
    read.source_range =
        values<std::int64_t>("source_range", "I64", {local_, Count{metadata_.ep_size}});
  }

  // A tensor that nothing judges would pass whatever is in it.
  void check_nothing_is_left() const {
    for (const auto& [name, tensor] : file_.entries()) {
      if (std::ranges::find(used_, name) != used_.end()) continue;
      refuse(file_.path(), text("has the tensor '", name, "', which a capture of ",
                                metadata_.capture.backend, " does not have: nothing judges it"));
    }
  }

  SafetensorsFile file_;
  const CaptureMetadata& metadata_;
  Count local_;
  mutable std::vector<std::string> used_;
};

Count local_experts(const CaptureMetadata& metadata, int rank) {
  const int experts = metadata.capture.num_experts;
  return experts / metadata.ep_size + (rank < experts % metadata.ep_size ? 1 : 0);
}

// Every rank's dtypes are the first's.
void check_dtypes(const golden::Capture& capture, const std::string& name) {
  const golden::CapturedRank& first = capture.ranks.front();
  for (int rank = 1; rank < capture.ep_size(); ++rank) {
    const golden::CapturedRank& other = capture.ranks[static_cast<std::size_t>(rank)];
    if (other.hidden_states.dtype == first.hidden_states.dtype &&
        other.expert_output.dtype == first.expert_output.dtype) {
      continue;
    }
    refuse(path_of(name, rank),
           text("hidden_states and expert_output are ", name_of(other.hidden_states.dtype), " and ",
                name_of(other.expert_output.dtype), ", rank 0's are ",
                name_of(first.hidden_states.dtype), " and ", name_of(first.expert_output.dtype)));
  }
}

// TP peers of which one sends hold as many rows as it.
void check_peers(const CaptureMetadata& metadata, const std::string& name) {
  if (!metadata.capture.contract.tp_peers_send_once) return;
  for (int rank = 0; rank < metadata.ep_size; ++rank) {
    const int first = rank - rank % metadata.capture.tp_size;
    const Count here = metadata.num_tokens[static_cast<std::size_t>(rank)];
    const Count there = metadata.num_tokens[static_cast<std::size_t>(first)];
    if (here == there) continue;
    refuse(path_of(name, rank),
           text("metadata 'num_tokens' gives rank ", rank, " ", here, " rows and its TP peer ",
                first, " ", there, ": one of them sends for both"));
  }
}

}  // namespace

std::vector<std::string> capture_names(const std::vector<std::string>& arguments) {
  std::vector<std::string> names;
  for (const std::string& argument : arguments) {
    const auto file = rank_file(argument);
    if (!file && argument.ends_with(ending)) {
      refuse(argument, "a capture's file is called NAME.rank<r>.safetensors");
    }
    const std::string name = file ? file->name : argument;
    std::error_code error;
    if (file && !fs::exists(argument, error)) {
      refuse(argument, error ? error.message() : "no such file");
    }
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  return names;
}

golden::Capture read_capture(const std::string& name) {
  const std::vector<int> present = ranks_present(name);
  if (present.empty()) refuse(name, text("no file ", path_of(name, 0), ", and no other rank's"));
  const SafetensorsHeader first = read_safetensors_header(path_of(name, present.front()));
  const CaptureMetadata metadata = capture_from_metadata(first, present.front());
  for (int rank = 0; rank < metadata.ep_size; ++rank) {
    if (std::ranges::find(present, rank) != present.end()) continue;
    refuse(path_of(name, rank), text("rank ", rank, " of ", metadata.ep_size,
                                     " is missing: verify needs all ranks of a capture"));
  }
  if (present.back() >= metadata.ep_size) {
    refuse(path_of(name, present.back()),
           text("is no rank of this capture, whose ep_size is ", metadata.ep_size));
  }
  check_peers(metadata, name);
  golden::Capture capture = metadata.capture;
  for (int rank = 0; rank < metadata.ep_size; ++rank) {
    const RankReader reader(path_of(name, rank), metadata, local_experts(metadata, rank));
    check_same_capture(first, reader.header());
    check_rank(reader.header(), rank);
    const Count capacity = reader.capacity();
    if (rank > 0 && capacity != capture.capacity) {
      refuse(path_of(name, rank),
             text("has room for ", capacity, " rows per expert, rank 0 for ", capture.capacity));
    }
    capture.capacity = capacity;
    capture.ranks.push_back(reader.read(rank, capacity));
  }
  check_dtypes(capture, name);
  return capture;
}

}  // namespace moe::sim
