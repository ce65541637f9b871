// Unit tests of sim/scenario_reader: what a good scenario file becomes, defaults included.
// Refusals and traces have files of their own.

#include "sim/scenario_reader.h"

#include "kernels/base/digest.h"
#include "tests/catch.h"
#include "tests/unit/sim/input_files.h"

using namespace moe;
using namespace moe::sim;
using Catch::Matchers::Contains;
using Steps = std::vector<std::vector<Count>>;

namespace {

Scenario scenario_from(const TemporaryFolder& root, const std::string& content) {
  return read_scenario(root.write("s.yaml", content), root.path());
}

}  // namespace

TEST_CASE("scenario: the example of formats.md") {
  const TemporaryFolder root;
  const std::string content = R"(name: migration/naive
why: "vLLM #33728 maps naive onto allgather_reducescatter; outputs must not change"
tags: [fast]
world: {dp: 2, tp: 1, ep: true}
model: {experts: 8, top_k: 2, hidden: 64, intermediate: 128}
routing: {skewed: {exponent: 1.2}, seed: 7}
steps: [[5, 0], [7, 3], [2, 9]]                        # tokens of each DP rank, step by step
values: integers
expect: same_bytes
runs:
  - {backend: naive, profile: v0.9}
  - {backend: allgather_reducescatter}
  - {backend: allgather_reducescatter, device: cuda}
)";
  const std::string path = root.write("migration/naive.yaml", content);
  const Scenario scenario = read_scenario(path, root.path());
  CHECK(scenario.name == "migration/naive");
  CHECK(scenario.path == path);
  CHECK(scenario.sha256 == sha256_of(std::as_bytes(std::span(content))));
  CHECK_THAT(scenario.why, Contains("#33728"));
  CHECK(scenario.tags == std::vector<std::string>{"fast"});
  CHECK(scenario.seed == 1);
  CHECK(scenario.world.dp == 2);
  CHECK(scenario.world.expert_parallel);
  CHECK(scenario.model.intermediate_size == 128);
  CHECK(std::get<SkewedRouting>(scenario.routing).exponent == 1.2);
  CHECK(scenario.routing_seed == 7);
  CHECK(scenario.steps == Steps{{5, 0}, {7, 3}, {2, 9}});
  CHECK(scenario.deadline_ms == 5000);
  REQUIRE(scenario.runs.size() == 3);
  CHECK(scenario.runs[0].backend == "naive");
  CHECK(scenario.runs[0].profile == "v0.9");
  CHECK(scenario.runs[1].profile == "post-40412");
  CHECK(scenario.runs[2].device == DeviceKind::cuda);
  CHECK(scenario.runs[2].communicator.empty());
  CHECK(scenario.place_of("runs[0].backend") == path + ":11:15");
  CHECK_FALSE(scenario.defects.has_value());
  CHECK(std::holds_alternative<std::monostate>(scenario.end));
  CHECK(scenario.place_of("model.dtype") == path + ":5:8");
  CHECK(scenario.place_of("capacity.deadline_ms") == path);
  CHECK(scenario.says("model.hidden"));
  CHECK_FALSE(scenario.says("model.dtype"));
}

TEST_CASE("scenario: what is left out has its default") {
  const TemporaryFolder root;
  const Scenario scenario = scenario_from(root, "name: s\nsteps: [[1]]\n");
  CHECK(scenario.world.dp == 1);
  CHECK(scenario.model.num_experts == 8);
  CHECK(scenario.model.top_k == 2);
  CHECK(scenario.model.dtype == DType::bf16);
  CHECK(scenario.model.kernel == ExpertKernel::probe);
  CHECK(scenario.model.placement == Placement::linear);
  CHECK(std::holds_alternative<UniformRouting>(scenario.routing));
  CHECK(scenario.routing_seed == 1);
  REQUIRE(scenario.runs.size() == 1);
  CHECK(scenario.runs[0].backend == "allgather_reducescatter");
  CHECK(scenario.runs[0].platform == "cuda");
  CHECK(scenario.faults.empty());
}

