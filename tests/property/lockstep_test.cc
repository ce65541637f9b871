// Laws of the engine's lockstep on real ranks: decisions are the same everywhere (I25), all ranks
// make the same calls (I16), and what they do is what the plan without a wire says.

#include "backends/engine/lockstep_engine.h"
#include "kernels/base/mix.h"
#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"

using namespace moe;
using namespace moe::test;

namespace {

// All proposals of one rank from few values, by number.
constexpr int proposals_a_rank = 3 * 2 * 3 * 2;
BatchProposal proposal_number(int number) {
  const Count tokens[] = {1, 4, 6};
  const Count num_tokens = tokens[number % 3];
  const Count padded = num_tokens + 2 * (number / 3 % 2);
  return {num_tokens, padded, number / 18 % 2 == 1, static_cast<GraphMode>(number / 6 % 3)};
}

// What is wrong with a decision, in words; empty where nothing is.
std::string wrong(const std::vector<BatchProposal>& proposals,
                  const std::vector<BatchDecision>& decisions) {
  for (const BatchDecision& decision : decisions) {
    if (decision != decisions[0]) return "ranks decide differently";
  }
  const BatchDecision& said = decisions[0];
  Count most = 0;
  bool all_want = true;
  for (const BatchProposal& proposal : proposals) {
    most = std::max(most, proposal.num_tokens_padded);
    all_want = all_want && proposal.wants_micro_batches;
    if (said.graph_mode > proposal.graph_mode) return "the graph mode is above a rank's";
  }
  if (said.micro_batches && !all_want) return "micro-batches that a rank refused";
  const bool is_padded = said.graph_mode != GraphMode::none || said.micro_batches;
  for (std::size_t rank = 0; rank < proposals.size(); ++rank) {
    const Count own = proposals[rank].num_tokens_padded;
    if (said.num_tokens_across_dp[rank] != (is_padded ? most : own)) return "padding";
  }
  return "";
}

EngineSettings drawn_settings(std::uint64_t seed, int dp_size) {
  const auto below = [&](int stream, int index, int limit) {
    return static_cast<int>(mix(seed, 77, stream, index) % static_cast<std::uint64_t>(limit));
  };
  EngineSettings settings;
  const int num_requests = 1 + below(0, 0, 5);
  for (int i = 0; i < num_requests; ++i) {
    settings.requests.push_back({.dp_rank = below(1, i, dp_size),
                                 .arrives = below(2, i, 2) == 0 ? 0 : below(3, i, 120),
                                 .prompt = 1 + below(4, i, 40),
                                 .output = 1 + below(5, i, 40)});
  }
  settings.max_num_batched_tokens = 16;
  settings.graph_mode = static_cast<GraphMode>(below(6, 0, 3));
  settings.capture_sizes = {1, 2, 4, 8};
  settings.micro_batches = {below(7, 0, 2) == 1, 2, 4};
  settings.vote_form = static_cast<VoteForm>(below(8, 0, 2));
  return settings;
}

// "tick/wave/kind/tokens" of each step, and how many collectives the rank made.
struct RankStory {
  std::vector<std::string> steps;
  Count collectives = 0;

  bool operator==(const RankStory&) const = default;
};

std::string step_words(const EngineStep& step, const BatchDecision& decision, Count tokens) {
  return text(step.tick, "/", step.wave, "/", name_of(step.kind), "/", tokens, "/",
              name_of(decision.graph_mode), decision.micro_batches ? "/split" : "");
}

std::vector<std::string> planned_words(const std::vector<PlannedStep>& plan, std::size_t rank) {
  std::vector<std::string> words;
  for (const PlannedStep& step : plan) {
    words.push_back(step_words(step.of_rank[rank], step.decision, step.tokens[rank]));
  }
  return words;
}

RankStory live_story(std::unique_ptr<Communicator> wire, const EngineSettings& settings) {
  TracedCommunicator dp(std::move(wire), Agreement::checked);
  LockstepEngine engine(dp, {dp.rank(), dp.size()}, settings);
  RankStory story;
  while (const auto agreed = engine.next_step()) {
    story.steps.push_back(step_words(agreed->step, agreed->decision, agreed->num_tokens));
    engine.end_step();
  }
  story.collectives = dp.traffic().collectives;
  dp.finish();
  return story;
}

}  // namespace

TEST_CASE("I25: lockstep: two ranks decide the same for every pair of proposals") {
  const auto outcomes = run_world({.size = 2}, [](Communicator& dp) {
    std::vector<BatchDecision> decisions;
    for (int pair = 0; pair < proposals_a_rank * proposals_a_rank; ++pair) {
      const int number = dp.rank() == 0 ? pair % proposals_a_rank : pair / proposals_a_rank;
      decisions.push_back(
          coordinate_batch_across_dp(dp, {dp.rank(), dp.size()}, proposal_number(number), {}));
    }
    return decisions;
  });
  for (int pair = 0; pair < proposals_a_rank * proposals_a_rank; ++pair) {
    const auto at = static_cast<std::size_t>(pair);
    REQUIRE(outcomes[0].value);
    REQUIRE(outcomes[1].value);
    INFO(pair);
    CHECK(
        wrong({proposal_number(pair % proposals_a_rank), proposal_number(pair / proposals_a_rank)},
              {outcomes[0].value->at(at), outcomes[1].value->at(at)}) == "");
  }
}

