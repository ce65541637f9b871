// The contracts of captures name every backend that a profile or the registry knows, and nobody
// else; what a contract and the backend's capabilities both say is the same.

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

const golden::CaptureContract* contract_of(std::string_view name) {
  const auto rows = all_capture_contracts();
  const auto row = std::ranges::find(rows, name, &CaptureContractRow::name);
  return row == rows.end() || !row->absence.empty() ? nullptr : &row->contract;
}

TEST_CASE("capture contracts: format, padding and TP peers are the capabilities'") {
  int held = 0;
  for (const RegistryRow& row : registry()) {
    const golden::CaptureContract* contract = contract_of(row.name);
    if (contract == nullptr) continue;
    const Capabilities& capabilities = row.backend->capabilities;
    INFO(row.name);
    CHECK((contract->delivery == golden::Delivery::experts) ==
          (capabilities.activation_format == ActivationFormat::batched_experts));
    CHECK(contract->tp_peers_send_once == (capabilities.tp_replicas == TpReplicas::split));
    if (capabilities.pads_received_rows()) CHECK(contract->may_pad);  // it may where ours does not
    ++held;
  }
  CHECK(held == 11);
}

// UNVERIFIED upstream: whether FlashInfer's one-sided kernels clear choices of other ranks' experts
// is not read from a run of theirs. The contract holds a capture to cleared ones, the backend sends
// choices as they are, which every later step takes; whoever has a capture settles it here.
TEST_CASE("capture contracts: cleared foreign choices are the backend's, one-sided aside") {
  std::vector<std::string_view> deviating;
  for (const RegistryRow& row : registry()) {
    const golden::CaptureContract* contract = contract_of(row.name);
    if (contract == nullptr || contract->delivery != golden::Delivery::owner_ranks) continue;
    const bool clears =
        row.backend->capabilities.foreign_choices == ForeignChoices::non_local_expert;
    if (contract->clears_foreign != clears) deviating.push_back(row.name);
  }
  CHECK(deviating == std::vector<std::string_view>{"flashinfer_nvlink_one_sided"});
}

}  // namespace
}  // namespace moe::sim
