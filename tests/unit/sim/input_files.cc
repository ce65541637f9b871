// Folders and bytes for the tests of readers.
// Called by the tests of sim/ only.

#include "tests/unit/sim/input_files.h"

#include <unistd.h>

#include <cstring>
#include <fstream>

#include "kernels/base/text.h"

namespace moe::sim {
namespace {

template <typename T>
std::string raw_bytes(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "moe_test_XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw SystemError("no temporary folder " + pattern);
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

std::string TemporaryFolder::write(const std::string& name, const std::string& bytes) const {
  const std::filesystem::path file = path_ / name;
  std::filesystem::create_directories(file.parent_path());
  std::filesystem::remove(file);  // rewriting in place makes some file systems wait for the disk
  std::ofstream stream(file, std::ios::binary | std::ios::trunc);
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return file.string();
}

std::string safetensors_bytes(const std::string& header, const std::string& data) {
  const std::uint64_t length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + header + data;
}

SmallTrace::SmallTrace() {
  metadata = {{"format", "moe-routing-trace/1"},
              {"model", "small"},
              {"dp_size", "2"},
              {"steps", "3"},
              {"num_layers", "2"},
              {"num_experts", "4"},
              {"top_k", "2"},
              {"hidden_size", "32"},
              {"moe_intermediate_size", "48"},
              {"scoring", "softmax"},
              {"renormalize", "true"},
              {"num_expert_group", "1"},
              {"topk_group", "1"},
              {"routed_scaling_factor", "1.0"},
              {"num_shared_experts", "0"},
              {"max_num_batched_tokens", "256"}};
  for (int choice = 0; choice < 10; ++choice) {
    topk_ids.push_back(static_cast<std::int16_t>(choice % 4));
    topk_ids.push_back(static_cast<std::int16_t>((choice + 1) % 4));
    topk_weights.insert(topk_weights.end(), {0.75F, 0.25F});
  }
  shapes = {{"topk_ids", "[5,2,2]"}, {"topk_weights", "[5,2,2]"}, {"num_tokens", "[3,2]"},
            {"request_id", "[5]"},   {"position", "[5]"},         {"phase", "[5]"}};
  dtypes = {{"topk_ids", "I16"},   {"topk_weights", "F32"}, {"num_tokens", "I32"},
            {"request_id", "I32"}, {"position", "I32"},     {"phase", "U8"}};
}

std::string SmallTrace::bytes() const {
  const std::map<std::string, std::string> contents = {
      {"topk_ids", raw_bytes(topk_ids)},     {"topk_weights", raw_bytes(topk_weights)},
      {"num_tokens", raw_bytes(num_tokens)}, {"request_id", raw_bytes(request_id)},
      {"position", raw_bytes(position)},     {"phase", raw_bytes(phase)}};
  std::vector<std::string> members;
  std::vector<std::string> words;
  for (const auto& [key, value] : metadata) words.push_back(text('"', key, "\":\"", value, '"'));
  members.push_back(text("\"__metadata__\":{", joined(words, ","), "}"));
  std::string data;
  for (const auto& [name, content] : contents) {
    if (name == left_out) continue;
    members.push_back(text('"', name, "\":{\"dtype\":\"", dtypes.at(name),
                           "\",\"shape\":", shapes.at(name), ",\"data_offsets\":[", data.size(),
                           ",", data.size() + content.size(), "]}"));
    data += content;
  }
  return safetensors_bytes(text("{", joined(members, ","), "}"), data);
}

}  // namespace moe::sim
