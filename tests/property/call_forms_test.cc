// A layer called otherwise gives what one call gives: chunk by chunk (I13) over all small worlds,
// idle ranks among them, and as micro-batches (I29), both dispatched before the first is combined,
// in one order on all ranks.

#include "backends/moe_runner.h"
#include "backends/routers.h"
#include "sim/faults.h"
#include "sim/registry.h"
#include "tests/catch.h"
#include "tests/judged_line.h"
#include "tests/unit/comm/ranks.h"

using namespace moe;
using namespace moe::sim;

namespace {

Scenario chunked_world(const std::vector<Count>& tokens, Count rows_max, ResultStore store) {
  Scenario scenario;
  scenario.name = "chunked world";
  scenario.world.dp = static_cast<int>(tokens.size());
  scenario.model = {.num_experts = 5, .top_k = 2, .hidden_size = 7, .intermediate_size = 8};
  scenario.routing = SkewedRouting{0.5};
  scenario.steps = {tokens};
  scenario.dp_chunking = DpChunking{rows_max, store};
  return scenario;
}

// What went wrong, empty if nothing did.
std::string trouble(const Scenario& scenario, const RunLine& line) {
  const LoadedScenario loaded(scenario);
  const Outcome outcome = judged_line(loaded, line);
  std::string found = reason_of(outcome.verdict);
  for (const auto& [check, said] : outcome.checks) found += said == "ok" ? "" : said;
  const Count rows = total_rows(scenario.steps[0]);
  if (found.empty() && outcome.rows != 2 * rows) found = "not judged twice";
  if (found.empty()) return "";
  return text("[", joined(scenario.steps[0]), "] by ", scenario.dp_chunking->rows_max, ": ", found);
}

// Every rank gives each row times its number and one; so a row of the sum is three of it on two
// ranks.
class ScalingExperts final : public Experts {
 public:
  ScalingExperts(Communicator& group) : group_(group) {}

  Tensor apply(Dispatched& dispatched) override {
    const Tensor& rows = dispatched.hidden_states;
    const Tensor out =
        dispatched.handle.keep(Buffer(group_.memory(), {rows.rows, rows.columns, rows.dtype}));
    const auto from = elements_of<float>(rows);
    auto* to = static_cast<float*>(out.data);
    for (std::size_t i = 0; i < from.size(); ++i) {
      to[i] = from[i] * static_cast<float>(group_.rank() + 1);
    }
    return out;
  }

 private:
  Communicator& group_;
};

class LoggedPrepareFinalize final : public PrepareFinalize {
 public:
  LoggedPrepareFinalize(std::unique_ptr<PrepareFinalize> inner, std::vector<std::string>& log)
      : inner_(std::move(inner)), log_(log) {}

  Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                     RowCounts tokens) override {
    log_.push_back(text("dispatch ", hidden_states.rows));
    return inner_->prepare(hidden_states, routing, tokens);
  }
  void finalize(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) override {
    log_.push_back(text("combine ", output.rows));
    inner_->finalize(expert_output, std::move(dispatched), output);
  }

 private:
  std::unique_ptr<PrepareFinalize> inner_;
  std::vector<std::string>& log_;
};

struct MicroBatched {
  std::vector<std::string> order;
  test::Bytes one_call;
  test::Bytes split;
};

MicroBatched micro_batched(Communicator& group, const std::vector<Count>& counts) {
  Memory& memory = group.memory();
  const auto alone = group.split(group.rank(), 0);
  const auto kernels = make_cpu_kernels(memory);
  const ParallelGroups groups{*alone, *alone, group, group};
  const auto parallel = make_parallel_config({.sizes = {.dp = group.size()}}, group.rank());
  const ExpertMap map = determine_expert_map(4, group.size(), Placement::linear);
  MicroBatched result;
  auto moving = backend_named("allgather_reducescatter")
                    .backend->make({groups, parallel, memory, map, Provenance::off});
  MoeRunner runner(
      {groups, parallel, memory, *kernels},
      MoeLayer(make_router(*kernels, {.num_experts = 4, .top_k = 2}),
               std::make_unique<LoggedPrepareFinalize>(std::move(moving), result.order),
               std::make_unique<ScalingExperts>(group)),
      nullptr);
  const Count rows = total_rows(counts);
  std::vector<float> values(static_cast<std::size_t>(rows * 3));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(static_cast<int>(i) + 100 * group.rank());
  }
  const Buffer hidden_states = test::filled(group, values, 3);
  const std::vector<float> logit_values(static_cast<std::size_t>(rows * 4), 0.5F);
  const Buffer logits = test::filled(group, logit_values, 4);
  const Buffer whole(memory, {rows, 3, DType::f32});
  const Buffer split(memory, {rows, 3, DType::f32});
  const std::vector<Count> across_dp(static_cast<std::size_t>(group.size()), rows);
  runner.forward(hidden_states.tensor(), logits.tensor(), across_dp, whole.tensor());
  result.order.clear();
  runner.forward_micro_batches(hidden_states.tensor(), logits.tensor(), counts, split.tensor());
  result.one_call = test::bytes_in(whole);
  result.split = test::bytes_in(split);
  return result;
}

}  // namespace

