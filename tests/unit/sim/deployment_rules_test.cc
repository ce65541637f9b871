// vLLM's configuration rules over run lines, and the traits of backends against what the emulated
// ones declare.

#include "sim/deployment_rules.h"

#include "backends/config/backend_traits.h"
#include "sim/registry.h"
#include "tests/catch.h"

using namespace moe;
using namespace moe::sim;

namespace {

Scenario scenario_with(WorldSpec world) {
  Scenario scenario;
  scenario.world = world;
  return scenario;
}

RunLine line_of(std::string backend, std::string profile = std::string(default_profile)) {
  RunLine line;
  line.backend = std::move(backend);
  line.profile = std::move(profile);
  return line;
}

}  // namespace

TEST_CASE("deployment rules: sequence parallelism where the profile's set has the backend") {
  const Scenario scenario =
      scenario_with({.dp = 2, .tp = 2, .expert_parallel = true, .sequence_parallel = true});
  const auto why = [&](const char* backend, const char* profile) {
    return rule_refusal(scenario, line_of(backend, profile)).why;
  };
  CHECK(why("allgather_reducescatter", "post-40412") == "");
  CHECK(why("naive", "post-33724") == "");
  CHECK(why("naive", "post-36294") == "");  // stands for allgather_reducescatter
  CHECK(why("skeleton", "post-40412") == "");
  CHECK_THAT(why("pplx", "pre-33724"), Catch::Contains("takes no sequence parallelism"));
  CHECK(why("pplx", "post-33724") == "");
  CHECK_THAT(why("flashinfer_nvlink_one_sided", "post-40412"),
             Catch::Contains("backends that do: allgather_reducescatter"));
  CHECK(why("flashinfer_nvlink_one_sided", "late-2026") == "");
}

TEST_CASE("deployment rules: errors refuse, infos are words, V1 is said by the decision") {
  const Scenario pcp = scenario_with({.dp = 2, .pcp = 2});
  CHECK_THAT(rule_refusal(pcp, line_of("allgather_reducescatter")).why, Catch::StartsWith("V8: "));
  const Scenario plain = scenario_with({.dp = 2});
  CHECK(rule_refusal(plain, line_of("mori")).why == "");
  CHECK(rule_words(plain, line_of("deepep_high_throughput"), FindingKind::info) ==
        std::vector<std::string>{"V11: all2all_backend deepep_high_throughput with dp 2 waits for "
                                 "counts on the host: cudagraph mode is set to NONE"});
  CHECK(rule_words(plain, line_of("naive"), FindingKind::warning).empty());
}

TEST_CASE("traits: emulated backends declare what vLLM's rules take them for") {
  for (const RegistryRow& row : registry()) {
    const BackendTraits& traits = traits_of(row.name);
    const Capabilities& capabilities = row.backend->capabilities;
    INFO(row.name);
    if (traits.transport == Transport::none) continue;  // not vLLM's
    const bool is_batched = capabilities.activation_format == ActivationFormat::batched_experts;
    CHECK(traits.batched_format.has_value() == is_batched);
    CHECK(traits.needs_routing_tables == capabilities.needs_routing_tables);
    CHECK(traits.output_is_reduced == capabilities.output_is_reduced);
    CHECK(traits.weights_applied_by == capabilities.weights_applied_by);
    CHECK(traits.is_in_line == (row.backend->make_manager != nullptr));
    const bool is_sized = traits.capacity == CapacitySource::max_num_tokens ||
                          traits.capacity == CapacitySource::scheduler;
    CHECK(is_sized == capabilities.fixed_capacity.has_value());
    const FixedCapacity capacity = capabilities.fixed_capacity.value_or(FixedCapacity{});
    CHECK((traits.capacity == CapacitySource::scheduler) == capacity.is_of_scheduler);
  }
}
