// The contracts of captures name every backend that a profile or the registry knows, and nobody
// else.

#include "sim/capture_contracts.h"

#include <algorithm>
#include <set>

#include "sim/registry.h"
#include "tests/catch.h"

namespace moe::sim {
namespace {

TEST_CASE("capture contracts: one row for every backend name there is") {
  std::multiset<std::string_view> names;
  for (const CaptureContractRow& row : all_capture_contracts()) names.insert(row.name);
  std::set<std::string_view> known;
  for (const std::string_view name : all_backend_names()) known.insert(name);
  for (const RegistryRow& row : registry()) known.insert(row.name);
  CHECK(std::ranges::equal(names, known));
}

}  // namespace
}  // namespace moe::sim
