// Files for tests of readers: a folder that goes away with its test, and bytes of small safetensors
// files and traces that a test may break before writing them.

#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "kernels/base/check.h"

namespace moe::sim {

class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  // Writes the bytes, folders included. RETURNS the file's path.
  std::string write(const std::string& name, const std::string& bytes) const;

 private:
  std::filesystem::path path_;
};

// The message of the ScenarioError that work throws; "no error" if it throws none.
template <typename Work>
std::string error_of(const Work& work) {
  try {
    work();
  } catch (const ScenarioError& error) {
    return error.what();
  }
  return "no error";
}

// A safetensors file: the length of the header, the header, the data.
std::string safetensors_bytes(const std::string& header, const std::string& data);

// Two layers, top-2 of 4 experts, 2 ranks, 3 steps with 5 tokens: valid until a test changes it.
struct SmallTrace {
  std::map<std::string, std::string> metadata;
  std::vector<std::int16_t> topk_ids;
  std::vector<float> topk_weights;
  std::vector<std::int32_t> num_tokens = {1, 2, 0, 1, 1, 0};
  std::vector<std::int32_t> request_id = {0, 1, 1, 0, 1};
  std::vector<std::int32_t> position = {0, 0, 1, 1, 2};
  std::vector<std::uint8_t> phase = {0, 0, 0, 1, 1};
  std::map<std::string, std::string> shapes;  // as JSON, of each tensor
  std::map<std::string, std::string> dtypes;
  std::string left_out;  // a tensor that is not written

  SmallTrace();
  std::string bytes() const;
};

}  // namespace moe::sim