TEST_CASE("scenario: router logits, and the keys that decide with them") {
  const TemporaryFolder root;
  const Scenario scenario = scenario_from(root, R"(name: s
model: {experts: 32, top_k: 4, scoring: sigmoid, renormalize: false, groups: 4, topk_group: 2,
        correction_bias: true}
routing: {logits: {spread: 2.5, shift: -1.25, ties: 0.5, nan: 0.25}, seed: 3}
steps: [[1]]
)");
  const auto& logits = std::get<LogitsRouting>(scenario.routing);
  CHECK(logits.spread == 2.5);
  CHECK(logits.shift == -1.25);
  CHECK(logits.ties == 0.5);
  CHECK(logits.nan == 0.25);
  CHECK(scenario.routing_seed == 3);
  CHECK(scenario.model.scoring == Scoring::sigmoid);
  CHECK_FALSE(scenario.model.renormalize);
  CHECK(scenario.model.num_expert_groups == 4);
  CHECK(scenario.model.topk_group == 2);
  CHECK(scenario.model.correction_bias);
}

TEST_CASE("scenario: every key that is taken") {
  const TemporaryFolder root;
  const Scenario scenario = scenario_from(root, R"(name: s
seed: 12
tags: [full, teaching, own-word]
world: {dp: 3, tp: 2, pp: 2, pcp: 1, ep: false, sequence_parallel: false}
model: {experts: 10, top_k: 3, hidden: 16, intermediate: 24, layers: 4, dtype: f32,
        kernel: exact_gemm, placement: round_robin, scoring: softmax, renormalize: true,
        groups: 1, topk_group: 1, scale: 1, correction_bias: false, shared_experts: 0,
        quantization: none, redundant_experts: 0,
        router_weight_on_input: false}
routing: {hot_rank: {rank: 2, share: 0.75}}
steps: [[0, 0, 0], [1, 2, 1048576]]
capacity: {deadline_ms: 100, max_num_batched_tokens: 1048576}
faults:
  - {name: MF-07, rank: 1, factor: 2.0}
  - name: MF-66
defects: []
micro_batches: {}
dp_chunking: {}
runs:
  - {device: xpu, communicator: gloo, path: reference, ranks: processes, platform: rocm,
     selection: monolithic, dispatch_site: runner, arrival_seed: 9}
  - {device: cuda, communicator: nccl, ranks: processes}
  - {device: cuda, communicator: local, platform: cpu}
)");
  CHECK(scenario.seed == 12);
  CHECK(scenario.tags.size() == 3);
  CHECK_FALSE(scenario.world.expert_parallel);
  CHECK(scenario.world.num_ranks() == 12);
  CHECK(scenario.world.expert_ranks() == 6);
  CHECK(scenario.runs[0].selection == Selection::monolithic);
  CHECK(scenario.runs[0].dispatch_site == DispatchSite::runner);
  CHECK(scenario.runs[1].selection == Selection::modular);
  CHECK(scenario.runs[1].dispatch_site == DispatchSite::kernel);
  CHECK(scenario.model.num_layers == 4);
  CHECK(scenario.model.dtype == DType::f32);
  CHECK(scenario.model.kernel == ExpertKernel::exact_gemm);
  CHECK(scenario.model.placement == Placement::round_robin);
  CHECK(std::get<HotRankRouting>(scenario.routing).rank == 2);
  CHECK(std::get<HotRankRouting>(scenario.routing).share == 0.75);
  CHECK(scenario.steps[1][2] == 1048576);
  CHECK(scenario.deadline_ms == 100);
  CHECK(scenario.max_num_batched_tokens == 1048576);
  REQUIRE(scenario.faults.size() == 2);
  CHECK(scenario.faults[0].name == "MF-07");
  using Parameters = std::vector<std::pair<std::string, std::string>>;
  CHECK(scenario.faults[0].parameters == Parameters{{"rank", "1"}, {"factor", "2.0"}});
  REQUIRE(scenario.runs.size() == 3);
  CHECK(scenario.runs[0].device == DeviceKind::xpu);
  CHECK(scenario.runs[0].communicator == "gloo");
  CHECK(scenario.runs[0].ranks == RanksAre::processes);
  CHECK(scenario.runs[0].platform == "rocm");
  CHECK(scenario.runs[0].arrival_seed == 9);
  CHECK(scenario.runs[2].communicator == "local");
}

