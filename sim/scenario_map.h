// One map of a scenario file with typed access to its keys, each error at the key's place. It holds
// the map against the key table when it is made, and notes in the scenario which keys are written.

#pragma once

#include <cstdint>
#include <string>

#include "sim/scenario.h"
#include "sim/yaml_document.h"

namespace moe::sim {

// Throws ScenarioError "file:line:column: name: why".
[[noreturn]] void refuse_at(const YamlNode& node, const std::string& name, const std::string& why);

// What is wrong with a node in whose place a list of such things, at least one, is needed.
std::string no_list_of(const YamlNode& node, const std::string& things);

// One of those words.
const std::string& chosen_at(const YamlNode& node, const std::string& name,
                             const std::vector<std::string>& valid);

// An integer of [smallest, largest], written plainly: no sign +, no leading zero, no quotes.
std::int64_t integer_of(const YamlNode& node, const std::string& name, std::int64_t smallest,
                        std::int64_t largest);

// A half-open range [a, b] with 0 <= a < b.
std::pair<int, int> range_of(const YamlNode& node, const std::string& name);

struct Bounds {
  std::int64_t smallest = 0;
  std::int64_t largest = 0;
};

struct NumberBounds {
  double smallest = 0;
  double largest = 0;
};

class ScenarioMap {
 public:
  // name: the map's own, "" for the file, "runs[0]" for a run; section: its keys in the table. An
  // empty value stands for a map without keys. LIFETIME: node and scenario must outlive it.
  ScenarioMap(const YamlNode& node, std::string name, std::string section, Scenario& scenario);

  // Null if the key is not written.
  const YamlNode* find(const std::string& key) const { return node_.find(key); }
  // "model.top_k"
  std::string full_name(const std::string& key) const;
  const YamlNode& node() const { return node_; }

  // The key's value, or the default if it is not written.
  std::int64_t integer(const std::string& key, Bounds bounds, std::int64_t otherwise) const;
  double number(const std::string& key, double largest, double otherwise) const;  // from 0
  double number(const std::string& key, NumberBounds bounds, double otherwise) const;
  bool boolean(const std::string& key, bool otherwise) const;
  std::string line_of_text(const std::string& key, const std::string& otherwise) const;
  // One of the table's choices for the key.
  std::string word(const std::string& key, const std::string& otherwise) const;

 private:
  void check_key(const YamlEntry& entry) const;

  const YamlNode& node_;
  std::string name_;
  std::string section_;
};

}  // namespace moe::sim
