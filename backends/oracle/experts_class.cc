// Words of the rows, and rows by name. The rows themselves are the two tables' own files.
// ORDER: baseline's first, since its page has all names that later ones replace.

#include "backends/oracle/experts_class.h"

#include <algorithm>
#include <vector>

#include "backends/oracle/experts_classes.h"

namespace moe {

std::string_view name_of(ParallelLimit limit) {
  constexpr std::array<std::string_view, 8> words = {
      "no FlashInfer NVLink all2all", "no DeepEP high throughput", "EP size 1", "no all2all",
      "no all2all but AG/RS",         "all2all other than AG/RS",  "no EPLB",   "DP size 1"};
  return words[static_cast<std::size_t>(limit)];
}

std::string_view name_of(ExpertsReduce reduce) {
  constexpr std::array<std::string_view, 3> words = {"NoOP", "Delegate", "in kernel"};
  return words[static_cast<std::size_t>(reduce)];
}

std::span<const ExpertsClass> all_experts_classes() {
  static const std::vector<ExpertsClass> rows = [] {
    std::vector<ExpertsClass> both(baseline_experts_classes().begin(),
                                   baseline_experts_classes().end());
    both.insert(both.end(), late_experts_classes().begin(), late_experts_classes().end());
    return both;
  }();
  return rows;
}

const ExpertsClass* find_experts_class(std::span<const ExpertsClass> rows, const Profile& profile,
                                       std::string_view name) {
  const auto row = std::ranges::find_if(
      rows, [&](const ExpertsClass& one) { return one.name == name && one.eras.covers(profile); });
  return row == rows.end() ? nullptr : &*row;
}

}  // namespace moe
