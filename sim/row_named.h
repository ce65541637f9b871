// A row of one of the program's tables by its name: backends, faults, communicators. Whoever asks
// for a name that no row has gets the same answer everywhere: the names there are, and the nearest.

#pragma once

#include <string>
#include <vector>

#include "kernels/base/check.h"
#include "sim/scenario_keys.h"

namespace moe::sim {

// what: "backend", "fault", … for the message. Throws ScenarioError.
template <typename Rows>
const auto& row_named(const std::string& what, const Rows& rows, const std::string& name) {
  std::vector<std::string> names;
  for (const auto& row : rows) {
    if (row.name == name) return row;
    names.emplace_back(row.name);
  }
  chosen("unknown " + what, name, names);
  throw ContractError("a name that no row has was found among the rows' names: " + name);
}

// The names of rows, or of an enumeration's values that name_of knows.
template <typename Values>
std::vector<std::string> names_in(const Values& values) {
  std::vector<std::string> names;
  for (const auto& value : values) {
    if constexpr (requires { value.name; }) {
      names.emplace_back(value.name);
    } else {
      names.emplace_back(name_of(value));
    }
  }
  return names;
}

}  // namespace moe::sim
