// Other calls on the backends that vLLM makes them on: dual-batch overlap gives the outputs of one
// call (I29), and so do DP chunks (I13); how many dispatches may wait for their combine
// (distribution-layer.md, 9.4, 11.4, 12).

#include "sim/engine_scenario.h"
#include "sim/registry.h"
#include "tests/catch.h"
#include "tests/judged_line.h"
#include "tests/unit/comm/ranks.h"
#include "tests/unit/kernels/host_rows.h"

using namespace moe;
using namespace moe::sim;
using Catch::Contains;
using moe::test::run_world;

namespace {

constexpr std::array overlapping = {"deepep_high_throughput", "deepep_low_latency"};

// Two engines whose first batches hold prompts of these lengths.
Scenario engine_world(const std::vector<Count>& prompts, bool with_overlap) {
  Scenario scenario;
  scenario.name = "overlapped world";
  scenario.world.dp = static_cast<int>(prompts.size());
  scenario.model = {.num_experts = 6, .top_k = 2, .hidden_size = 7, .intermediate_size = 8};
  scenario.routing = MaskedRouting{0.2};
  scenario.max_num_batched_tokens = 32;
  EngineSettings& engine = scenario.engine.emplace();
  engine.max_num_batched_tokens = 32;
  engine.micro_batches = {.enabled = with_overlap, .decode_tokens = 1, .prefill_tokens = 2};
  for (std::size_t rank = 0; rank < prompts.size(); ++rank) {
    engine.requests.push_back(
        {.dp_rank = static_cast<int>(rank), .prompt = prompts[rank], .output = 2});
  }
  plan_engine_steps(scenario);
  return scenario;
}

// Rows that the judge held, calls of the wire, and what was wrong, empty if nothing.
struct Judged {
  Count rows = 0;
  Count collectives = 0;
  std::string trouble;
};

Judged judged(const Scenario& scenario, const std::string& backend,
              const std::string& profile = "post-40412") {
  const LoadedScenario loaded(scenario);
  RunLine line = line_with(backend);
  line.profile = profile;
  const sim::Outcome outcome = judged_line(loaded, line);
  std::string found = reason_of(outcome.verdict);
  for (const auto& [check, said] : outcome.checks) found += said == "ok" ? "" : said;
  return {outcome.rows, outcome.traffic.collectives, found};
}

// Dispatches that one rank begins, one after another, before it combines the first.
std::vector<std::string> begun(const std::string& name, Communicator& group, int number) {
  Memory& memory = group.memory();
  const auto alone = group.split(group.rank(), 0);
  const auto kernels = make_cpu_kernels(memory);
  const ExpertMap map = determine_expert_map(4, group.size(), Placement::linear);
  const ParallelGroups groups{*alone, *alone, group, group};
  const auto prepare_finalize = backend_named(name).backend->make(
      {.groups = groups,
       .parallel = make_parallel_config({.sizes = {.dp = group.size()}}, group.rank()),
       .memory = memory,
       .expert_map = map,
       .kernels = kernels.get(),
       .max_num_tokens = 4});
  const Buffer rows = rows_with(memory, {2, 3, DType::bf16}, {1, 2, 3, 4, 5, 6});
  const Buffer ids = rows_with(memory, {2, 2, DType::i32}, {0, 2, 3, 1});
  const Buffer weights = rows_with(memory, {2, 2, DType::f32}, {1, 1, 1, 1});
  const Buffer output(memory, {2, 3, DType::bf16});
  const std::vector<Count> tokens(static_cast<std::size_t>(group.size()), 2);
  std::vector<std::string> said;
  std::vector<Dispatched> waiting;
  const auto begin = [&] {
    try {
      waiting.push_back(
          prepare_finalize->prepare(rows.tensor(), {ids.tensor(), weights.tensor()}, tokens));
      said.emplace_back("begun");
    } catch (const ContractError& error) {
      said.emplace_back(error.what());
    }
  };
  for (int i = 0; i < number; ++i) begin();
  Dispatched first = std::move(waiting.front());
  waiting.erase(waiting.begin());
  const Tensor answers = first.hidden_states;
  prepare_finalize->finalize(answers, std::move(first), output.tensor());
  begin();
  return said;
}

}  // namespace

