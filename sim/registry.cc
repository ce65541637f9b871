// Expands registry.def twice: declarations of the backends' constants, then the table of rows.
// Nothing else in the program lists backends.

#include "sim/registry.h"

#include <array>

#include "sim/row_named.h"

#define MOE_BACKEND(name, wing, since, until, replaced_by) \
  namespace moe::wing {                                    \
  extern const Backend name;                               \
  }
#define MOE_CALL_FORM(name, wing, since, until, replaced_by) \
  namespace moe::wing {                                      \
  extern const CallForm name;                                \
  }
#include "backends/registry.def"
#undef MOE_BACKEND
#undef MOE_CALL_FORM

namespace moe::sim {

std::span<const RegistryRow> registry() {
#define MOE_BACKEND(name, wing, since, until, replaced_by) \
  RegistryRow{#name, #wing, since, until, replaced_by, &moe::wing::name},
#define MOE_CALL_FORM(name, wing, since, until, replaced_by)
  static const std::array rows = {
#include "backends/registry.def"
  };
#undef MOE_BACKEND
#undef MOE_CALL_FORM
  return rows;
}

std::span<const CallFormRow> call_forms() {
#define MOE_BACKEND(name, wing, since, until, replaced_by)
#define MOE_CALL_FORM(name, wing, since, until, replaced_by) \
  CallFormRow{#name, #wing, since, until, replaced_by, &moe::wing::name},
  static const std::array rows = {
#include "backends/registry.def"
  };
#undef MOE_BACKEND
#undef MOE_CALL_FORM
  return rows;
}

const CallForm& call_form_named(const std::string& name) {
  return *row_named("call form", call_forms(), name).form;
}

const RegistryRow& backend_named(const std::string& name) {
  return row_named("backend", registry(), name);
}

}  // namespace moe::sim
