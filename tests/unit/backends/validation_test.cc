// Rules V1 to V16: a deployment that breaks nothing, and for each rule the smallest change that
// breaks it and no other.

#include "backends/config/validation.h"

#include <functional>
#include <set>

#include "kernels/base/text.h"
#include "tests/catch.h"

using namespace moe;

namespace {

DeploymentConfig healthy() {
  return {.sizes = {.dp = 2, .tp = 2},
          .enable_expert_parallel = true,
          .num_experts = 8,
          .intermediate_size = 128};
}

// "error V8", one word pair for each finding.
std::string found(std::string_view profile, const DeploymentConfig& config) {
  std::vector<std::string> words;
  for (const ConfigFinding& finding : validate(profile_named(profile), config)) {
    words.push_back(text(name_of(finding.kind), " ", finding.rule));
  }
  return joined(words, ", ");
}

struct Broken {
  std::string_view says;
  std::function<void(DeploymentConfig&)> change;
};

const std::vector<Broken>& broken_configs() {
  static const std::vector<Broken> all = {
      {"warning V1", [](auto& c) { c.all2all_backend = "naive"; }},
      {"warning V1", [](auto& c) { c.all2all_backend = "pplx"; }},
      {"error V2", [](auto& c) { c.enable_eplb = true, c.platform = Platform::xpu; }},
      {"error V3", [](auto& c) { c.enable_eplb = true, c.enable_expert_parallel = false; }},
      {"error V4", [](auto& c) { c.enable_eplb = true, c.sizes = {}; }},
      {"error V5", [](auto& c) { c.eplb.num_redundant_experts = 4; }},
      {"error V6", [](auto& c) { c.enable_eplb = true, c.eplb.communicator = "pynccl"; }},
      {"error V6", [](auto& c) { c.enable_eplb = true, c.eplb.communicator = "torch_nccl"; }},
      {"error V7", [](auto& c) { c.data_parallel_size_local = 3; }},
      {"error V7", [](auto& c) { c.data_parallel_rank = 2; }},
      {"error V7", [](auto& c) { c.data_parallel_rank = -1; }},
      {"error V7", [](auto& c) { c.sizes.dp = 1, c.load_balancing = LoadBalancing::external; }},
      {"error V8", [](auto& c) { c.sizes.pcp = 2; }},
      {"error V9", [](auto& c) { c.enable_elastic_ep = true, c.eplb.use_async = false; }},
      {"error V9",
       [](auto& c) {
         c.enable_elastic_ep = true, c.enable_eplb = true, c.has_nixl = true, c.sizes.pp = 2;
       }},
      {"error V9",
       [](auto& c) {
         c.enable_elastic_ep = true, c.enable_eplb = true, c.has_nixl = true;
         c.load_balancing = LoadBalancing::hybrid;
       }},
      {"error V9",
       [](auto& c) {
         c.enable_elastic_ep = true, c.enable_eplb = true, c.eplb.communicator = "torch_gloo";
       }},
      {"error V10, info V10", [](auto& c) { c.enable_dbo = true; }},
      {"error V10, info V10", [](auto& c) { c.ubatch_size = 2; }},
      {"info V10", [](auto& c) { c.all2all_backend = "deepep_low_latency", c.enable_dbo = true; }},
      {"info V11", [](auto& c) { c.all2all_backend = "deepep_high_throughput"; }},
      {"error V12",
       [](auto& c) { c.all2all_backend = "deepep_low_latency", c.enable_lora = true; }},
      {"error V14", [](auto& c) { c.all2all_backend = "mori"; }},
      {"error V14",
       [](auto& c) {
         c.all2all_backend = "mori", c.aiter_fused_moe = true, c.aiter_shared_experts = true;
       }},
      {"error V16", [](auto& c) { c.enable_expert_parallel = false, c.intermediate_size = 130; }},
      {"error V16", [](auto& c) { c.enable_eplb = true, c.num_experts = 10; }},
      {"error V16", [](auto& c) { c.enable_eplb = true, c.eplb.num_redundant_experts = 2; }},
  };
  return all;
}

}  // namespace

TEST_CASE("validation: a healthy deployment has no finding under any profile") {
  for (const Profile& profile : all_profiles()) {
    DeploymentConfig config = healthy();
    if (profile.name == "v0.9") config.all2all_backend = "naive";
    CHECK(found(profile.name, config).empty());
  }
}