TEST_CASE("scenario: a load balancer, by default and with numbers of its own") {
  const TemporaryFolder root;
  const Scenario usual =
      scenario_from(root, "name: s\nworld: {dp: 2}\nsteps: [[1, 1]]\neplb: {}\n");
  REQUIRE(usual.eplb);
  CHECK(usual.eplb->settings.window_size == 1000);
  CHECK(usual.eplb->settings.step_interval == 3000);
  CHECK(usual.eplb->num_nodes == 1);
  const Scenario own = scenario_from(
      root,
      "name: s\nworld: {dp: 2}\nmodel: {redundant_experts: 2}\nsteps: [[1, 1]]\n"
      "eplb: {window_size: 3, step_interval: 4, policy: default, nodes: 2, use_async: false}\n");
  REQUIRE(own.eplb);
  CHECK(own.eplb->settings.window_size == 3);
  CHECK(own.eplb->settings.step_interval == 4);
  CHECK(own.eplb->num_nodes == 2);
  CHECK(own.model.num_physical_experts() == 10);
}

TEST_CASE("scenario: every form of routing") {
  const TemporaryFolder root;
  const auto routing = [&](const std::string& value) {
    return scenario_from(root, "name: s\nworld: {dp: 2}\nsteps: [[1, 1]]\nrouting: " + value + "\n")
        .routing;
  };
  CHECK(std::holds_alternative<UniformRouting>(routing("uniform")));
  CHECK(std::holds_alternative<UniformRouting>(routing("{uniform: , seed: 3}")));
  CHECK(std::holds_alternative<UniformRouting>(routing("{seed: 3}")));
  CHECK(std::get<SkewedRouting>(routing("{skewed: {}}")).exponent == 1.0);
  CHECK(std::get<OneHotExpertRouting>(routing("{one_hot_expert: {expert: 7}}")).expert == 7);
  CHECK(std::get<HotRankRouting>(routing("{hot_rank: {rank: 1}}")).share == 0.5);
  CHECK(std::get<MaskedRouting>(routing("{masked: {share: 1}}")).share == 1.0);
  CHECK(std::get<ListedRouting>(routing("{ids: [[0, 7], [-1, 3], [-1, -1]]}")).ids ==
        std::vector<std::vector<int>>{{0, 7}, {-1, 3}, {-1, -1}});
}

TEST_CASE("scenario: ranks without experts and idle ranks are legal") {
  const TemporaryFolder root;
  const Scenario scenario = scenario_from(
      root, "name: s\nworld: {dp: 4}\nmodel: {experts: 2}\nsteps: [[0, 0, 0, 0], [0, 1, 0, 0]]\n");
  CHECK(scenario.world.dp == 4);
}

TEST_CASE("scenario: the exact bound and what it is held against") {
  ModelSpec model;
  model.top_k = 8;
  CHECK(exact_bound(model).reached == 128);
  CHECK(exact_bound(model).limit == 256);
  model.kernel = ExpertKernel::exact_gemm;
  model.dtype = DType::f16;
  CHECK(exact_bound(model).reached == 64);
  CHECK(exact_bound(model).limit == 2048);
  model.dtype = DType::f32;
  CHECK(exact_bound(model).limit == 16777216);
}

TEST_CASE("scenario: a file outside the folder must end in its name") {
  const TemporaryFolder root;
  const TemporaryFolder elsewhere;
  const std::string path = elsewhere.write("a/b.yaml", "name: a/b\nsteps: [[1]]\n");
  CHECK(read_scenario(path, root.path()).name == "a/b");
  const std::string other = elsewhere.write("a/c.yaml", "name: b/c\nsteps: [[1]]\n");
  CHECK(error_of([&] { read_scenario(other, root.path()); }) ==
        other + ":1:7: name: 'b/c' is not the file's path without extension, 'c'");
}

TEST_CASE("digest: sha256 as hashlib has it") {
  const std::string abc = "abc";
  CHECK(sha256_of(std::as_bytes(std::span(abc))) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_of({}) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}
