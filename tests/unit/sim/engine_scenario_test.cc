// The keys engine and dp_chunking of a scenario file: what requests come to, and what is refused at
// its place.

#include "sim/engine_scenario.h"

#include "backends/engine/lockstep_engine.h"
#include "sim/deployment_rules.h"
#include "sim/scenario_reader.h"
#include "tests/catch.h"
#include "tests/unit/sim/input_files.h"

using namespace moe;
using namespace moe::sim;
using Catch::Contains;

namespace {

Scenario read_lines(const std::string& lines) {
  const TemporaryFolder root;
  const std::string path = root.write("s.yaml", "name: s\nworld: {dp: 2}\n" + lines);
  return read_scenario(path, root.path());
}

std::string refused(const std::string& lines) {
  return error_of([&] { read_lines(lines); });
}

}  // namespace

TEST_CASE("scenario engine: requests become the steps that ranks run") {
  const Scenario scenario = read_lines(
      "capacity: {max_num_batched_tokens: 4}\n"
      "engine: {requests: [{rank: 0, prompt: 6, output: 2}, {rank: 1, arrives: 2}]}\n");
  REQUIRE(scenario.steps.size() == 32);
  CHECK(scenario.steps[0] == std::vector<Count>{4, 1});  // a chunk of the prompt, a dummy
  CHECK(scenario.steps[1] == std::vector<Count>{2, 1});
  CHECK(scenario.steps[2] == std::vector<Count>{1, 1});
  CHECK(scenario.steps[31] == std::vector<Count>{1, 1});
  const auto plan = planned_steps(*scenario.engine, 2, engine_steps_max);
  CHECK(plan[1].of_rank[1].kind == BatchKind::dummy);
  CHECK(plan[2].of_rank[1].kind == BatchKind::real);
  CHECK(plan[3].of_rank[0].kind == BatchKind::dummy);
}

TEST_CASE("scenario engine: graphs pad all ranks alike") {
  const Scenario scenario =
      read_lines("engine: {graph_mode: full, capture_sizes: [2, 8], requests: [{prompt: 3}]}\n");
  CHECK(scenario.steps[0] == std::vector<Count>{8, 8});
  CHECK(scenario.steps[1] == std::vector<Count>{2, 2});
  CHECK(scenario.engine->graph_mode == GraphMode::full);
  CHECK(scenario.engine->micro_batches.decode_tokens == 32);
  CHECK(scenario.engine->micro_batches.prefill_tokens == 512);
}

TEST_CASE("scenario engine: the run lines settle how many tokens a step takes (#39107)") {
  const std::string prompt = "engine: {requests: [{prompt: 600}]}\n";
  CHECK(read_lines(prompt).steps[0] == std::vector<Count>{600, 1});
  const Scenario low = read_lines(prompt + "runs: [{backend: deepep_low_latency}]\n");
  CHECK(low.steps[0] == std::vector<Count>{256, 1});
  CHECK(low.steps[1] == std::vector<Count>{256, 1});
  CHECK(low.steps[2] == std::vector<Count>{88, 1});
  const Scenario mixed = read_lines(prompt + "runs: [{}, {backend: nixl_ep}]\n");
  CHECK(mixed.steps[0] == std::vector<Count>{256, 1});
  const Scenario chunked =
      read_lines(prompt + "runs: [{backend: deepep_low_latency, profile: post-36286}]\n");
  CHECK(chunked.steps[0] == std::vector<Count>{600, 1});
  const Scenario said = read_lines("capacity: {max_num_batched_tokens: 300}\n" + prompt +
                                   "runs: [{backend: deepep_low_latency}]\n");
  CHECK(said.steps[0] == std::vector<Count>{300, 1});
}

TEST_CASE("scenario engine: high throughput has no graphs, which is a warning and no error (V11)") {
  const std::string graphs =
      "engine: {graph_mode: full, capture_sizes: [8], requests: [{prompt: 3}]}\n";
  const Scenario alone = read_lines(graphs + "runs: [{backend: deepep_high_throughput}]\n");
  CHECK(alone.steps[0] == std::vector<Count>{3, 1});
  CHECK(rule_refusal(alone, alone.runs[0]).why == "");
  const auto warnings = rule_words(alone, alone.runs[0], FindingKind::warning);
  REQUIRE(warnings.size() == 1);
  CHECK_THAT(warnings[0], Contains("V11") && Contains("cudagraph mode is set to NONE"));
  const Scenario mixed = read_lines(graphs + "runs: [{}, {backend: deepep_high_throughput}]\n");
  CHECK(mixed.steps[0] == std::vector<Count>{8, 8});
  CHECK(rule_refusal(mixed, mixed.runs[0]).why == "");
  const RuleRefusal refusal = rule_refusal(mixed, mixed.runs[1]);
  CHECK(refusal.key == "engine.graph_mode");
  CHECK(mixed.place_of(refusal.key).ends_with("s.yaml:3:22"));
  CHECK_THAT(refusal.why, Contains("a scenario of its own"));
}

