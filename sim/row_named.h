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

}  // namespace moe::sim
