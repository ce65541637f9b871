// Unit tests of sim/scenario_trace: what a trace sets, what a scenario may say beside it, and
// --trace in place of a scenario's own routing.

#include <filesystem>

#include "sim/scenario_reader.h"
#include "tests/catch.h"
#include "tests/unit/sim/input_files.h"

using namespace moe;
using namespace moe::sim;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

// A scenarios folder with a small trace of two ranks.
struct TraceFolder {
  TemporaryFolder root;
  std::string trace = root.write("traces/small.safetensors", SmallTrace().bytes());

  Scenario read(const std::string& lines) const {
    return read_scenario(root.write("s.yaml", "name: s\n" + lines), root.path());
  }
};

const std::string routing = "routing: {trace: traces/small.safetensors}\n";

}  // namespace

TEST_CASE("scenario with a trace: the trace sets ranks, model and ranges") {
  const TraceFolder folder;
  const Scenario scenario = folder.read(routing);
  CHECK(scenario.world.dp == 2);
  CHECK(scenario.model.num_experts == 4);
  CHECK(scenario.model.top_k == 2);
  CHECK(scenario.model.num_layers == 2);
  CHECK(scenario.model.hidden_size == 32);
  CHECK(scenario.model.intermediate_size == 48);
  CHECK(scenario.steps.empty());
  const TraceRouting& trace = std::get<TraceRouting>(scenario.routing);
  CHECK(trace.file == "traces/small.safetensors");
  CHECK(trace.path == folder.trace);
  CHECK(trace.first_layer == 0);
  CHECK(trace.last_layer == 2);
  CHECK(trace.first_step == 0);
  CHECK(trace.last_step == 3);
}

TEST_CASE("scenario with a trace: ranges, a divisor, and keys that agree") {
  const TraceFolder folder;
  const Scenario scenario = folder.read(
      "world: {dp: 1}\n"
      "model: {experts: 4, top_k: 2, layers: 1, scoring: softmax, renormalize: true, groups: 1,\n"
      "        topk_group: 1, shared_experts: 0, hidden: 64, intermediate: 8}\n"
      "routing: {trace: traces/small.safetensors, layers: [1, 2], steps: [0, 2]}\n");
  CHECK(scenario.world.dp == 1);
  CHECK(scenario.model.num_layers == 1);
  CHECK(scenario.model.hidden_size == 64);
  CHECK(scenario.model.intermediate_size == 8);
  const TraceRouting& trace = std::get<TraceRouting>(scenario.routing);
  CHECK(trace.first_layer == 1);
  CHECK(trace.last_step == 2);
  const Scenario outer = folder.read(routing + "steps: [1, 3]\n");
  CHECK(std::get<TraceRouting>(outer.routing).first_step == 1);
}

TEST_CASE("scenario with a trace: a sigmoid trace may be described as it is") {
  const TraceFolder folder;
  SmallTrace sigmoid;
  sigmoid.metadata["scoring"] = "sigmoid";
  sigmoid.metadata["num_expert_group"] = "2";
  sigmoid.metadata["num_shared_experts"] = "1";
  folder.root.write("traces/small.safetensors", sigmoid.bytes());
  CHECK(error_of([&] {
          folder.read("model: {scoring: sigmoid, groups: 2, shared_experts: 1}\n" + routing);
        }) == "no error");
}

