// The registry: every row of backends/registry.def with its Backend, and how to find one by name.
// registry.cc is the only file that reads registry.def and the only one that knows both wings.

#pragma once

#include <span>
#include <string>
#include <string_view>

#include "backends/backend.h"
#include "backends/call_form.h"

namespace moe::sim {

// One row of `moebius list backends`.
struct RegistryRow {
  std::string_view name;
  std::string_view wing;  // backends or legacy
  std::string_view since;
  std::string_view until;  // empty: still there
  std::string_view replaced_by;
  const Backend* backend;
};

std::span<const RegistryRow> registry();

// A way to call the layer.
struct CallFormRow {
  std::string_view name;
  std::string_view wing;
  std::string_view since;
  std::string_view until;
  std::string_view replaced_by;
  const CallForm* form;
};
std::span<const CallFormRow> call_forms();
// Throws ScenarioError with the known names and the nearest.
const CallForm& call_form_named(const std::string& name);

// Throws ScenarioError with the known names and the nearest.
const RegistryRow& backend_named(const std::string& name);

}  // namespace moe::sim
