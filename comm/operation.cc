// Names of operations and lists of ranks for messages.
// The order of the names follows the enumeration.

#include "comm/operation.h"

#include <array>

#include "kernels/base/text.h"

namespace moe {
namespace {

constexpr std::array<std::string_view, 10> names = {
    "all_gather_v", "reduce_scatter_v", "all_to_all_v", "broadcast", "all_reduce", "send",
    "recv",         "barrier",          "split",        "finished"};
static_assert(names.size() == static_cast<std::size_t>(Operation::finished) + 1);

}  // namespace

std::string_view name_of(Operation operation) {
  const auto index = static_cast<std::size_t>(operation);
  return index < names.size() ? names[index] : "unknown operation";
}

std::string ranks_text(std::span<const int> ranks) {
  return text(ranks.size() == 1 ? "rank " : "ranks ", joined(ranks));
}

}  // namespace moe
