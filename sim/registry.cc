// Expands registry.def twice: declarations of the backends' constants, then the table of rows.
// Nothing else in the program lists backends.

#include "sim/registry.h"

#include <array>
#include <vector>

#include "kernels/base/check.h"
#include "kernels/base/text.h"

#define MOE_BACKEND(name, wing, since, until, replaced_by) \
  namespace moe::wing {                                    \
  extern const Backend name;                               \
  }
#include "backends/registry.def"
#undef MOE_BACKEND

namespace moe::sim {

std::span<const RegistryRow> registry() {
#define MOE_BACKEND(name, wing, since, until, replaced_by) \
  RegistryRow{#name, #wing, since, until, replaced_by, &moe::wing::name},
  static const std::array rows = {
#include "backends/registry.def"
  };
#undef MOE_BACKEND
  return rows;
}

const RegistryRow& backend_named(const std::string& name) {
  std::vector<std::string> names;
  for (const RegistryRow& row : registry()) {
    if (row.name == name) return row;
    names.emplace_back(row.name);
  }
  const std::string near = nearest(name, names);
  throw ScenarioError(text("unknown backend '", name, "'",
                           near.empty() ? "" : text("; did you mean ", near, "?"),
                           "; known: ", joined(names)));
}

}  // namespace moe::sim