TEST_CASE("validation: each rule speaks where it is broken, and no other does") {
  for (const Broken& broken : broken_configs()) {
    DeploymentConfig config = healthy();
    broken.change(config);
    CHECK(found("post-40412", config) == broken.says);
  }
}

TEST_CASE("validation: all sixteen numbers are there, and some deployment breaks each row") {
  std::set<std::string_view> numbers;
  for (const ConfigRule& rule : all_config_rules()) {
    numbers.insert(rule.id);
    bool is_broken = rule.id == "V13" || rule.id == "V15";  // of the last profile, below
    for (const Broken& broken : broken_configs()) {
      DeploymentConfig config = healthy();
      broken.change(config);
      is_broken = is_broken || !rule.broken_by(profile_named("post-40412"), config).empty();
    }
    INFO(rule.id << " " << rule.says);
    CHECK(is_broken);
    CHECK(!rule.upstream.empty());
  }
  CHECK(numbers.size() == 16);
}

TEST_CASE("validation: rules of one time speak in that time") {
  DeploymentConfig config = healthy();
  config.all2all_backend = "naive";
  CHECK(found("post-33724", config).empty());
  CHECK(found("post-36294", config) == "warning V1");
  config.all2all_backend = "pplx";
  CHECK(found("pre-33724", config).empty());
  CHECK(found("post-33724", config) == "warning V1");
  config.all2all_backend = "flashinfer_all2allv";  // an alias: the communicator's to rewrite
  CHECK(found("post-40412", config).empty());

  config = healthy();
  config.all2all_backend = "deepep_low_latency";
  config.enable_fault_tolerance = true;
  CHECK(found("post-40412", config).empty());
  CHECK(found("late-2026", config) == "error V13");
  config.all2all_backend = "nixl_ep";
  CHECK(found("late-2026", config).empty());

  config = healthy();
  config.platform = Platform::cpu;
  CHECK(found("late-2026", config).empty());
  config.with_47778 = true;
  CHECK(found("late-2026", config) == "error V15");
  config.sizes.tp = 1;
  CHECK(found("late-2026", config).empty());
}

TEST_CASE("validation: micro-batches came backend by backend (V10)") {
  const auto takes = [](std::string_view profile, const char* backend) {
    DeploymentConfig config = healthy();
    config.all2all_backend = backend;
    config.enable_dbo = true;
    return found(profile, config).find("error") == std::string::npos;
  };
  CHECK(!takes("v0.9", "deepep_low_latency"));
  CHECK(takes("pre-33724", "deepep_low_latency"));
  CHECK(takes("pre-33724", "deepep_high_throughput"));
  CHECK(takes("post-33724", "nixl_ep"));
  CHECK(!takes("post-40412", "allgather_reducescatter"));
  CHECK(!takes("post-40412", "flashinfer_nvlink_two_sided"));
}

TEST_CASE("validation: words name the value, the rule and the choices") {
  DeploymentConfig config = healthy();
  config.enable_dbo = true;
  const auto findings = validate(profile_named("post-40412"), config);
  REQUIRE(!findings.empty());
  CHECK(findings[0].text ==
        "V10: micro-batches (enable_dbo, ubatch_size) with all2all_backend "
        "allgather_reducescatter: under profile post-40412 only deepep_high_throughput, "
        "deepep_low_latency, nixl_ep take them");
}

TEST_CASE("configuration: defaults that follow from others") {
  DeploymentConfig config;
  CHECK(!use_ubatching(config));
  CHECK(num_ubatches(config) == 0);
  config.ubatch_size = 3;
  CHECK(use_ubatching(config));
  CHECK(num_ubatches(config) == 3);
  config.enable_dbo = true;
  CHECK(num_ubatches(config) == 2);
  CHECK(!synchronises_over_gloo(config));
  config.async_scheduling = true;
  CHECK(synchronises_over_gloo(config));
  config.disable_nccl_for_dp_synchronization = false;
  CHECK(!synchronises_over_gloo(config));
  CHECK(eplb_communicator_of(config) == "torch_gloo");
  config.enable_elastic_ep = true;
  CHECK(eplb_communicator_of(config) == "pynccl");
  config.has_nixl = true;
  CHECK(eplb_communicator_of(config) == "nixl");
}