TEST_CASE("scenario with a trace: refusals stand at the key") {
  struct Case {
    std::string lines;
    std::string message;
  };
  const std::vector<Case> cases = {
      {"model: {experts: 8}\n" + routing, ":2:18: model.experts: '8', the trace says 4"},
      {"model: {top_k: 1}\n" + routing, ":2:16: model.top_k: '1', the trace says 2"},
      {"model: {layers: 3}\n" + routing, ":2:17: model.layers: '3', the trace says 2"},
      {"model: {scoring: sigmoid}\n" + routing,
       ":2:18: model.scoring: 'sigmoid', the trace says so"},
      {"model: {renormalize: false}\n" + routing, ":2:22: model.renormalize: 'false', the trace"},
      {"model: {groups: 2}\n" + routing, ":2:17: model.groups: '2', the trace says 1"},
      {"model: {topk_group: 2}\n" + routing, ":2:21: model.topk_group: '2', the trace says 1"},
      {"model: {shared_experts: 1}\n" + routing, ":2:25: model.shared_experts: '1', the trace"},
      {"world: {dp: 3}\n" + routing, ":2:13: world.dp: 3 does not divide the 2 ranks of "},
      {"world: {dp: 4}\n" + routing, ":2:13: world.dp: 4 does not divide the 2 ranks of "},
      {routing + "steps: [[1, 1]]\n", ":3:8: steps: a list is not a range [first, one after"},
      {routing + "steps: [1, 1]\n", ":3:8: steps: the range [1, 1) is empty"},
      {routing + "steps: [0, 4]\n", ":3:8: steps: the range ends at 4, the trace has 3"},
      {"routing: {trace: traces/small.safetensors, steps: [0, 4]}\n",
       ":2:51: routing.steps: the range ends at 4, the trace has 3"},
      {"routing: {trace: traces/small.safetensors, steps: [0, 1]}\nsteps: [0, 2]\n",
       ":3:8: steps: routing.steps says the range already"},
      {"routing: {trace: traces/small.safetensors, layers: [0, 3]}\n",
       ":2:52: routing.layers: the range ends at 3, the trace has 2"},
      {"routing: {trace: traces/small.safetensors, layers: [-1, 2]}\n",
       ":2:53: routing.layers: '-1' is not an integer from 0"},
      {"routing: {trace: traces/small.safetensors, layers: 2}\n",
       ":2:52: routing.layers: '2' is not"},
      {"routing: {trace: traces/small.safetensors, seed: 2}\n", ":2:50: routing.seed: a recorded"},
      {"routing: {trace: traces/smal.safetensors}\n", ":2:18: routing.trace: there is no "},
      {"routing: {trace: }\n", ":2:11: routing.trace: an empty value is not a text"},
      {"routing: {trace: ../small}\n", ":2:18: routing.trace: '../small' must be a path below"},
      {"routing: {trace: /etc/passwd}\n",
       ":2:18: routing.trace: '/etc/passwd' must be a path below"},
      {"routing: {trace: s.yaml}\n", ":2:18: routing.trace: "},
  };
  const TraceFolder folder;
  for (const Case& one : cases) {
    CAPTURE(one.lines);
    CHECK_THAT(error_of([&] { folder.read(one.lines); }),
               StartsWith((folder.root.path() / "s.yaml").string() + one.message));
  }
  CHECK_THAT(error_of([&] { folder.read("world: {dp: 3}\n" + routing); }),
             Contains("possible: 1, 2"));
  CHECK_THAT(error_of([&] { folder.read("routing: {trace: traces/smal}\n"); }),
             Contains("the folder holds: traces/small.safetensors"));
}

TEST_CASE("option trace: takes the place of routing, steps and model, not of said widths") {
  const TraceFolder folder;
  Scenario scenario = folder.read(
      "model: {experts: 16, top_k: 4, layers: 7, hidden: 64, dtype: f32}\n"
      "routing: {masked: {share: 0.5}, seed: 3}\nsteps: [[5]]\n");
  adopt_trace(scenario, folder.trace);
  CHECK(scenario.world.dp == 2);
  CHECK(scenario.model.num_experts == 4);
  CHECK(scenario.model.num_layers == 2);
  CHECK(scenario.model.hidden_size == 64);
  CHECK(scenario.model.intermediate_size == 48);
  CHECK(scenario.model.dtype == DType::f32);
  CHECK(scenario.steps.empty());
  CHECK(std::get<TraceRouting>(scenario.routing).path == folder.trace);
  CHECK(std::get<TraceRouting>(scenario.routing).last_step == 3);
  CHECK_FALSE(scenario.says("model.experts"));
  CHECK_FALSE(scenario.says("routing.masked.share"));
  CHECK_FALSE(scenario.says("steps[0]"));
  CHECK(scenario.says("model.hidden"));
}

TEST_CASE("option trace: a scenario's own ranks must divide the trace's") {
  const TraceFolder folder;
  Scenario one = folder.read("world: {dp: 1}\nsteps: [[5]]\n");
  adopt_trace(one, folder.trace);
  CHECK(one.world.dp == 1);
  Scenario three = folder.read("world: {dp: 3}\nsteps: [[5, 1, 1]]\n");
  CHECK_THAT(error_of([&] { adopt_trace(three, folder.trace); }),
             Contains("s.yaml:2:13: world.dp: 3 does not divide the 2 ranks") &&
                 Contains("possible: 1, 2"));
}

TEST_CASE("option trace: the world of the trace must be exact, too") {
  const TraceFolder folder;
  SmallTrace wide;
  wide.metadata["num_experts"] = "64";
  wide.metadata["top_k"] = "20";
  wide.metadata["num_layers"] = "1";
  wide.shapes["topk_ids"] = wide.shapes["topk_weights"] = "[1,1,20]";
  wide.shapes["request_id"] = wide.shapes["position"] = wide.shapes["phase"] = "[1]";
  wide.request_id = wide.position = {0};
  wide.phase = {0};
  const std::string path = folder.root.write("wide", wide.bytes());
  CHECK_THAT(error_of([&] { scenario_for_trace(path); }),
             StartsWith(path + ": model.top_k: with 20 choices partial sums reach 320"));
}

TEST_CASE("option trace without a path: a scenario of its own") {
  const TraceFolder folder;
  const Scenario scenario = scenario_for_trace(folder.trace);
  CHECK(scenario.name == "trace:small.safetensors");
  CHECK(scenario.path == folder.trace);
  CHECK(scenario.world.dp == 2);
  CHECK(scenario.model.hidden_size == 32);
  REQUIRE(scenario.runs.size() == 1);
  CHECK(scenario.runs[0].backend == "allgather_reducescatter");
  CHECK_THAT(error_of([&] { scenario_for_trace("none.safetensors"); }),
             StartsWith("none.safetensors: there is no such file"));
}
