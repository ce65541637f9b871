// Unit tests of sim/routing_trace: a small trace read whole, the recorded one of the repository,
// and every refusal of formats.md, 1.

#include "sim/routing_trace.h"

#include <limits>

#include "kernels/base/text.h"
#include "tests/catch.h"
#include "tests/unit/sim/input_files.h"

using namespace moe;
using namespace moe::sim;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

TEST_CASE("trace: a small one is read whole") {
  const TemporaryFolder folder;
  SmallTrace small;
  small.topk_ids[5] = -1;
  small.topk_ids[4] = -1;
  small.metadata["note"] = "carried along";
  const RoutingTrace trace = read_routing_trace(folder.write("t", small.bytes()));
  CHECK(trace.model == "small");
  CHECK(trace.dp_size == 2);
  CHECK(trace.num_steps == 3);
  CHECK(trace.num_layers == 2);
  CHECK(trace.num_experts == 4);
  CHECK(trace.top_k == 2);
  CHECK(trace.hidden_size == 32);
  CHECK(trace.intermediate_size == 48);
  CHECK(trace.scoring == "softmax");
  CHECK(trace.renormalize);
  CHECK(trace.metadata.at("note") == "carried along");
  CHECK(trace.topk_ids == small.topk_ids);
  CHECK(trace.topk_weights == small.topk_weights);
  CHECK(trace.num_tokens == small.num_tokens);
  CHECK(trace.request_id == small.request_id);
  CHECK(trace.position == small.position);
  CHECK(trace.phase == small.phase);
}

TEST_CASE("trace: neighbouring ranks merge, in rank order") {
  const TemporaryFolder folder;
  SmallTrace small;
  small.metadata["dp_size"] = "4";
  small.metadata["steps"] = "1";
  small.num_tokens = {1, 0, 3, 1};
  small.shapes["num_tokens"] = "[1,4]";
  const RoutingTrace trace = read_routing_trace(folder.write("t", small.bytes()));
  using Steps = std::vector<std::vector<Count>>;
  CHECK(trace.steps_for(4) == Steps{{1, 0, 3, 1}});
  CHECK(trace.steps_for(2) == Steps{{1, 4}});
  CHECK(trace.steps_for(1) == Steps{{5}});
  for (const int dp : {3, 0, -1, 8}) {
    CHECK_THAT(error_of([&] { trace.steps_for(dp); }), Contains("possible: 1, 2, 4"));
  }
}

TEST_CASE("trace: the header alone says what the whole says") {
  const TemporaryFolder folder;
  const std::string path = folder.write("t", SmallTrace().bytes());
  const RoutingTrace header = read_routing_trace_header(path);
  CHECK(header.num_experts == 4);
  CHECK(header.metadata == read_routing_trace(path).metadata);
  CHECK(header.topk_ids.empty());
  SmallTrace broken;
  broken.shapes["position"] = "[5,1]";
  const std::string bad = folder.write("bad", broken.bytes());
  CHECK_THAT(error_of([&] { read_routing_trace_header(bad); }),
             Contains("position is I32 [5, 1], it must be I32 with 1 dimensions"));
}

TEST_CASE("trace: the recorded trace of the repository is good") {
  const std::string path = MOE_SOURCE_DIR "/scenarios/traces/mixtral-style-e8k2.dev.safetensors";
  const RoutingTrace trace = read_routing_trace(path);
  CHECK(trace.num_experts == 8);
  CHECK(trace.phase.size() == 21087);
  CHECK(trace.steps_for(2).size() == 302);
}

TEST_CASE("trace: metadata that is missing or absurd") {
  struct Case {
    std::string key;
    std::string value;  // "-": the key is left out
    std::string message;
  };
  std::vector<Case> cases = {
      {"format", "moe-routing-trace/2", "metadata 'format' is 'moe-routing-trace/2'"},
      {"format", "moe-router-logits/1", "must be one of moe-routing-trace/1"},
      {"dp_size", "0", "metadata 'dp_size' is '0', it must be an integer from 1 to 65536"},
      {"dp_size", "-2", "metadata 'dp_size'"},
      {"dp_size", "2.0", "metadata 'dp_size'"},
      {"dp_size", "2 ", "metadata 'dp_size'"},
      {"dp_size", "", "metadata 'dp_size'"},
      {"dp_size", "99999999999999999999", "metadata 'dp_size'"},
      {"dp_size", "3", "num_tokens is [3, 2], the metadata and the other tensors make it [3, 3]"},
      {"steps", "0", "metadata 'steps'"},
      {"steps", "2", "num_tokens is [3, 2], the metadata and the other tensors make it [2, 2]"},
      {"num_layers", "3", "topk_ids is [5, 2, 2]"},
      {"num_layers", "1000000", "metadata 'num_layers'"},
      {"num_experts", "0", "metadata 'num_experts'"},
      {"num_experts", "40000", "metadata 'num_experts'"},
      {"top_k", "3", "topk_ids is [5, 2, 2]"},
      {"top_k", "5", "metadata 'top_k' is '5', it must be an integer from 1 to 4"},
      {"hidden_size", "0", "metadata 'hidden_size'"},
      {"hidden_size", "4000000000", "metadata 'hidden_size'"},
      {"moe_intermediate_size", "-1", "metadata 'moe_intermediate_size'"},
      {"scoring", "tanh", "must be one of softmax, sigmoid"},
      {"renormalize", "yes", "must be one of true, false"},
      {"num_expert_group", "3",
       "metadata 'num_expert_group' is '3', it must divide num_experts, 4"},
      {"topk_group", "2", "metadata 'topk_group' is '2', it must be an integer from 1 to 1"},
      {"num_shared_experts", "-1", "metadata 'num_shared_experts'"},
      {"routed_scaling_factor", "nan", "metadata 'routed_scaling_factor'"},
      {"routed_scaling_factor", "0", "it must be a positive number"},
      {"max_num_batched_tokens", "0", "metadata 'max_num_batched_tokens'"},
  };
  for (const auto& [key, value] : SmallTrace().metadata) {
    cases.push_back({key, "-", text("the metadata has no '", key, "'")});
  }
  const TemporaryFolder folder;
  for (const Case& one : cases) {
    CAPTURE(one.key, one.value);
    SmallTrace small;
    small.metadata[one.key] = one.value;
    if (one.value == "-") small.metadata.erase(one.key);
    const std::string path = folder.write("t", small.bytes());
    const std::string error = error_of([&] { read_routing_trace(path); });
    CHECK_THAT(error, StartsWith(path + ": ") && Contains(one.message));
    CHECK(error_of([&] { read_routing_trace_header(path); }) == error);
  }
}

