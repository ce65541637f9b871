// What an explanation says arrives, against what the backend's dispatch delivers on real ranks: who
// sent each row, in which order, whose room it is in, how its ids are read, what the counts say.

#include "backends/moe_layer.h"
#include "kernels/kernels.h"
#include "sim/backend_choice.h"
#include "sim/explanation.h"
#include "sim/small_worlds.h"
#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"

#include "sim/registry.h"

using namespace moe;
using namespace moe::sim;
using namespace moe::test;
using Catch::Contains;

namespace {

// One row as a rank has it: "3.2@1 [0,7]" is row 2 of rank 3 in the room of expert 1.
std::string row_words(int from, Count row, int expert, const std::vector<int>& ids) {
  return text(from, ".", row, "@", expert, " [", joined(ids), "]");
}

struct Arrived {
  std::vector<std::string> rows;
  std::vector<Count> counts;
  Count room = 0;  // rows of an expert's, batched
};

// One rank of the world: dispatches its own rows of step 0 and says what came.
class DispatchingRank {
 public:
  DispatchingRank(const ExplainedWorld& world, Communicator& all)
      : world_(world),
        sizes_(world.scenario.world),
        all_(all),
        tp_(all.split(all.rank() / sizes_.tp, all.rank())),
        dp_(all.split(all.rank() % sizes_.tp, all.rank())),
        alone_(all.split(all.rank(), 0)),
        kernels_(make_cpu_kernels(all.memory())) {}

  Arrived run() {
    const Backend& backend = *backend_named(world_.backend).backend;
    const ParallelGroups groups{*tp_, *alone_, *dp_, all_};
    const auto prepare_finalize = backend.make(
        {.groups = groups,
         .parallel = make_parallel_config({{.dp = sizes_.dp, .tp = sizes_.tp}}, all_.rank()),
         .memory = all_.memory(),
         .expert_map = world_.expert_map,
         .provenance = Provenance::travels,
         .kernels = kernels_.get(),
         .max_num_tokens =
             max_num_tokens(world_.scenario, backend.capabilities, profile_with(world_.backend))});
    const CellInputs inputs = world_.inputs.cell({0, 0, all_.rank() / sizes_.tp}, all_.memory());
    const RowCounts tokens = world_.inputs.tokens(0);
    const Dispatched dispatched =
        prepare_finalize->prepare(inputs.hidden_states.tensor(),
                                  {inputs.topk_ids.tensor(), inputs.topk_weights.tensor()}, tokens);
    return seen(dispatched);
  }

 private:
  Arrived seen(const Dispatched& dispatched) const {
    Arrived arrived;
    const auto counts = elements_of<std::int32_t>(dispatched.expert_num_tokens);
    arrived.counts.assign(counts.begin(), counts.end());
    const bool is_batched =
        world_.capabilities.activation_format == ActivationFormat::batched_experts;
    if (is_batched) arrived.room = dispatched.hidden_states.rows / std::ssize(counts);
    const auto tags = elements_of<std::int64_t>(dispatched.provenance);
    for (Count row = 0; row < std::ssize(tags); ++row) {
      const std::int64_t tag = tags[static_cast<std::size_t>(row)];
      if (tag < 0) continue;
      arrived.rows.push_back(row_words(rank_of_tag(tag), row_of_tag(tag),
                                       is_batched ? expert_of(row / arrived.room) : -1,
                                       is_batched ? std::vector<int>{} : ids_of(dispatched, row)));
    }
    return arrived;
  }

  int expert_of(Count local_expert) const {
    for (int expert = 0; expert < world_.expert_map.num_experts(); ++expert) {
      const auto at = static_cast<std::size_t>(expert);
      if (world_.expert_map.rank_of[at] == all_.rank() &&
          world_.expert_map.local_of[at] == local_expert)
        return expert;
    }
    return -1;
  }

  static std::vector<int> ids_of(const Dispatched& dispatched, Count row) {
    const auto ids = elements_of<std::int32_t>(rows_of(dispatched.routing.topk_ids, row, 1));
    return {ids.begin(), ids.end()};
  }

