// What a build or a machine lacks for a run line, which is skipped then, or fails where it is
// required (--require).

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/scenario.h"

namespace moe::sim {

struct Lack {
  std::vector<std::string_view> words = {};  // the requirements that miss it
  std::string reason = {};                   // empty: nothing is lacking

  bool is_required(const std::vector<std::string>& required) const;
};

// is_one_machine: the ranks have this machine's devices; else those of several. Too few devices are
// no requirement's: nobody can require how many a machine has.
Lack lack_of(const Scenario& scenario, const RunLine& line, bool is_one_machine);

}  // namespace moe::sim