TEST_CASE("I13: chunk by chunk as one call, for all counts up to 5 on up to three ranks") {
  std::vector<std::string> troubles;
  int num_runs = 0;
  for (int code = 1; code < 6 * 6 * 6 + 6 * 6; ++code) {
    std::vector<Count> tokens = {code % 6, code / 6 % 6};
    if (code >= 36) tokens.push_back(code / 36 - 1);
    if (total_rows(tokens) == 0) continue;
    for (const Count rows_max : {1, 2, 3}) {
      const auto store = code % 2 == 0 ? ResultStore::if_unfinished : ResultStore::always;
      RunLine line;
      line.backend = code % 3 == 0 ? "naive" : "allgather_reducescatter";
      line.profile = code % 3 == 0 ? "v0.9" : "post-36286";
      line.communicator = "local";
      const std::string found = trouble(chunked_world(tokens, rows_max, store), line);
      if (!found.empty()) troubles.push_back(found);
      ++num_runs;
    }
  }
  CHECK(troubles == std::vector<std::string>{});
  CHECK(num_runs == 3 * (35 + 215));
}

TEST_CASE("I29: micro-batches: the outputs of one call, all dispatched before the first combine") {
  for (const std::vector<Count>& counts :
       {std::vector<Count>{4, 4}, {3, 4}, {1, 2, 3}, {1, 1}, {0, 2}}) {
    const auto outcomes = test::run_world(
        {.size = 2}, [&](Communicator& group) { return micro_batched(group, counts); });
    std::vector<std::string> order;
    for (const Count rows : counts) order.push_back(text("dispatch ", rows));
    for (const Count rows : counts) order.push_back(text("combine ", rows));
    for (const auto& outcome : outcomes) {
      INFO(outcome.error);
      REQUIRE(outcome.value);
      CHECK(outcome.value->order == order);
      CHECK(outcome.value->split == outcome.value->one_call);
      CHECK(!outcome.value->split.empty());
    }
  }
}

namespace {

Outcome chunked_line(const std::vector<Count>& tokens, const RunLine& line,
                     const std::string& fault = "") {
  Scenario scenario;
  scenario.name = "chunked by default";
  scenario.world.dp = static_cast<int>(tokens.size());
  scenario.model = {.num_experts = 6, .top_k = 2, .hidden_size = 8, .intermediate_size = 8};
  scenario.steps = {tokens};
  std::vector<FaultSpec> faults;
  if (!fault.empty()) faults.push_back(parsed_fault(fault));
  return judged_line(scenario, line, faults);
}

}  // namespace

TEST_CASE("DP chunks of 256 rows are how vLLM called pplx: three calls for [700, 1, 513]") {
  RunLine line{.backend = "pplx", .communicator = "local", .profile = "v0.9"};
  const Outcome one = chunked_line({256, 1, 256}, line);
  const Outcome three = chunked_line({700, 1, 513}, line);
  CHECK(std::holds_alternative<Passed>(one.verdict));
  CHECK(std::holds_alternative<Passed>(three.verdict));
  CHECK(three.rows == 1214);
  const Outcome two = chunked_line({300, 1, 512}, line);
  const Count of_a_chunk = two.traffic.collectives - one.traffic.collectives;
  CHECK(of_a_chunk > 0);
  CHECK(three.traffic.collectives == two.traffic.collectives + of_a_chunk);
  for (const auto& [check, said] : three.checks) CHECK(said == "ok");
  for (const char* check : {"CONS", "PROV", "COUNT", "BYTES", "CAP", "SHAPE"}) {
    INFO(check);
    CHECK(three.checks.contains(check));
  }
  const Outcome idle = chunked_line({257, 0, 3}, line);
  CHECK(std::holds_alternative<Passed>(idle.verdict));
  CHECK(idle.rows == 260);
}