  const ExplainedWorld& world_;
  const WorldSpec& sizes_;
  Communicator& all_;
  std::unique_ptr<Communicator> tp_;
  std::unique_ptr<Communicator> dp_;
  std::unique_ptr<Communicator> alone_;
  std::unique_ptr<Kernels> kernels_;
};

// The row's number among those that its sender holds: where a TP group deals tokens out a part.
Count row_at_sender(const ExplainedWorld& world, const ExplainedArrival& row) {
  if (world.capabilities.tp_replicas == TpReplicas::send_all) return row.token;
  Count before = 0;
  for (Count token = 0; token < row.token; ++token) {
    before += token_homes(world, 0, row.dp_rank, token).front() == row.from ? 1 : 0;
  }
  return before;
}

Arrived told(const ExplainedWorld& world, const std::vector<ExplainedArrival>& rows, int rank) {
  Arrived arrived;
  for (const ExplainedArrival& row : rows) {
    arrived.rows.push_back(row_words(row.from, row_at_sender(world, row), row.expert,
                                     row.expert < 0 ? row.ids : std::vector<int>{}));
  }
  const auto experts = world.expert_map.num_local_experts[static_cast<std::size_t>(rank)];
  arrived.counts.resize(static_cast<std::size_t>(experts));
  const auto count = [&](int expert) {
    const auto at = static_cast<std::size_t>(expert);
    if (expert < 0 || world.expert_map.rank_of[at] != rank) return;
    ++arrived.counts[static_cast<std::size_t>(world.expert_map.local_of[at])];
  };
  for (const ExplainedArrival& row : rows) {
    if (row.expert >= 0) {
      count(row.expert);
    } else {
      for (const int expert : row.ids) count(expert);
    }
  }
  return arrived;
}

constexpr std::array backends_to_owners = {
    "deepep_high_throughput",      "deepep_low_latency",         "nixl_ep",
    "mori_high_throughput",        "mori_low_latency",           "pplx",
    "flashinfer_nvlink_two_sided", "flashinfer_nvlink_one_sided"};

// Every row of step 0 on every rank, as told and as delivered.
void check_arrivals(const Scenario& scenario, const std::string& backend) {
  INFO(backend << ", tp " << scenario.world.tp);
  const WorldInputs inputs(scenario);
  const ExplainedWorld world = explained_world(scenario, inputs, backend);
  const StepExplanation step = explain_step(world, 0, 0);
  const int num_ranks = world.expert_map.num_ranks();
  const auto outcomes = run_world(
      {.size = num_ranks}, [&](Communicator& all) { return DispatchingRank(world, all).run(); });
  for (int rank = 0; rank < num_ranks; ++rank) {
    INFO("rank " << rank);
    const auto& outcome = outcomes[static_cast<std::size_t>(rank)];
    CHECK(outcome.error.empty());
    REQUIRE(outcome.value.has_value());
    const Arrived expected = told(world, step.arrivals[static_cast<std::size_t>(rank)], rank);
    CHECK(outcome.value->rows == expected.rows);
    CHECK(outcome.value->counts == expected.counts);
    if (outcome.value->room > 0) CHECK(outcome.value->room == room_of_expert(world));
  }
}

Scenario masked_world(int dp, int tp) {
  Scenario scenario = plain_small_world({.ranks = dp, .experts = 8, .top_k = 3});
  scenario.world.tp = tp;
  scenario.routing = MaskedRouting{0.3};
  scenario.max_num_batched_tokens = 12;
  scenario.steps = {{7, 2}};
  if (dp == 4) scenario.steps = {{7, 3, 0, 5}};
  return scenario;
}

}  // namespace

TEST_CASE("explain: what is told to arrive arrives: rows, order, rooms, ids and counts") {
  for (const char* backend : backends_to_owners) {
    for (const int dp : {2, 4}) check_arrivals(masked_world(dp, 1), backend);
  }
}

TEST_CASE(
    "explain: copies of a TP group's ranks, and tokens that they deal out, are told as sent") {
  for (const char* backend : backends_to_owners) check_arrivals(masked_world(2, 2), backend);
}