TEST_CASE("scenario engine: what cannot be is refused at its place") {
  CHECK_THAT(refused("steps: [[1, 1]]\nengine: {requests: [{}]}\n"),
             Contains("s.yaml:3:8: steps: the engine decides the steps"));
  CHECK_THAT(refused("engine: {}\n"), Contains("engine.requests: a list of requests is needed"));
  CHECK_THAT(refused("engine: {requests: []}\n"), Contains("engine.requests: a list"));
  CHECK_THAT(refused("engine: {requests: [{rank: 2}]}\n"),
             Contains("s.yaml:3:28: engine.requests[0].rank: '2' is not an integer from 0 to 1"));
  CHECK_THAT(refused("engine: {requests: [{prompt: 0}]}\n"), Contains("engine.requests[0].prompt"));
  CHECK_THAT(refused("engine: {requests: [{}], capture_sizes: [4, 4]}\n"),
             Contains("4 after 4: sizes must ascend"));
  CHECK_THAT(refused("engine: {requests: [{}], graph_mode: eager}\n"),
             Contains("'eager' is not one of none, piecewise, full"));
  CHECK_THAT(refused("engine: {requests: [{output: 9000}]}\n"), Contains("more than 4096 steps"));
  CHECK_THAT(refused("engine: {requests: [{}], dbos: true}\n"), Contains("did you mean 'dbo'?"));
}

TEST_CASE("scenario engine: profiles whose ranks do not exchange graph modes take none") {
  const Scenario graphed = read_lines("engine: {graph_mode: full, requests: [{}]}\n");
  const Scenario eager = read_lines("engine: {requests: [{}]}\n");
  RunLine old;
  old.profile = "pre-33724";
  CHECK_THAT(rule_refusal(graphed, old).why, Contains("engine.graph_mode must be none, not full"));
  CHECK(rule_refusal(eager, old).why == "");
  CHECK(rule_refusal(graphed, RunLine{}).why == "");
  RunLine host;
  host.backend = "deepep_high_throughput";
  CHECK_THAT(rule_refusal(graphed, host).why,
             Contains("V11 sets the graph mode of deepep_high_throughput to none"));
  CHECK(rule_refusal(eager, host).why == "");
}

TEST_CASE("scenario dp_chunking: its keys, and the warning where vLLM has no chunks") {
  const Scenario plain = read_lines("steps: [[1, 1]]\n");
  CHECK(!plain.dp_chunking);
  const Scenario usual = read_lines("steps: [[1, 1]]\ndp_chunking: {}\n");
  REQUIRE(usual.dp_chunking);
  CHECK(usual.dp_chunking->rows_max == 256);
  CHECK(usual.dp_chunking->store == ResultStore::if_unfinished);
  const Scenario other = read_lines("steps: [[1, 1]]\ndp_chunking: {rows_max: 3, store: always}\n");
  CHECK(other.dp_chunking->rows_max == 3);
  CHECK(other.dp_chunking->store == ResultStore::always);
  CHECK_THAT(refused("steps: [[1, 1]]\ndp_chunking: {rows_max: 0}\n"),
             Contains("s.yaml:4:25: dp_chunking.rows_max: '0' is not"));
  RunLine line;
  CHECK(rule_words(plain, line, FindingKind::warning).empty());
  CHECK(rule_words(usual, line, FindingKind::warning) ==
        std::vector<std::string>{"profile post-40412 has no DP chunks: the layer is called once"});
  line.profile = "post-36286";
  CHECK(rule_words(usual, line, FindingKind::warning) ==
        std::vector<std::string>{"vLLM calls allgather_reducescatter in no DP chunks under profile "
                                 "post-36286"});
  line.backend = "deepep_low_latency";
  CHECK(rule_words(usual, line, FindingKind::warning).empty());
  line.profile = "post-39107";
  CHECK(rule_words(usual, line, FindingKind::warning).size() == 1);
}
