// A YAML document as a small tree of our own, every node with its place, so that yaml-cpp stays in
// one file. Limits keep hostile files from costing more than they weigh; meaning is the callers'.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/dtype.h"

namespace moe::sim {

// What read_yaml takes at most.
inline constexpr Count yaml_bytes_max = 1 << 18;

enum class YamlKind { scalar, sequence, map };

struct YamlEntry;

struct YamlNode {
  YamlKind kind = YamlKind::scalar;
  std::string file;
  int line = 1;        // 1-based
  int column = 1;      // 1-based
  std::string scalar;  // the text; empty for a key without a value
  bool quoted = false;
  std::vector<YamlNode> items;     // of a sequence
  std::vector<YamlEntry> entries;  // of a map, in the file's order, no key twice

  // "file:line:column"
  std::string place() const;
  // The value of a key of a map; null if the map has no such key or this is no map.
  const YamlNode* find(std::string_view key) const;
};

// A key with its own place and its value.
struct YamlEntry {
  YamlNode key;
  YamlNode value;
};

// "an empty value", "a list", "a map" or "'word'", for messages.
std::string described(const YamlNode& node);

// Parses one document. file is the name for messages. Throws ScenarioError "file:line:column: …"
// for broken syntax, bytes that are no UTF-8, a key given twice, and whatever passes the limits.
YamlNode parse_yaml(const std::string& content, const std::string& file);

YamlNode read_yaml(const std::string& path);

}  // namespace moe::sim
