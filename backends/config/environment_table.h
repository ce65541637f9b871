// vLLM's environment variables around the distribution layer, as data (distribution-layer.md, 16).
// Nobody reads the environment here: what a run takes comes from its scenario.

#pragma once

#include <span>
#include <string_view>

#include "backends/config/era.h"

namespace moe {

struct EnvironmentVariable {
  std::string_view name;
  std::string_view default_value;  // "": unset
  std::string_view effect;
  EraSpan eras = {};
  std::string_view upstream = {};
  bool is_unverified = false;  // the default is recalled, not read
};
std::span<const EnvironmentVariable> all_environment_variables();

}  // namespace moe