TEST_CASE("trace: tensors that are missing, misshapen or wrong in a value") {
  struct Case {
    void (*break_it)(SmallTrace&);
    std::string message;
  };
  const std::vector<Case> cases = {
      {[](SmallTrace& t) { t.topk_ids[7] = 9; },
       "topk_ids: token 1, layer 1, slot 1: expert 9 is outside [-1, 4)"},
      {[](SmallTrace& t) { t.topk_ids[19] = 4; }, "token 4, layer 1, slot 1: expert 4 is outside"},
      {[](SmallTrace& t) { t.topk_ids[0] = -2; }, "token 0, layer 0, slot 0: expert -2 is outside"},
      {[](SmallTrace& t) { t.topk_ids[3] = t.topk_ids[2]; },
       "topk_ids: token 0, layer 1, slot 1: expert 1 is chosen a second time"},
      {[](SmallTrace& t) { t.topk_weights[2] = std::numeric_limits<float>::quiet_NaN(); },
       "topk_weights: token 0, layer 1, slot 0: the weight nan is not finite"},
      {[](SmallTrace& t) { t.topk_weights[19] = std::numeric_limits<float>::infinity(); },
       "topk_weights: token 4, layer 1, slot 1: the weight inf is not finite"},
      {[](SmallTrace& t) { t.num_tokens = {6, -1, 0, 0, 0, 0}; },
       "num_tokens: step 0, rank 1: -1 is negative"},
      {[](SmallTrace& t) { t.num_tokens[5] = 1; },
       "num_tokens: the counts sum to 6, the other tensors hold 5 tokens"},
      {[](SmallTrace& t) { t.num_tokens = {2147483647, 2147483647, 2, 0, 0, 5}; },
       "num_tokens: the counts sum to 4294967301"},
      {[](SmallTrace& t) { t.phase[3] = 2; }, "phase: token 3: 2 is neither 0 (prefill) nor 1"},
      {[](SmallTrace& t) { t.left_out = "topk_ids"; }, "has no tensor 'topk_ids'"},
      {[](SmallTrace& t) { t.left_out = "topk_weights"; }, "has no tensor 'topk_weights'"},
      {[](SmallTrace& t) { t.left_out = "num_tokens"; }, "has no tensor 'num_tokens'"},
      {[](SmallTrace& t) { t.left_out = "request_id"; }, "has no tensor 'request_id'"},
      {[](SmallTrace& t) { t.left_out = "position"; }, "has no tensor 'position'"},
      {[](SmallTrace& t) { t.left_out = "phase"; }, "has no tensor 'phase'"},
      {[](SmallTrace& t) { t.dtypes["topk_ids"] = "F16"; }, "topk_ids is F16"},
      {[](SmallTrace& t) { t.dtypes["num_tokens"] = "U32"; }, "num_tokens is U32"},
      {[](SmallTrace& t) { t.shapes["topk_weights"] = "[5,4,1]"; },
       "topk_weights is [5, 4, 1], the metadata and the other tensors make it [5, 2, 2]"},
      {[](SmallTrace& t) {
         t.phase.pop_back();
         t.shapes["phase"] = "[4]";
       },
       "phase is [4], the metadata and the other tensors make it [5]"},
      {[](SmallTrace& t) {
         t.topk_ids.clear();
         t.shapes["topk_ids"] = "[0,2,2]";
       },
       "topk_ids: the trace has no token"},
  };
  const TemporaryFolder folder;
  for (const Case& one : cases) {
    CAPTURE(one.message);
    SmallTrace small;
    one.break_it(small);
    const std::string path = folder.write("t", small.bytes());
    CHECK_THAT(error_of([&] { read_routing_trace(path); }),
               StartsWith(path + ": ") && Contains(one.message));
  }
}
