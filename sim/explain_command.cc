// moebius explain: which token of which step of which scenario, then its story. Everything that is
// not said has a default that shows something: the first step with tokens, the first token.

#include <iostream>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/backend_choice.h"
#include "sim/commands.h"
#include "sim/dp_chunks.h"
#include "sim/explanation.h"
#include "sim/run.h"
#include "sim/scenario_reader.h"

namespace moe::sim {
namespace {

// The value of an option if the scenario has it.
int within(const std::string& option, int value, int limit, const std::string& things) {
  if (value >= 0 && value < limit) return value;
  throw ScenarioError(text(option, " ", value, ": ", things, " 0 to ", limit - 1));
}

Scenario chosen_scenario(const ExplainCommand& command, const DataFolders& folders) {
  const auto files = scenario_files({command.path}, folders.scenarios);
  if (files.size() != 1) {
    throw ScenarioError(
        text(command.path, ": explain takes one scenario, and this is a folder of ", files.size()));
  }
  return load_scenario({folders, files.front().string(), "", {}, {}, {}});
}

RunLine chosen_line(const ExplainCommand& command, const LoadedScenario& loaded,
                    const Surroundings& surroundings) {
  const std::vector<RunLine> lines = lines_of(loaded.scenario, {});
  const int line = within("--run", command.run.value_or(0), static_cast<int>(lines.size()),
                          text(loaded.scenario.name, " has run lines"));
  RunLine chosen = lines[static_cast<std::size_t>(line)];
  chosen.ranks = RanksAre::threads;  // how ranks run changes nothing that is explained
  check_line(loaded, chosen, {{}, {}, surroundings.program, surroundings.stop});
  return chosen;
}

class Choice {
 public:
  Choice(const ExplainCommand& command, const WorldInputs& inputs)
      : command_(command), inputs_(inputs) {
    layer_ = within("--layer", command.layer.value_or(0), inputs.num_layers(),
                    "the scenario has layers");
    if (command.rank) {
      within("--rank", *command.rank, static_cast<int>(std::ssize(inputs.tokens(0))),
             "the world has DP ranks with tokens");
    }
    if (command.step) {
      within("--step", *command.step, inputs.num_steps(), "the scenario has steps");
    }
    step_ = command.step.value_or(first_step());
  }

  int step() const { return step_; }
  int layer() const { return layer_; }
  Count token() const { return command_.token.value_or(0); }

  // The asked-for rank, or the first that holds the token.
  golden::Cell cell() const {
    const int rank = rank_in(step_);
    if (rank >= 0) return {step_, layer_, rank};
    throw ScenarioError(text(
        "--token ", token(), ": ",
        command_.rank ? text("DP rank ", *command_.rank, " does not hold") : "no DP rank holds",
        " so many tokens in step ", step_, ": the DP ranks hold ", joined(inputs_.tokens(step_)),
        ", counted from 0"));
  }

  // Whether the token can be shown without asking for more than the user did.
  bool has_token() const { return rank_in(step_) >= 0; }

 private:
  int rank_in(int step) const {
    const RowCounts tokens = inputs_.tokens(step);
    for (int rank = 0; rank < static_cast<int>(std::ssize(tokens)); ++rank) {
      if (command_.rank && *command_.rank != rank) continue;
      if (token() >= 0 && token() < tokens[static_cast<std::size_t>(rank)]) return rank;
    }
    return -1;
  }

  // The first step that has the token, else the first.
  int first_step() const {
    for (int step = 0; step < inputs_.num_steps(); ++step) {
      if (rank_in(step) >= 0) return step;
    }
    return 0;
  }

  const ExplainCommand& command_;
  const WorldInputs& inputs_;
  int step_ = 0;
  int layer_ = 0;
};

// The broadcast as vLLM shipped it goes wrong where ranks of a TP group hold the same rows.
bool reproduces_defect(const Scenario& scenario, const BackendChoice& choice) {
  const WorldSpec& world = scenario.world;
  return choice.naive_form == NaiveForm::ep_group_as_shipped &&
         choice.backend->capabilities.dispatch_move == DispatchMove::broadcast && world.dp > 1 &&
         world.tp > 1 && !world.sequence_parallel;
}

// Throws where the step that is told goes in several chunks.
void check_one_call(const LoadedScenario& loaded, const RunLine& line, int step) {
  const auto chunking = dp_chunks_of(loaded.scenario, line);
  if (!chunking) return;
  const int number = num_chunks(*chunking, loaded.scenario.world, loaded.inputs.tokens(step));
  if (number == 1) return;
  throw ScenarioError(text("explain: step ", step, " is ", number, " calls of at most ",
                           chunking->rows_max, " rows under profile ", line.profile,
                           " (DP chunks), which is not told yet"));
}

// The backend that the line's profile and platform give. Throws where there is no way to tell of.
std::string explained_backend(const Scenario& scenario, const RunLine& line) {
  if (const auto* refused = std::get_if<ExpectedError>(&scenario.end)) {
    throw ScenarioError(
        text(scenario.name, ": nothing to explain: it expects to end with '", refused->text, "'"));
  }
  const BackendChoice choice = backend_choice(scenario, line);
  if (choice.backend == nullptr) {
    throw ScenarioError(
        text(scenario.name, ": nothing to explain: ", choice.decision.error, choice.absence));
  }
  if (!scenario.world.masked_ranks.empty()) {
    throw ScenarioError(text(scenario.name, ": explain does not tell of masked ranks yet"));
  }
  if (std::holds_alternative<ExpectedDifference>(scenario.end) ||
      reproduces_defect(scenario, choice) ||
      collectives_of(scenario, line) == CollectivesRun::on_the_world) {
    throw ScenarioError(text(scenario.name,
                             ": explain tells the right way of a token, and this line "
                             "reproduces a defect: see --run for others, or defects: []"));
  }
  return choice.decision.backend;
}

}  // namespace

int explain_command(const ExplainCommand& command, const Surroundings& surroundings) {
  const LoadedScenario loaded(chosen_scenario(command, surroundings.folders));
  const RunLine line = chosen_line(command, loaded, surroundings);
  ExplainedWorld world =
      explained_world(loaded.scenario, loaded.inputs, explained_backend(loaded.scenario, line));
  world.profile = line.profile;
  const Choice choice(command, loaded.inputs);
  check_one_call(loaded, line, choice.step());
  const bool asks_token = command.token || command.rank;
  const bool asks_step = command.step && !asks_token;
  if (!asks_token) {
    std::cout << step_explanation_text(world, explain_step(world, choice.step(), choice.layer()));
  }
  if (!asks_step) {
    const TokenExplanation token = explain_token(world, choice.cell(), choice.token());
    std::cout << (asks_token ? "" : "\n\n") << token_explanation_text(world, token);
  } else if (choice.has_token()) {
    const bool has_groups = loaded.scenario.world.tp > 1;
    std::cout << "\nOne token's way" << (has_groups ? " (--rank counts DP ranks):\n" : ": ")
              << "moebius explain " << command.path << " --step " << choice.step() << " --rank "
              << choice.cell().rank << " --token 0\n";
  }
  return 0;
}

}  // namespace moe::sim