TEST_CASE("T21: chunks of a layer without rows are empty where the counts claim one row") {
  const auto memory = make_host_memory(Poison::on);
  const auto rows_of_chunk = [&](Count rows, Count columns) {
    return Buffer(*memory, {rows, columns, DType::f32});
  };
  const Buffer hidden_states = rows_of_chunk(0, 4);
  const Buffer logits = rows_of_chunk(0, 2);
  const Buffer output = rows_of_chunk(0, 4);
  std::vector<std::string> chunks;
  call_form_named("dp_chunking")
      .forward({.memory = *memory, .rows_max = 2},
               [&](const LayerCall& chunk) {
                 chunks.push_back(text(chunk.hidden_states.rows, " rows of [",
                                       joined(chunk.num_tokens_across_dp), "]"));
               },
               {hidden_states.tensor(), logits.tensor(), {0, 3}, output.tensor()});
  CHECK(chunks == std::vector<std::string>{"0 rows of [1, 2]", "0 rows of [1, 1]"});
}

TEST_CASE("T21: chunks: a rank without tokens runs its dummy also where vLLM calls in no chunks") {
  for (const auto& [backend, profile] :
       {std::pair{"naive", "v0.9"}, std::pair{"allgather_reducescatter", "pre-33724"},
        std::pair{"skeleton", "pre-33724"}, std::pair{"deepep_high_throughput", "pre-33724"}}) {
    for (const std::vector<Count>& tokens :
         {std::vector<Count>{4, 0}, {3, 0}, {0, 7}, {1, 0}, {0, 0, 4, 0}}) {
      RunLine line{.backend = backend, .communicator = "local", .profile = profile};
      Scenario scenario = chunked_world(tokens, 3, ResultStore::always);
      scenario.model.num_experts = 8;
      scenario.model.hidden_size = 2048;
      INFO(backend);
      CHECK(trouble(scenario, line) == "");
    }
  }
  Scenario scenario = chunked_world({4, 0}, 3, ResultStore::always);
  scenario.world.expert_parallel = false;  // then pplx has no chunks
  RunLine line{.backend = "pplx", .communicator = "local", .profile = "v0.9"};
  CHECK(trouble(scenario, line) == "");
}

TEST_CASE("chunks: the dummy of a rank without tokens chooses by the router's bias") {
  for (const auto& [backend, profile] :
       {std::pair{"pplx", "v0.9"}, std::pair{"deepep_low_latency", "post-33724"}}) {
    Scenario scenario = chunked_world({5, 0}, 4, ResultStore::if_unfinished);
    scenario.model.num_experts = 8;
    scenario.model.hidden_size = 2048;
    scenario.model.correction_bias = true;
    scenario.routing = LogitsRouting{.spread = 4.0};
    const RunLine line{.backend = backend, .communicator = "local", .profile = profile};
    const Outcome outcome = judged_line(scenario, line);
    INFO(backend);
    CHECK(reason_of(outcome.verdict) == "");
    CHECK(outcome.rows == 5);
    for (const auto& [check, said] : outcome.checks) CHECK(said == "ok");
  }
}

TEST_CASE("checks know which tokens a chunk has: a fault is named there as in one call") {
  RunLine line{.backend = "mori", .communicator = "local", .profile = "post-33724"};
  line.platform = "rocm";
  const Outcome outcome = chunked_line({300, 1, 2}, line, "MF-25");
  CHECK_THAT(reason_of(outcome.verdict), Catch::Contains("caught MF-25"));
}

TEST_CASE("a backend that vLLM called in no chunks yet takes no more than a chunk's rows") {
  RunLine line{.backend = "mori", .communicator = "local", .profile = "pre-33724"};
  line.platform = "rocm";
  CHECK_THROWS_WITH(chunked_line({257, 1}, line),
                    Catch::Contains("VLLM_MOE_DP_CHUNK_SIZE under profile "
                                    "pre-33724"));
  line.backend = "flashinfer_nvlink_one_sided";  // the scheduler's number sized it in every era
  line.profile = "post-36294";
  line.platform = "cuda";
  CHECK(std::holds_alternative<Passed>(chunked_line({257, 1}, line).verdict));
}
