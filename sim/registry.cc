// Expands registry.def twice: declarations of the backends' constants, then the table of rows.
// Nothing else in the program lists backends.

#include "sim/registry.h"

#include <array>

#include "sim/row_named.h"

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
  return row_named("backend", registry(), name);
}

}  // namespace moe::sim
