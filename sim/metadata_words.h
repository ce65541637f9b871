// The metadata of a safetensors file: strings as checked words and numbers. What they mean together
// is the readers' affair (trace_metadata.cc, capture_metadata.cc).

#pragma once

#include <string>
#include <vector>

#include "sim/safetensors.h"

namespace moe::sim {

// Every function throws ScenarioError "path: metadata 'key' is 'value', it …".
class MetadataWords {
 public:
  explicit MetadataWords(const SafetensorsHeader& header) : header_(header) {}

  bool has(const std::string& key) const { return header_.metadata.contains(key); }
  const std::string& word(const std::string& key) const;
  const std::string& one_of(const std::string& key, const std::vector<std::string>& words) const;

  // Both bounds included.
  Count count(const std::string& key, Count smallest, Count largest) const;
  int integer(const std::string& key, int smallest, int largest) const;
  double positive_number(const std::string& key) const;

  [[noreturn]] void refuse(const std::string& key, const std::string& why) const;

 private:
  const SafetensorsHeader& header_;
};

}  // namespace moe::sim
