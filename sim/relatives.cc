// Factorings merge neighbouring DP ranks, which keeps the numbers of all tokens; orders change who
// holds which number (world_inputs.cc). Rows are compared by number.

#include "sim/relatives.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

#include "kernels/base/text.h"
#include "sim/placement_choice.h"
#include "sim/scenario_keys.h"
#include "sim/scenario_map.h"

namespace moe::sim {
namespace {

const std::vector<std::string> known_changes = {"factoring", "placement", "token_order",
                                                "rank_order"};

// Steps of as many ranks, each the sum of neighbours.
std::vector<std::vector<Count>> merged_steps(const Scenario& scenario, int dp) {
  std::vector<std::vector<Count>> merged;
  const int neighbours = scenario.world.dp / dp;
  for (const std::vector<Count>& step : scenario.steps) {
    std::vector<Count>& sums = merged.emplace_back();
    for (auto rank = step.begin(); rank != step.end(); rank += neighbours) {
      sums.push_back(std::accumulate(rank, rank + neighbours, Count{0}));
    }
  }
  return merged;
}

// The same tokens over dp × tp ranks.
Scenario factored(const Scenario& scenario, int dp, int tp) {
  Scenario other = scenario;
  other.steps = merged_steps(scenario, dp);
  other.world.dp = dp;
  other.world.tp = tp;
  other.world.sequence_parallel = scenario.world.sequence_parallel && tp > 1;
  if (scenario.max_num_batched_tokens) {
    *other.max_num_batched_tokens *= scenario.world.dp / dp;
  }
  return other;
}

void add_factorings(const Scenario& scenario, std::vector<Relative>& relatives) {
  const WorldSpec& world = scenario.world;
  const int num_ranks = world.dp * world.tp;
  for (int dp = world.dp; dp >= 1; --dp) {
    if (world.dp % dp != 0) continue;
    std::vector<int> widths = {num_ranks / dp};
    if (num_ranks > dp) widths.push_back(1);
    for (const int tp : widths) {
      if (dp == world.dp && tp == world.tp) continue;
      relatives.push_back({"M-EP", text("on dp ", dp, " x tp ", tp), factored(scenario, dp, tp)});
    }
  }
}

// The scenario with the placement that its experts do not have on such a backend.
Relative placed_the_other_way(const Scenario& scenario, const Capabilities& capabilities) {
  Relative other{"M-PERM", "", scenario};
  const bool is_linear = placement_in(scenario, capabilities).placement == Placement::linear;
  other.scenario.model.placement = is_linear ? Placement::round_robin : Placement::linear;
  other.words = text("with experts placed ", is_linear ? "round robin" : "linear");
  return other;
}

// A change of the order, or of who holds which tokens.
Relative reordered(const std::string& change, const Scenario& scenario) {
  Relative other{"M-PERM", "", scenario};
  if (change == "token_order") {
    other.scenario.token_order = TokenOrder::tokens_reversed;
    other.words = "with each rank's tokens in reverse";
  } else {
    other.scenario.token_order = TokenOrder::ranks_reversed;
    for (std::vector<Count>& step : other.scenario.steps) std::ranges::reverse(step);
    other.words = "with the ranks in reverse";
  }
  return other;
}

using RowName = std::tuple<int, int, Count>;  // step, layer, token among all of the step

struct FoundRow {
  std::size_t rank = 0;
  OutputRow row;
};

// Each token's rows, ranks ascending.
using FoundRows = std::map<RowName, std::vector<FoundRow>>;

FoundRows rows_by_name(const std::vector<RankOutputs>& outputs) {
  FoundRows rows;
  for (std::size_t rank = 0; rank < outputs.size(); ++rank) {
    for (const OutputRow& row : outputs[rank].rows) {
      rows[{row.cell.step, row.cell.layer, row.number}].push_back({rank, row});
    }
  }
  return rows;
}

std::string words_of(const FoundRow& found) {
  return text("step ", found.row.cell.step, ", layer ", found.row.cell.layer, ", token ",
              found.row.token, " of rank ", found.rank);
}

// Whether as many ranks as hold a token have a row of it; where: the world, "here" or "there".
std::string missing_row(const FoundRows& rows, const FoundRow& wanted, int holders,
                        std::string_view where) {
  const OutputRow& row = wanted.row;
  const auto found = rows.find({row.cell.step, row.cell.layer, row.number});
  const std::size_t count = found == rows.end() ? 0 : found->second.size();
  if (count == static_cast<std::size_t>(holders)) return {};
  if (count == 0) return text(words_of(wanted), " has no row ", where);
  std::vector<std::size_t> ranks;
  for (const FoundRow& one : found->second) ranks.push_back(one.rank);
  return text(words_of(wanted), " has rows on ranks [", joined(ranks), "] ", where, ", due are ",
              holders);
}

// The same token's rows of two worlds, each against the other world's first.
std::string byte_difference(const std::vector<FoundRow>& ones,
                            const std::vector<FoundRow>& others) {
  const auto difference = [](const FoundRow& one, const FoundRow& other) {
    return text(words_of(one), " has other bytes there, as token ", other.row.token, " of rank ",
                other.rank, ": column 0 is ", one.row.first, " here and ", other.row.first);
  };
  for (const FoundRow& one : ones) {
    if (one.row.digest != others.front().row.digest) return difference(one, others.front());
  }
  for (const FoundRow& other : others) {
    if (ones.front().row.digest != other.row.digest) return difference(ones.front(), other);
  }
  return {};
}

// What no relative of a scenario can be made of.
std::string why_without_relatives(const Scenario& scenario) {
  if (scenario.values != Values::integers) return "only exact worlds promise equal bytes (values)";
  if (scenario.eplb) return "where load moves experts, worlds are not alike (eplb)";
  if (scenario.engine) return "engines decide who runs what (engine)";
  if (scenario.world.pcp > 1) return "PCP cuts tokens by their ranks (world.pcp)";
  const RoutingSpec& routing = scenario.routing;
  if (std::holds_alternative<TraceRouting>(routing)) return "a trace says its ranks (routing)";
  if (std::holds_alternative<HotRankRouting>(routing)) return "a hot rank is a place (routing)";
  return "";
}

}  // namespace

void read_same_under(const YamlNode& node, Scenario& scenario) {
  if (node.kind != YamlKind::sequence || node.items.empty()) {
    refuse_at(node, "same_under", no_list_of(node, "changes"));
  }
  if (const std::string why = why_without_relatives(scenario); !why.empty()) {
    refuse_at(node, "same_under", why);
  }
  for (const YamlNode& item : node.items) {
    const std::string where = text("same_under[", scenario.same_under.size(), "]");
    chosen_at(item, where, known_changes);
    if (std::ranges::count(scenario.same_under, item.scalar) > 0) {
      refuse_at(item, where, text("'", item.scalar, "' is given twice"));
    }
    scenario.same_under.push_back(item.scalar);
  }
}

std::vector<Relative> relatives_of(const Scenario& scenario, const std::string& change,
                                   const Capabilities& capabilities) {
  // same_under stays in each: it makes ranks note their rows.
  std::vector<Relative> relatives;
  if (change == "factoring") {
    add_factorings(scenario, relatives);
  } else if (change == "placement") {
    Relative other = placed_the_other_way(scenario, capabilities);
    const bool is_other = placement_in(other.scenario, capabilities).placement !=
                          placement_in(scenario, capabilities).placement;
    if (is_other) relatives.push_back(std::move(other));
  } else {
    relatives.push_back(reordered(change, scenario));
  }
  return relatives;
}

std::string row_difference(const WorldOutputs& ones, const WorldOutputs& others) {
  const FoundRows here = rows_by_name(ones.ranks);
  const FoundRows there = rows_by_name(others.ranks);
  for (const auto& [name, rows] : here) {
    std::string missing = missing_row(here, rows.front(), ones.holders, "here");
    if (missing.empty()) missing = missing_row(there, rows.front(), others.holders, "there");
    if (!missing.empty()) return missing;
    const std::string difference = byte_difference(rows, there.at(name));
    if (!difference.empty()) return difference;
  }
  for (const auto& [name, rows] : there) {
    const std::string missing = missing_row(here, rows.front(), ones.holders, "here");
    if (!missing.empty()) return text("of the other world ", missing);
  }
  return {};
}

}  // namespace moe::sim
