// The way of one token as text for people who see the layer for the first time: every number has
// its column, every word of the trade is said in plain words once.

#include <algorithm>

#include "kernels/base/text.h"
#include "sim/explanation.h"
#include "sim/text_layout.h"

namespace moe::sim {
namespace {

constexpr std::size_t columns_shown_max = 4;
constexpr std::size_t label_width = 44;
constexpr std::size_t number_width = 11;
constexpr std::size_t score_width = 13;

std::string column_heads(std::size_t columns) {
  std::string line = text("   ", padded("", label_width));
  for (std::size_t i = 0; i < std::min(columns_shown_max, columns); ++i) {
    line += right_aligned(text("column ", i), number_width);
  }
  return line + "\n";
}

// A rule above a sum.
std::string rule(std::size_t columns) {
  const std::size_t width = std::min(columns_shown_max, columns) * number_width;
  return text("   ", std::string(label_width, ' '), " ", std::string(width - 1, '-'), "\n");
}

// The ranks of one TP group, which follow each other: "0 and 1", "0 to 6".
std::string numbers_of(const std::vector<int>& ranks) {
  return text(ranks.front(), ranks.size() == 2 ? " and " : " to ", ranks.back());
}

// Which of the holders is told of, where one is.
std::string told_sender(const ExplainedWorld& world, const TokenExplanation& token) {
  if (token.homes.size() == token.holders.size()) return "";
  if (sends_replicas(world)) {
    return text(
        "   Each sends copies of its own and ends with the whole sum; this is the way of "
        "rank ",
        token.homes.front(), "'s.\n");
  }
  return text("   They share the sending out: this token is sent by rank ", token.homes.front(),
              ", which hands the output to the others.\n");
}

std::string at_home(const ExplainedWorld& world, const TokenExplanation& token) {
  const auto dp_rank = static_cast<std::size_t>(token.cell.rank);
  const Count held = world.inputs.tokens(token.cell.step)[dp_rank];
  const std::string who =
      token.holders.size() > 1
          ? text("Each of the ranks ", numbers_of(token.holders), " (one tensor-parallel group)")
      : world.scenario.world.sequence_parallel
          ? text("The tensor-parallel group of rank ", token.homes.front())
          : text("Rank ", token.homes.front());
  return text("1. The token at home\n   ", who, " holds ", counted(held, "token"), "; this is its ",
              ordinal(token.token + 1), ".\n", told_sender(world, token),
              "   The layer's input for it is one row, its hidden state x. Only its first "
              "columns are shown here,\n   and all that is done to them.\n",
              column_heads(token.hidden_state.size()), explained_row_text("x", token.hidden_state),
              "\n");
}

std::string choice_text(const ExplainedChoice& choice, const std::vector<int>& homes) {
  const std::string start = text("   slot ", choice.slot, "   ");
  if (choice.expert < 0) return text(start, "masked: this choice counts for nothing\n");
  return text(start, padded(text("expert ", choice.expert), 13),
              padded(text("weight ", brief(static_cast<double>(choice.weight))), 17),
              "lives on rank ", choice.rank, " as its local expert ", choice.local_expert,
              std::ranges::count(homes, choice.rank) > 0 ? "  (at home)" : "", "\n");
}

// How the router comes from logits to a choice, in words: one fact a line.
std::string router_words(const ModelSpec& model) {
  std::string out = text("   (The router makes a score of each logit, by ",
                         model.scoring == Scoring::sigmoid ? "sigmoid" : "softmax", ". The ",
                         model.top_k, " best are chosen,\n   of equals the lower expert.");
  if (model.renormalize) out += "\n   A share is a chosen score's part of their sum.";
  if (model.correction_bias) out += "\n   The bias is for the choice alone.";
  if (model.num_expert_groups > 1) {
    out += text("\n   Only experts of the best ", model.topk_group, " of ", model.num_expert_groups,
                " groups count.");
  }
  return out + ")\n";
}

// One expert; its share is of the chosen experts' sum.
std::string score_row(const ModelSpec& model, const ExplainedScore& score, double sum) {
  const std::string with_bias =
      model.correction_bias ? right_aligned(brief(score.decides()), score_width) : "";
  const std::string share =
      model.renormalize && sum > 0 ? text(", share ", brief(score.score / sum)) : "";
  return text("   ", padded(text("expert ", score.expert), 13),
              right_aligned(brief(score.logit), score_width),
              right_aligned(brief(score.score), score_width), with_bias,
              score.slot < 0 ? "   not chosen" : text("   chosen, slot ", score.slot, share), "\n");
}

// The experts' scores: all that were chosen, and the nearest of those that were not. The share is
// the weight that a model would apply.
std::string scores_text(const ExplainedWorld& world, const TokenExplanation& token) {
  constexpr std::size_t others_shown_max = 4;
  if (token.scores.empty()) return "";
  const ModelSpec& model = world.scenario.model;
  double sum = 0;
  for (const ExplainedScore& score : token.scores) sum += score.slot >= 0 ? score.score : 0;
  const std::size_t shown =
      std::min(token.scores.size(), static_cast<std::size_t>(model.top_k) + others_shown_max);
  std::string out = router_words(model);
  out += text("   ", padded("", 13), right_aligned("logit", score_width),
              right_aligned("score", score_width),
              model.correction_bias ? right_aligned("with bias", score_width) : "", "\n");
  for (std::size_t i = 0; i < shown; ++i) {
    out += score_row(model, token.scores[i], sum);
  }
  const std::size_t hidden = token.scores.size() - shown;
  if (hidden > 0) out += text("   and ", hidden, " more that were not chosen\n");
  return text(
      out, "   (A model weighs by ", model.renormalize ? "the shares" : "the scores",
      ". This exact world puts whole weights in their place, so that\n   no sum rounds.)\n");
}

std::string router(const ExplainedWorld& world, const TokenExplanation& token) {
  std::string out =
      text("2. The router's choice, slot by slot: which of ", world.scenario.model.num_experts,
           " experts, and how much each counts (weight)\n", scores_text(world, token));
  for (const ExplainedChoice& choice : token.choices) out += choice_text(choice, token.homes);
  return out + "\n";
}

std::string way_text(int source, int rank) {
  return padded(
      rank == source ? text("stays on rank ", rank) : text("rank ", source, " -> rank ", rank), 22);
}

// The row as it comes to a rank, with the ids that it reads there.
std::string arrival_text(const ExplainedWorld& world, const TokenExplanation& token, int rank) {
  std::vector<std::string> experts;
  for (const ExplainedChoice& choice : token.choices) {
    if (choice.rank == rank) experts.push_back(text(choice.expert));
  }
  const std::string why =
      experts.empty() ? "no chosen expert lives there" : text("for expert ", joined(experts));
  const bool keeps_ids = world.capabilities.foreign_choices == ForeignChoices::as_sent;
  return text("   ", way_text(source_of(token, rank), rank), why,
              keeps_ids ? "" : text("; its ids are read as ", joined(ids_read(world, token, rank))),
              "\n");
}

std::string dispatch(const ExplainedWorld& world, const TokenExplanation& token) {
  const bool is_for_slots = world.capabilities.dispatch_move == DispatchMove::slot_messages;
  std::string out =
      text("3. Dispatch: ",
           is_for_slots ? "the row travels, with its number; the weights stay at home"
                        : "the row travels, the numbers of its experts and its weights with it",
           "\n", reach_text(world, token.cell.layer));
  for (const ExplainedChoice& choice : token.choices) {
    if (!is_for_slots || choice.expert < 0) continue;
    out += text("   ", way_text(token.homes.front(), choice.rank), "into the room of expert ",
                choice.expert, ", for slot ", choice.slot, "\n");
  }
  for (const int rank : token.reached) {
    if (!is_for_slots) out += arrival_text(world, token, rank);
  }
  if (token.reached.empty()) out += "   Nothing is sent: every choice is masked.\n";
  return out + "\n";
}

std::string expert_words(golden::ExpertKernel kernel) {
  if (kernel == golden::ExpertKernel::probe) {
    return "   (Experts here are probes: each flips the signs of its own set of columns, so a row "
           "that\n   met the wrong expert shows.)\n";
  }
  if (kernel == golden::ExpertKernel::real) {
    return "   (Two matrices with an activation between them, full of numbers like those of a real "
           "model.)\n";
  }
  return "   (Two matrices with relu squared between them, made so that all numbers stay whole.)\n";
}

std::string experts(const ExplainedWorld& world, const TokenExplanation& token) {
  std::string out =
      text("4. The experts compute, each on its own rank\n",
           expert_words(world.scenario.model.kernel), column_heads(token.hidden_state.size()));
  const std::string codes = quantising_text(world, token.quantising);
  if (token.quantising.row.recipe == QuantRecipe::none) {
    out += explained_row_text("x", token.hidden_state);
  }
  out += codes;
  for (const ExplainedChoice& choice : token.choices) {
    if (choice.expert < 0) continue;
    out += explained_row_text(
        text("E", choice.expert, "(x), by expert ", choice.expert, " on rank ", choice.rank),
        choice.output);
  }
  return out + "\n";
}

std::string weighting_words(Weighting weighting) {
  switch (weighting) {
    case Weighting::separate:
      return "each product is rounded, then added";
    case Weighting::whole:
      return "each product is added before it is rounded (fma)";
    default:
      return "rows are added as they are";
  }
}

std::string stage_title(const ExplainedStage& stage, const TokenExplanation& token) {
  const int source = token.homes.front();
  if (stage.over_tp) {
    return text("Ranks ", numbers_of(token.homes),
                " add their sums (an all-reduce over the tensor-parallel group)");
  }
  if (stage.stage.operands == Operands::ranks && token.homes.size() > 1) {
    return text("Combine: each of the ranks ", numbers_of(token.homes),
                " adds the partial rows that come home to it");
  }
  switch (stage.stage.operands) {
    case Operands::local_slots:
      return "Each rank weights and adds what its own experts made, slot by slot";
    case Operands::all_slots:
      return text("Combine: rank ", source, " weights and adds what came home, slot by slot");
    default:
      return text("Combine: the partial rows come home and rank ", source,
                  " adds them, rank by rank from the lowest");
  }
}

std::string addend_label(const TokenExplanation& token, const ReductionStage& stage,
                         const Addend& addend) {
  if (addend.slot < 0) return text("partial row of rank ", addend.rank);
  const ExplainedChoice& choice = token.choices[static_cast<std::size_t>(addend.slot)];
  if (stage.weighting == Weighting::none) return text("slot ", addend.slot, ": E", choice.expert);
  return text("slot ", addend.slot, ": ", brief(static_cast<double>(choice.weight)), " x E",
              choice.expert, "(x)");
}

std::vector<double> weighted(const TokenExplanation& token, const ReductionStage& stage,
                             const Addend& addend) {
  std::vector<double> values = addend.values;
  if (addend.slot < 0 || stage.weighting == Weighting::none) return values;
  const float weight = token.choices[static_cast<std::size_t>(addend.slot)].weight;
  for (double& value : values) value *= static_cast<double>(weight);
  return values;
}

std::string sum_text(const TokenExplanation& token, const ExplainedStage& stage,
                     const ExplainedSum& sum, const std::string& result) {
  std::string out;
  for (const Addend& addend : sum.addends) {
    const std::string who = &addend == sum.addends.data() && stage.sums.size() > 1
                                ? text("rank ", sum.rank)
                                : std::string();
    out += explained_row_text(
        text(padded(who, stage.sums.size() > 1 ? 10 : 0), addend_label(token, stage.stage, addend)),
        weighted(token, stage.stage, addend));
  }
  if (sum.addends.empty() && stage.sums.size() == 1) return explained_row_text(result, sum.result);
  if (sum.addends.empty()) {
    out += explained_row_text(
        text(padded(text("rank ", sum.rank), 10), "none of its experts was chosen"), sum.result);
    return out;
  }
  if (sum.addends.size() > 1) out += rule(token.hidden_state.size());
  return out + explained_row_text(result, sum.result);
}

std::string stage_text(const ExplainedWorld& world, const TokenExplanation& token,
                       std::size_t index) {
  const ExplainedStage& stage = token.stages[index];
  const bool is_last = index + 1 == token.stages.size();
  const bool is_output = token.runner.factor == 1 && token.runner.shared.empty();
  std::string out = text(
      5 + index, ". ", stage_title(stage, token), "\n   (", 8 * size_of(stage.stage.accumulator),
      "-bit sums: ", weighting_words(stage.stage.weighting), "; the result is stored as ",
      name_of(world.scenario.model.dtype), ")\n",
      stage.stage.ordered ? "" : "   (the library that adds promises no order)\n",
      column_heads(token.hidden_state.size()));
  for (const ExplainedSum& sum : stage.sums) {
    const std::string result = is_last ? (is_output ? "output" : "routed sum")
                                       : text("          partial row of rank ", sum.rank);
    out += sum_text(token, stage, sum, result);
  }
  return out + "\n";
}

// What the runner does to the routed sum before it is the layer's output.
std::string runner_text(const ExplainedWorld& world, const TokenExplanation& token) {
  const ExplainedRunner& runner = token.runner;
  if (runner.factor == 1 && runner.shared.empty()) return "";
  const bool has_shared = !runner.shared.empty();
  std::string out = text(
      5 + token.stages.size(), ". The routed sum ",
      runner.factor == 1 ? "" : text("times the factor ", brief(runner.factor)),
      runner.factor != 1 && has_shared ? ", " : "",
      has_shared ? "and the shared expert, which every token visits at home" : "", "\n",
      shared_is_cut(world.scenario)
          ? text("   (Ranks ", numbers_of(token.holders), " hold a part of it each. ",
                 world.capabilities.output_is_reduced
                     ? "They add their parts, then the sum to what came home.)\n"
                     : "Each adds its part before the all-reduce, which makes\n   the same sum in "
                       "another order.)\n")
          : "",
      "   (each result is stored as ", name_of(world.scenario.model.dtype), ")\n",
      column_heads(token.output.size()));
  if (runner.factor != 1) {
    out += explained_row_text(has_shared ? text(brief(runner.factor), " x routed sum") : "output",
                              runner.scaled);
  }
  if (!has_shared) return out + "\n";
  return text(out, explained_row_text("S(x), by the shared expert", runner.shared),
              rule(token.output.size()), explained_row_text("output", token.output), "\n");
}

std::string judgement(const TokenExplanation& token) {
  const std::size_t columns = token.output.size();
  std::size_t equal = 0;
  for (std::size_t i = 0; i < columns; ++i) equal += token.output[i] == token.expected[i] ? 1 : 0;
  const std::string said = equal == columns ? text("says the same in all ", columns, " columns")
                                            : text("says the same in ", equal, " of ", columns,
                                                   " columns;\nthe rest differ by rounding");
  return text("The oracle (plain loops that know of no ranks) ", said, ".\n");
}

}  // namespace

std::string explained_words_text(const std::string& label, const std::vector<std::string>& words) {
  std::string line = text("   ", padded(label, label_width));
  for (std::size_t i = 0; i < std::min(columns_shown_max, words.size()); ++i) {
    line += right_aligned(words[i], number_width);
  }
  return line + "\n";
}

std::string explained_row_text(const std::string& label, const std::vector<double>& values) {
  std::vector<std::string> words;
  for (const double value : values) words.push_back(brief(value));
  return explained_words_text(label, words);
}

std::string token_explanation_text(const ExplainedWorld& world, const TokenExplanation& token) {
  std::string out = text(
      explanation_header(
          world,
          text("token ", token.token, world.scenario.world.tp == 1 ? " of rank " : " of DP rank ",
               token.cell.rank, " in step ", token.cell.step, ", layer ", token.cell.layer)),
      at_home(world, token), router(world, token), dispatch(world, token), experts(world, token));
  for (std::size_t index = 0; index < token.stages.size(); ++index) {
    out += stage_text(world, token, index);
  }
  return out + runner_text(world, token) + judgement(token);
}

}  // namespace moe::sim