TEST_CASE("I25: lockstep: up to eight ranks decide the same") {
  for (int size = 3; size <= 8; ++size) {
    const auto outcomes = run_world({.size = size}, [](Communicator& dp) {
      std::vector<BatchDecision> decisions;
      for (int round = 0; round < 40; ++round) {
        const auto number = static_cast<int>(mix(5, round, dp.rank(), 0) % proposals_a_rank);
        decisions.push_back(
            coordinate_batch_across_dp(dp, {dp.rank(), dp.size()}, proposal_number(number), {}));
      }
      return decisions;
    });
    for (int round = 0; round < 40; ++round) {
      std::vector<BatchProposal> proposals;
      std::vector<BatchDecision> decisions;
      for (int rank = 0; rank < size; ++rank) {
        const auto number = static_cast<int>(mix(5, round, rank, 0) % proposals_a_rank);
        proposals.push_back(proposal_number(number));
        decisions.push_back(
            outcomes[static_cast<std::size_t>(rank)].value->at(static_cast<std::size_t>(round)));
      }
      CHECK(wrong(proposals, decisions) == "");
    }
  }
}

TEST_CASE("I16: lockstep: ranks make the same calls and do what the plan says") {
  int num_worlds = 0;
  for (int size = 1; size <= 4; ++size) {
    for (std::uint64_t seed = 0; seed < 12; ++seed) {
      const EngineSettings settings = drawn_settings(seed, size);
      const auto outcomes = run_owned({.size = size}, [&](std::unique_ptr<Communicator> wire) {
        return live_story(std::move(wire), settings);
      });
      const std::vector<PlannedStep> plan = planned_steps(settings, size, 4096);
      INFO("size " << size << " seed " << seed);
      for (int rank = 0; rank < size; ++rank) {
        const auto at = static_cast<std::size_t>(rank);
        INFO(outcomes[at].error);
        REQUIRE(outcomes[at].value);
        CHECK(outcomes[at].value->collectives == outcomes[0].value->collectives);
        CHECK(outcomes[at].value->steps == planned_words(plan, at));
      }
      if (size > 1) CHECK(plan.size() % steps_between_votes == 0);
      ++num_worlds;
    }
  }
  CHECK(num_worlds == 48);
}

TEST_CASE("lockstep: no request is lost, every token is run") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const int size = 1 + static_cast<int>(seed % 4);
    const EngineSettings settings = drawn_settings(seed, size);
    Count wanted = 0;
    for (const EngineRequest& request : settings.requests) {
      wanted += request.prompt + request.output - 1;
    }
    Count ran = 0;
    for (const PlannedStep& step : planned_steps(settings, size, 4096)) {
      for (const EngineStep& one : step.of_rank) {
        if (one.kind == BatchKind::real) ran += one.proposal.num_tokens;
        CHECK((one.kind == BatchKind::real || one.proposal.num_tokens == 1));
      }
    }
    INFO(seed);
    CHECK(ran == wanted);
  }
}

TEST_CASE("lockstep: a rank that leaves out its dummy batch is named before a row moves (MF-38)") {
  const EngineSettings settings{.requests = {{.dp_rank = 0, .prompt = 3, .output = 9}}};
  const auto outcomes = run_owned({.size = 2}, [&](std::unique_ptr<Communicator> wire) {
    TracedCommunicator dp(std::move(wire), Agreement::checked);
    LockstepEngine engine(dp, {dp.rank(), dp.size()}, settings);
    for (int step = 0; step < 4; ++step) {
      dp.enter({step, -1, -1});
      if (step == 2 && dp.rank() == 1) {
        engine.skip_step();
        continue;
      }
      engine.next_step();
      engine.end_step();
    }
    return 0;
  });
  for (const auto& outcome : outcomes) {
    CHECK(outcome.kind == "SEQ");
    CHECK(contains(outcome.error,
                   "rank 0 is at operation 2 (all_reduce, step 2) while rank 1 is "
                   "at operation 2 (all_reduce, step 3)"));
  }
}

TEST_CASE("lockstep: configurations are compared before the first step") {
  const auto said = [](int size, int odd_rank) {
    return run_world({.size = size}, [odd_rank](Communicator& dp) {
      check_same_config(dp, dp.rank() == odd_rank ? "tp 2, naive" : "tp 2, allgather");
      return 0;
    });
  };
  for (const auto& outcome : said(4, -1)) CHECK(outcome.value == 0);
  for (const auto& outcome : said(4, 2)) {
    CHECK(outcome.kind == "SystemError");
    CHECK(contains(outcome.error, "different configurations"));
    CHECK(contains(outcome.error, "rank 2"));
  }
}
