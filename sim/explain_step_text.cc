// All tokens of one step as text: who holds how many, which rows travel where, which experts have
// how much to do.

#include <algorithm>

#include "kernels/base/text.h"
#include "sim/dispatched_tokens.h"
#include "sim/explanation.h"
#include "sim/text_layout.h"

namespace moe::sim {
namespace {

// Rows of a table of ranks: {from, to, …} with a total.
std::string count_row(const std::string& label, const std::vector<std::string>& cells) {
  std::string line = text("   ", padded(label, 12));
  for (const std::string& cell : cells) line += right_aligned(cell, 8);
  return line + "\n";
}

// Who holds a DP rank's tokens: a rank, or all ranks of a TP group.
std::string holders(int dp_rank, int tp) {
  const int first = dp_rank * tp;
  if (tp == 1) return text("rank ", padded(text(first), 3));
  return text("DP rank ", padded(text(dp_rank, ","), 5), "ranks ",
              padded(text(first, " to ", first + tp - 1), 8));
}

std::string padding_text(const StepExplanation& step) {
  if (step.num_padding == 0) return "";
  return text("   (", counted(step.num_padding, "row"),
              " of zeros more, so that all ranks of a group have as many: they choose the first\n"
              "   experts and travel like others)\n");
}

std::string tokens_text(const ExplainedWorld& world, const StepExplanation& step) {
  const WorldSpec& ranks = world.scenario.world;
  std::string out = "1. Tokens at home\n";
  for (std::size_t rank = 0; rank < step.tokens.size(); ++rank) {
    const Count held = step.tokens[rank];
    const std::string who = holders(static_cast<int>(rank), ranks.tp);
    const std::string idle =
        held > 0 ? "" : ": idle; still part of every exchange, or the others would wait";
    out += text("   ", who, right_aligned(text(held), 7), held == 1 ? " token" : " tokens", idle,
                "\n");
  }
  if (ranks.tp == 1) return out + "\n";
  return text(out, "   (tensor-parallel groups: ",
              ranks.sequence_parallel ? "their ranks share the tokens out"
                                      : "each of their ranks holds all these tokens",
              ")\n", padding_text(step), "\n");
}

struct Travel {
  Count away = 0;    // rows sent to another rank
  Count needed = 0;  // of these, rows that meet a chosen expert there
};

Travel travel_of(const StepExplanation& step) {
  Travel travel;
  for (std::size_t from = 0; from < step.sent.size(); ++from) {
    for (std::size_t to = 0; to < step.sent.size(); ++to) {
      if (from == to) continue;
      travel.away += step.sent[from][to];
      travel.needed += step.met[from][to];
    }
  }
  return travel;
}

// One line per rank where a table would be too wide.
std::string sent_by_rank(const StepExplanation& step) {
  std::string out;
  for (std::size_t rank = 0; rank < step.sent.size(); ++rank) {
    Count sent = 0;
    Count received = 0;
    for (std::size_t peer = 0; peer < step.sent.size(); ++peer) {
      if (peer == rank) continue;
      sent += step.sent[rank][peer];
      received += step.sent[peer][rank];
    }
    out += text("   rank ", padded(text(rank), 4), "sends ", right_aligned(text(sent), 8),
                ", receives ", right_aligned(text(received), 8), "\n");
  }
  return out;
}

std::string sent_table(const StepExplanation& step) {
  std::vector<std::string> heads;
  for (std::size_t to = 0; to < step.sent.size(); ++to) heads.push_back(text("to ", to));
  heads.emplace_back("sent");
  std::string out = count_row("", heads);
  for (std::size_t from = 0; from < step.sent.size(); ++from) {
    std::vector<std::string> cells;
    Count sent = 0;
    for (std::size_t to = 0; to < step.sent.size(); ++to) {
      const Count rows = step.sent[from][to];
      cells.push_back(from == to ? text("(", rows, ")") : text(rows));
      sent += from == to ? 0 : rows;
    }
    cells.push_back(text(sent));
    out += count_row(text("from rank ", from), cells);
  }
  return out;
}

std::string travel_text(const ExplainedWorld& world, const StepExplanation& step) {
  constexpr std::size_t table_ranks_max = 9;
  const Travel travel = travel_of(step);
  const bool is_narrow = step.sent.size() <= table_ranks_max;
  const TpSources sources = tp_sources(world.capabilities, world.scenario.world);
  const std::string parts =
      sources.are_split && sources.replicas > 1
          ? "   Then the ranks of a tensor-parallel group hand each other their outputs.\n"
          : "";
  return text("2. Dispatch: rows that each rank sends to each other rank; in brackets what stays\n",
              reach_text(world, step.layer), is_narrow ? sent_table(step) : sent_by_rank(step),
              "   ", counted(travel.away, "row"), " to another rank; ", travel.needed,
              " of them meet a chosen expert there, ", travel.away - travel.needed,
              " are sent for nothing.\n", arrivals_text(world, step),
              world.capabilities.combine_move == CombineMove::all_reduce
                  ? "   Combine adds the results of all rows on every rank, which keeps its own.\n"
                  : "   Combine sends as many rows of results back the same way.\n",
              parts, "\n");
}

std::string bar(Count value, Count most) {
  constexpr Count width = 40;
  const Count filled = most == 0 ? 0 : (value * width + most - 1) / most;
  return filled == 0 ? "" : "  " + std::string(static_cast<std::size_t>(filled), '#');
}

std::string loads_text(const ExplainedWorld& world, const StepExplanation& step) {
  constexpr std::size_t experts_listed_max = 32;
  const std::size_t num_experts = step.choices_of.size();
  const Count most = *std::ranges::max_element(step.choices_of);
  std::vector<Count> of_rank(step.sent.size());
  Count all = 0;
  std::string experts;
  for (std::size_t expert = 0; expert < num_experts; ++expert) {
    const Count choices = step.choices_of[expert];
    const int rank = world.expert_map.rank_of[expert];
    all += choices;
    of_rank[static_cast<std::size_t>(rank)] += choices;
    experts += text("   expert ", padded(text(expert), 5), "on rank ", padded(text(rank), 4),
                    right_aligned(text(choices), 8), bar(choices, most), "\n");
  }
  std::string ranks;
  for (std::size_t rank = 0; rank < of_rank.size(); ++rank) {
    ranks += text("   rank ", padded(text(rank), 3), right_aligned(text(of_rank[rank]), 7),
                  bar(of_rank[rank], *std::ranges::max_element(of_rank)), "\n");
  }
  const auto busiest = std::ranges::max_element(step.choices_of) - step.choices_of.begin();
  const auto without = std::ranges::count(step.choices_of, 0);
  return text("3. Loads: how many choices each expert computes, ", all, " in all",
              step.masked > 0 ? text(" (", step.masked, " more are masked)") : "", "\n",
              num_experts <= experts_listed_max ? experts : "", "   busiest: expert ", busiest,
              " with ", most, "; experts without work: ", without,
              "\n   The same, rank by rank; all wait for the one with the longest bar.\n", ranks);
}

}  // namespace

std::string explanation_header(const ExplainedWorld& world, const std::string& what) {
  const ModelSpec& model = world.scenario.model;
  const int num_ranks = world.expert_map.num_ranks();
  return text(
      world.scenario.name, ": ", what, "\n\n",
      "Ranks are the processes or threads that share the work. Each holds some of the tokens and\n"
      "some of the experts, which are small networks. A token's row visits the experts that it\n"
      "chose, wherever they live (dispatch), and the weighted sum of what they make of it comes\n"
      "home (combine).\n\nHere ",
      counted(num_ranks, "rank"), num_ranks == 1 ? " has " : " share ",
      counted(model.num_experts, "expert"), ", each token chooses ", model.top_k,
      " of them (top_k), and a row is ", model.hidden_size, " values\nof type ",
      name_of(model.dtype), ". How rows travel is decided by the backend ", world.backend, ".\n\n");
}

namespace {

// Where rows become codes, and what one row with its scales is on the wire.
std::string codes_text(const ExplainedWorld& world, int layer) {
  const ModelSpec& model = world.scenario.model;
  const auto way = recipe_on_wire(world.capabilities.quantization, model.quantization.activations);
  if (!way || way->at == QuantizedAt::nowhere) return "";
  const Count values = model.layer(layer).hidden_size;
  const std::string_view where = way->at == QuantizedAt::before_dispatch ? "before they are sent"
                                 : way->at == QuantizedAt::in_dispatch
                                     ? "by the dispatch itself"
                                     : "where they arrive, and travel as they are";
  return text(
      "   Rows become codes with scales (", recipe_row(way->recipe).name, ") ", where,
      ":\n   a row of ", values, " values is ",
      wire_row_bytes(world.capabilities, model.quantization.activations, values, model.dtype),
      " bytes on the wire.\n");
}

std::string moves_text(const ExplainedWorld& world, int layer) {
  const Capabilities& capabilities = world.capabilities;
  if (capabilities.dispatch_reach == DispatchReach::every_rank) {
    return "   This backend gathers: every row goes to every rank, wherever its experts live.\n";
  }
  if (capabilities.dispatch_reach == DispatchReach::own_rank) {
    return "   This backend moves nothing: all experts are at home.\n";
  }
  const bool is_for_slots = capabilities.dispatch_move == DispatchMove::slot_messages;
  const Count columns = columns_on_wire(world, layer);
  return text(
      is_for_slots
          ? "   This backend sends a row once for each choice, to the rank that owns the expert.\n"
          : "   This backend sends a row only to the ranks that own a chosen expert, once to "
            "each.\n",
      sends_replicas(world)
          ? "   Each rank of a tensor-parallel group sends all the group's tokens for itself.\n"
          : "",
      columns != world.scenario.model.layer(layer).hidden_size
          ? text("   Its library takes rows of ", columns,
                 " columns here: zeros fill them up on the wire.\n")
          : "");
}

}  // namespace

std::string reach_text(const ExplainedWorld& world, int layer) {
  return text(moves_text(world, layer), codes_text(world, layer));
}

std::string step_explanation_text(const ExplainedWorld& world, const StepExplanation& step) {
  return text(
      explanation_header(world, text("all tokens of step ", step.step, ", layer ", step.layer)),
      tokens_text(world, step), travel_text(world, step), loads_text(world, step));
}

}  // namespace moe::sim
