// Factorings merge neighbouring DP ranks, which keeps the numbers of all tokens; orders change who
// holds which number (world_inputs.cc). Rows are compared by number.

#include "sim/relatives.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

#include "kernels/base/text.h"
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

// The change of same_under, one world or several.
void add_relatives(const std::string& change, const Scenario& scenario,
                   std::vector<Relative>& relatives) {
  if (change == "factoring") return add_factorings(scenario, relatives);
  Relative other{"M-PERM", "", scenario};
  if (change == "placement") {
    const bool is_linear = scenario.model.placement == Placement::linear;
    other.scenario.model.placement = is_linear ? Placement::round_robin : Placement::linear;
    other.words = text("with experts placed ", is_linear ? "round robin" : "linear");
  } else if (change == "token_order") {
    other.scenario.token_order = TokenOrder::tokens_reversed;
    other.words = "with each rank's tokens in reverse";
  } else {
    other.scenario.token_order = TokenOrder::ranks_reversed;
    for (std::vector<Count>& step : other.scenario.steps) std::ranges::reverse(step);
    other.words = "with the ranks in reverse";
  }
  relatives.push_back(std::move(other));
}

using RowName = std::tuple<int, int, Count>;  // step, layer, token among all of the step

struct FoundRow {
  std::size_t rank = 0;
  OutputRow row;
};

std::map<RowName, FoundRow> rows_by_name(const std::vector<RankOutputs>& outputs) {
  std::map<RowName, FoundRow> rows;
  for (std::size_t rank = 0; rank < outputs.size(); ++rank) {
    for (const OutputRow& row : outputs[rank].rows) {
      rows.try_emplace({row.cell.step, row.cell.layer, row.number}, FoundRow{rank, row});
    }
  }
  return rows;
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
    refuse_at(node, "same_under", text(described(node), " is not a list of changes"));
  }
  if (const std::string why = why_without_relatives(scenario); !why.empty()) {
    refuse_at(node, "same_under", why);
  }
  for (const YamlNode& item : node.items) {
    const std::string where = text("same_under[", scenario.same_under.size(), "]");
    chosen(text(item.place(), ": ", where), item.scalar, known_changes);
    if (std::ranges::count(scenario.same_under, item.scalar) > 0) {
      refuse_at(item, where, text("'", item.scalar, "' is given twice"));
    }
    scenario.same_under.push_back(item.scalar);
  }
}

std::vector<Relative> relatives_of(const Scenario& scenario) {
  std::vector<Relative> relatives;
  for (const std::string& change : scenario.same_under) {
    add_relatives(change, scenario, relatives);
  }
  // same_under stays in each: it makes ranks note their rows.
  return relatives;
}

std::string row_difference(const std::vector<RankOutputs>& ones,
                           const std::vector<RankOutputs>& others) {
  const std::map<RowName, FoundRow> there = rows_by_name(others);
  for (const auto& [name, one] : rows_by_name(ones)) {
    const auto& [step, layer, number] = name;
    const std::string what =
        text("step ", step, ", layer ", layer, ", token ", one.row.token, " of rank ", one.rank);
    const auto other = there.find(name);
    if (other == there.end()) return text(what, " has no row there");
    if (one.row.digest == other->second.row.digest) continue;
    return text(what, " has other bytes there, as token ", other->second.row.token, " of rank ",
                other->second.rank, ": column 0 is ", one.row.first, " here and ",
                other->second.row.first);
  }
  return {};
}

}  // namespace moe::sim