TEST_CASE("explain: loads are the counts of what arrives") {
  for (const int tp : {1, 2}) {
    for (const char* backend : backends_to_owners) {
      const Scenario scenario = masked_world(2, tp);
      const WorldInputs inputs(scenario);
      const ExplainedWorld world = explained_world(scenario, inputs, backend);
      const StepExplanation step = explain_step(world, 0, 0);
      std::vector<Count> counts;
      for (int rank = 0; rank < world.expert_map.num_ranks(); ++rank) {
        const Arrived arrived = told(world, step.arrivals[static_cast<std::size_t>(rank)], rank);
        counts.insert(counts.end(), arrived.counts.begin(), arrived.counts.end());
      }
      CHECK(counts == step.choices_of);  // linear placement: experts ascend with their ranks
    }
  }
}

TEST_CASE("explain: the worked example is told with the rows of distribution-layer.md, 9.0") {
  Scenario scenario = plain_small_world({.ranks = 2, .experts = 4, .top_k = 2});
  scenario.routing = ListedRouting{{{0, 2}, {0, 1}, {3, 2}, {1, 3}, {2, 3}}};
  scenario.steps = {{3, 2}};
  scenario.max_num_batched_tokens = 4;
  const WorldInputs inputs(scenario);
  using Table = std::vector<std::vector<Count>>;
  const auto told_by = [&](const std::string& backend) {
    const ExplainedWorld world = explained_world(scenario, inputs, backend);
    const StepExplanation step = explain_step(world, 0, 0);
    return std::pair(step.sent, step_explanation_text(world, step));
  };
  const auto [copies, copies_text] = told_by("deepep_high_throughput");
  CHECK(copies == Table{{2, 2}, {1, 2}});
  CHECK_THAT(copies_text, Contains("token 0 of rank 0        ids 0, 3\n"));
  CHECK_THAT(copies_text, Contains("token 0 of rank 1        ids 0, 3\n"));
  const auto [slots, slots_text] = told_by("deepep_low_latency");
  CHECK(slots == Table{{3, 3}, {1, 3}});
  CHECK_THAT(slots_text, Contains("room for 8 rows"));
  CHECK_THAT(slots_text, Contains("room of expert 1   token 1 of rank 0, token 0 of rank 1\n"));
  CHECK(told_by("allgather_reducescatter").first == Table{{3, 3}, {2, 2}});
}

TEST_CASE("explain: padding of sequence parallelism travels and chooses the first experts (T25)") {
  Scenario scenario = plain_small_world({.ranks = 2, .experts = 8, .top_k = 2});
  scenario.world.tp = 2;
  scenario.world.sequence_parallel = true;
  scenario.routing = ListedRouting{{{6, 7}}};
  scenario.steps = {{7, 1}};  // shares [4, 4, 1, 1], two rows of zeros among them
  scenario.max_num_batched_tokens = 12;
  const WorldInputs inputs(scenario);
  using Table = std::vector<std::vector<Count>>;
  const auto told_by = [&](const std::string& backend) {
    return explain_step(explained_world(scenario, inputs, backend), 0, 0);
  };
  const StepExplanation gathered = told_by("allgather_reducescatter");
  CHECK(gathered.num_padding == 2);
  CHECK(gathered.sent == Table{{4, 4, 4, 4}, {4, 4, 4, 4}, {1, 1, 1, 1}, {1, 1, 1, 1}});
  CHECK(gathered.choices_of == std::vector<Count>{2, 2, 0, 0, 0, 0, 8, 8});
  CHECK(told_by("deepep_low_latency").sent ==
        Table{{0, 0, 0, 8}, {2, 0, 0, 6}, {0, 0, 0, 2}, {2, 0, 0, 0}});
  CHECK_THAT(step_explanation_text(explained_world(scenario, inputs, "deepep_high_throughput"),
                                   told_by("deepep_high_throughput")),
             Contains("2 rows of zeros more") && Contains("padding from rank 3"));
}
