// The environment variables that vLLM's oracles read, as data (experts-and-oracles.md, 7). A
// variable that is set, even to 0, is another thing than one that is not: several act only when
// set. Nobody reads the environment here; values come with the deployment.

#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backends/config/era.h"

namespace moe {

// words: what it takes; empty: a switch, 0 or 1.
struct OracleVariable {
  std::string_view name;
  std::string_view default_value;
  EraSpan eras = {};  // in which some oracle reads it
  std::vector<std::string_view> words = {};
};
std::span<const OracleVariable> all_oracle_variables();

// Those that are set, and to what.
class OracleEnvironment {
 public:
  OracleEnvironment() = default;
  // REQUIRES names of the table and values that they take.
  OracleEnvironment(std::initializer_list<std::pair<const std::string, std::string>> set);
  void set(const std::string& name, const std::string& value);

  bool is_set(std::string_view name) const { return values_.contains(std::string(name)); }
  // As set, else the default. A switch is 1 or 0.
  std::string_view value(std::string_view name) const;
  bool is_on(std::string_view name) const { return value(name) == "1"; }

  const std::map<std::string, std::string>& values() const { return values_; }
  bool operator==(const OracleEnvironment&) const = default;

 private:
  std::map<std::string, std::string> values_;
};

// The value as a variable keeps it ("true" is 1); none: it takes no such value.
std::optional<std::string> variable_value(const OracleVariable& variable, std::string_view word);
// What it takes, in words.
std::vector<std::string> values_taken(const OracleVariable& variable);

}  // namespace moe
