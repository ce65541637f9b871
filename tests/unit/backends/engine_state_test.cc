// One rank's engine without a wire: which batch it runs, when it votes, when a wave ends.
// Steps are counted by hand from vLLM's rules.

#include "backends/engine/engine_state.h"

#include "tests/catch.h"

using namespace moe;

namespace {

EngineSettings with_requests(std::vector<EngineRequest> requests) {
  return {.requests = std::move(requests)};
}

// Runs steps to their end; a step of votes is answered with what this rank says alone.
struct Ran {
  std::string kinds;  // r, d; | ends a wave
  std::vector<Count> tokens;
};
Ran run_alone(EngineState& engine, int steps_max = 200) {
  Ran ran;
  while (steps_max-- > 0) {
    const auto step = engine.next_step();
    if (!step) break;
    ran.kinds += step->kind == BatchKind::real ? 'r' : 'd';
    ran.tokens.push_back(step->proposal.num_tokens);
    const int wave = engine.wave();
    if (const auto own = engine.end_step()) engine.voted(*own);
    if (engine.wave() != wave) ran.kinds += '|';
  }
  return ran;
}

std::string times(int number, char letter) {
  return std::string(static_cast<std::size_t>(number), letter);
}

}  // namespace

TEST_CASE("engine: a rank whose work is done runs dummies until the 32nd step (T4)") {
  EngineState engine(with_requests({{.prompt = 5, .output = 3}}), 0, 2);
  const Ran ran = run_alone(engine);
  CHECK(ran.kinds == "rrr" + times(29, 'd') + "|");
  CHECK(ran.tokens[0] == 5);
  CHECK(ran.tokens[1] == 1);
  CHECK(ran.tokens[31] == 1);  // a dummy batch has one token
  CHECK(!engine.is_running());
  CHECK(engine.step_counter() == 0);
}

TEST_CASE("engine: work beyond the 32nd step goes on to the 64th") {
  EngineState engine(with_requests({{.prompt = 1, .output = 33}}), 0, 2);
  CHECK(run_alone(engine).kinds == times(33, 'r') + times(31, 'd') + "|");
}

TEST_CASE("engine: work that ends with the 32nd step runs no dummy") {
  EngineState engine(with_requests({{.prompt = 1, .output = 32}}), 0, 2);
  CHECK(run_alone(engine).kinds == times(32, 'r') + "|");
}

TEST_CASE("engine: a rank without requests runs dummies only, and one with a late one waits") {
  EngineState idle(with_requests({{.dp_rank = 1, .prompt = 2, .output = 2}}), 0, 2);
  CHECK(run_alone(idle).kinds == times(32, 'd') + "|");
  EngineState late(with_requests({{.dp_rank = 1}, {.dp_rank = 0, .arrives = 3, .prompt = 4}}), 0,
                   2);
  CHECK(run_alone(late).kinds == "dddr" + times(28, 'd') + "|");
}

TEST_CASE("engine: a request after a wave starts another one, ticks between are not run") {
  EngineState engine(with_requests({{.prompt = 1}, {.arrives = 100, .prompt = 7}}), 0, 2);
  const Ran ran = run_alone(engine);
  CHECK(ran.kinds == "r" + times(31, 'd') + "|r" + times(31, 'd') + "|");
  CHECK(ran.tokens[32] == 7);
  CHECK(engine.wave() == 2);
}

TEST_CASE("engine: alone, it asks nobody and stops with its work") {
  EngineState engine(with_requests({{.prompt = 2, .output = 2}}), 0, 1);
  CHECK(run_alone(engine).kinds == "rr|");
}

TEST_CASE("engine: prompts are cut to the budget, running requests come first") {
  EngineSettings settings =
      with_requests({{.prompt = 10, .output = 2}, {.prompt = 3, .output = 1}});
  settings.max_num_batched_tokens = 8;
  EngineState engine(settings, 0, 1);
  CHECK(run_alone(engine).tokens == std::vector<Count>{8, 5, 1});
}

TEST_CASE("engine: all ranks pause, or none") {
  EngineSettings settings = with_requests({{.prompt = 1, .output = 100}});
  settings.vote_form = VoteForm::sum_with_pause;
  EngineState engine(settings, 0, 2);
  engine.request_pause();
  for (int step = 0; step < 32; ++step) {
    REQUIRE(engine.next_step());
    const auto own = engine.end_step();
    CHECK(own.has_value() == (step == 31));
  }
  engine.voted({.unfinished = 1, .pausing = 1});
  CHECK(!engine.is_paused());
  engine.voted({.unfinished = 1, .pausing = 2});
  CHECK(engine.is_paused());
  CHECK(!engine.next_step());
  engine.resume();
  CHECK(engine.next_step());
  CHECK(engine.wave() == 0);
  CHECK(vote_form_of(profile_named("post-40412")) == VoteForm::any_unfinished);
  CHECK(vote_form_of(profile_named("late-2026")) == VoteForm::sum_with_pause);
}

TEST_CASE(
    "engine: a batch is padded to the next captured size, above the largest it has no graph") {
  EngineSettings settings;
  settings.graph_mode = GraphMode::full;
  settings.capture_sizes = {1, 2, 4, 8};
  const auto proposal = [&settings](Count tokens, BatchContent content) {
    return proposed_batch(settings, {tokens, content});
  };
  const auto decode = BatchContent::uniform_decode;
  CHECK(proposal(3, decode).num_tokens_padded == 4);
  CHECK(proposal(3, decode).graph_mode == GraphMode::full);
  CHECK(proposal(3, BatchContent::mixed).graph_mode == GraphMode::piecewise);
  CHECK(proposal(8, decode).num_tokens_padded == 8);
  CHECK(proposal(9, decode).num_tokens_padded == 9);
  CHECK(proposal(9, decode).graph_mode == GraphMode::none);
  settings.graph_mode = GraphMode::none;
  CHECK(proposal(3, decode).num_tokens_padded == 3);
}