TEST_CASE("dual-batch overlap: outputs with it are those without (I29)") {
  int overlapped = 0;
  for (const char* backend : overlapping) {
    for (Count code = 0; code < 7 * 7 * 2; ++code) {
      std::vector<Count> prompts = {1 + code % 7, 1 + code / 7 % 7};
      if (code >= 49) prompts.insert(prompts.end(), {3, 4});  // 4 ranks
      Scenario off = engine_world(prompts, false);
      Scenario on = engine_world(prompts, true);
      if (prompts.size() == 4) off.model.num_experts = on.model.num_experts = 8;
      const Judged without = judged(off, backend);
      const Judged with = judged(on, backend);
      INFO(backend << ", prompts " << joined(prompts));
      CHECK(without.trouble == "");
      CHECK(with.trouble == "");
      CHECK(with.rows >= without.rows);  // what went in micro-batches is judged as well
      overlapped += with.rows > without.rows ? 1 : 0;
    }
  }
  CHECK(overlapped > 100);
}

TEST_CASE("dp chunking: one call's outputs on every backend that was called so (I13)") {
  const std::vector<std::pair<std::string, std::string>> chunked = {
      {"pplx", "v0.9"},
      {"deepep_low_latency", "pre-33724"},
      {"nixl_ep", "post-33724"},
      {"mori", "post-36294"},
      {"flashinfer_all2allv", "post-33724"}};
  for (const auto& [backend, profile] : chunked) {
    for (Count code = 0; code < 5 * 5 * 3; ++code) {
      Scenario scenario = engine_world({1}, false);
      scenario.engine.reset();
      scenario.world.dp = 2;
      scenario.steps = {{1 + code % 5, 1 + code / 5 % 5}};
      const Count rows_max = 2 * (1 + code / 25);
      scenario.dp_chunking = DpChunking{rows_max, ResultStore::if_unfinished};
      const Judged in_chunks = judged(scenario, backend, profile);
      INFO(backend << ", [" << joined(scenario.steps[0]) << "] by " << rows_max);
      CHECK(in_chunks.trouble == "");
      CHECK(in_chunks.rows == total_rows(scenario.steps[0]));
    }
  }
}

TEST_CASE("dp chunking: profiles after #39107 call the layer once") {
  Scenario scenario = engine_world({1}, false);
  scenario.engine.reset();
  scenario.world.dp = 2;
  scenario.steps = {{5, 2}};
  scenario.dp_chunking = DpChunking{2, ResultStore::if_unfinished};
  const Judged before = judged(scenario, "deepep_low_latency", "post-36286");
  const Judged after = judged(scenario, "deepep_low_latency", "post-39107");
  CHECK(before.rows == 7);
  CHECK(after.rows == 7);
  CHECK(before.collectives > 2 * after.collectives);  // three chunks
}

TEST_CASE("low latency: two results may be under way, a third is refused until one has landed") {
  for (const std::string name : {"deepep_low_latency", "nixl_ep"}) {
    const auto outcomes =
        run_world({.size = 2}, [&](Communicator& group) { return begun(name, group, 3); });
    for (const auto& outcome : outcomes) {
      REQUIRE(outcome.error.empty());
      const std::vector<std::string>& said = *outcome.value;
      REQUIRE(said.size() == 4);
      CHECK((said[0] == "begun" && said[1] == "begun"));
      CHECK_THAT(said[2], Contains("a dispatch more than the buffers hold"));
      CHECK(said[3] == "begun");
    }
  }
}

TEST_CASE("high throughput: each dispatch has a handle of its own, however many are under way") {
  const auto outcomes = run_world(
      {.size = 2}, [](Communicator& group) { return begun("deepep_high_throughput", group, 5); });
  for (const auto& outcome : outcomes) {
    REQUIRE(outcome.error.empty());
    CHECK(*outcome.value == std::vector<std::string>(6, "begun"));
  }
}
