// The safetensors container: a JSON header and raw tensors. A reader that refuses whatever it
// cannot prove: sizes, offsets, overlaps, holes, dtypes. What the tensors mean is the callers'
// affair.

#pragma once

#include <cstddef>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "kernels/base/dtype.h"

namespace moe::sim {

// One tensor as the header describes it: bytes [begin, end) of the data that follow the header.
struct SafetensorsTensor {
  std::string dtype;  // as written: F32, BF16, I16, …
  std::vector<Count> shape;
  Count begin = 0;
  Count end = 0;
};

// The header, proven against the file's size: the tensors tile the data without hole or overlap.
struct SafetensorsHeader {
  std::string path;
  Count data_begin = 0;  // of the file
  Count data_size = 0;
  std::map<std::string, std::string> metadata;
  std::map<std::string, SafetensorsTensor> tensors;
};

// Reads the header alone. Throws ScenarioError "path: reason".
SafetensorsHeader read_safetensors_header(const std::string& path);

// The tensor of that name, of that dtype and number of dimensions. Throws ScenarioError otherwise.
const SafetensorsTensor& require_tensor(const SafetensorsHeader& header, const std::string& name,
                                        const std::string& dtype, std::size_t dimensions);

// Throws ScenarioError unless the tensor has that dtype and shape.
void require_shape(const SafetensorsHeader& header, const std::string& name,
                   const std::string& dtype, const std::vector<Count>& shape);

struct SafetensorsEntry {
  std::string dtype;
  std::vector<Count> shape;
  std::span<const std::byte> bytes;  // not aligned
};

class SafetensorsFile {
 public:
  // Reads the whole file. Throws ScenarioError "path: reason".
  explicit SafetensorsFile(const std::string& path);
  SafetensorsFile(const SafetensorsFile&) = delete;  // entries look into content_
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;
  SafetensorsFile(SafetensorsFile&&) = default;
  SafetensorsFile& operator=(SafetensorsFile&&) = default;

  const std::string& path() const { return header_.path; }
  const SafetensorsHeader& header() const { return header_; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  const std::map<std::string, SafetensorsEntry>& entries() const { return entries_; }

  // The entry of that name, of that dtype and number of dimensions. Throws ScenarioError otherwise.
  const SafetensorsEntry& require(const std::string& name, const std::string& dtype,
                                  std::size_t dimensions) const;

 private:
  SafetensorsHeader header_;
  std::vector<std::byte> content_;
  std::map<std::string, SafetensorsEntry> entries_;
};

// A tensor's values, copied. REQUIRES that it was held against T's dtype.
template <typename T>
std::vector<T> tensor_values(const SafetensorsFile& file, const std::string& name) {
  const std::span<const std::byte> bytes = file.entries().at(name).bytes;
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

// "[3, 4]", for messages.
std::string shape_text(const std::vector<Count>& shape);

}  // namespace moe::sim
