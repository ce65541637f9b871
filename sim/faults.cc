// The parameters of a fault and the one place that turns a row of the table into decorators.
// The rows stand in fault_table.cc.

#include "sim/faults.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "backends/faulty_experts.h"
#include "backends/faulty_prepare_finalize.h"
#include "backends/faulty_shared_experts.h"
#include "backends/faulty_weights.h"
#include "backends/oracle/faulty_oracle.h"
#include "comm/faulty_communicator.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/row_named.h"
#include "sim/seam_faults.h"

namespace moe::sim {
namespace {

int number_of(const std::string& fault, const std::string& key, const std::string& words) {
  int value = 0;
  const auto [end, error] = std::from_chars(words.data(), words.data() + words.size(), value);
  if (error != std::errc() || end != words.data() + words.size()) {
    throw ScenarioError(text("fault ", fault, ": ", key, " is a whole number, not '", words, "'"));
  }
  return value;
}

// A token must be one of its rank's in its step.
void check_token_fits(const FaultSpec& fault, const FaultLimits& limits) {
  const auto is_token = [](const FaultParameter& one) { return one.name == "token"; };
  if (std::ranges::none_of(fault_row(fault.name).parameters, is_token)) return;
  const int step = fault_parameter(fault, "step");
  const int token = fault_parameter(fault, "token");
  Count most = 0;
  for (int rank = 0; rank < limits.ranks; ++rank) {
    if (fault_is_on_rank(fault, rank)) most = std::max(most, limits.tokens(step, rank));
  }
  if (token < most) return;
  const int rank = fault_parameter(fault, "rank");
  throw ScenarioError(text("fault ", fault.name, ": token=", token,
                           " is not in this world: ", rank < 0 ? "no rank" : text("rank ", rank),
                           " has ", rank < 0 ? "more than " : "", most, " tokens in step ", step));
}

}  // namespace

int fault_parameter(const FaultSpec& fault, std::string_view key) {
  for (const auto& [name, words] : fault.parameters) {
    if (name == key) return number_of(fault.name, name, words);
  }
  for (const FaultParameter& row : fault_row(fault.name).parameters) {
    if (row.name == key) return row.default_value;
  }
  throw ContractError(text("fault ", fault.name, " has no parameter ", key));
}

bool fault_is_on_rank(const FaultSpec& fault, int rank) {
  const auto is_rank = [](const FaultParameter& one) { return one.name == "rank"; };
  if (std::ranges::none_of(fault_row(fault.name).parameters, is_rank)) return true;
  const int wanted = fault_parameter(fault, "rank");
  return wanted < 0 || wanted == rank;
}

bool is_fault_on(const FaultSpec& fault, std::string_view name, int rank) {
  return fault.name == name && fault_is_on_rank(fault, rank);
}

const FaultSpec* find_fault(const std::vector<FaultSpec>& faults, std::string_view name, int rank) {
  const auto is_it = [&](const FaultSpec& fault) { return is_fault_on(fault, name, rank); };
  const auto found = std::ranges::find_if(faults, is_it);
  return found == faults.end() ? nullptr : &*found;
}

const FaultRow& fault_row(const std::string& name) {
  const auto of_oracles = std::ranges::find(all_oracle_faults(), name, &OracleFaultRow::name);
  if (of_oracles != all_oracle_faults().end()) {
    throw ScenarioError(text("fault ", name,
                             " is of the oracles, which no run asks: moebius oracle ", "--fault ",
                             of_oracles->example));
  }
  return row_named("fault", all_faults(), name);
}

void check_fault(const FaultSpec& fault) {
  const FaultRow& row = fault_row(fault.name);
  for (const auto& [name, words] : fault.parameters) {
    number_of(fault.name, name, words);
    const auto is_same = [&name = name](const auto& other) { return other.first == name; };
    if (std::ranges::count_if(fault.parameters, is_same) > 1) {
      throw ScenarioError(text("fault ", fault.name, ": ", name, " is given twice"));
    }
    const auto is_it = [&name = name](const FaultParameter& known) { return known.name == name; };
    if (std::ranges::any_of(row.parameters, is_it)) continue;
    std::vector<std::string_view> known;
    for (const FaultParameter& one : row.parameters) known.push_back(one.name);
    throw ScenarioError(
        text("fault ", fault.name, " has no parameter '", name, "'; it has: ", joined(known)));
  }
}

FaultSpec parsed_fault(const std::string& words) {
  const std::size_t colon = words.find(':');
  FaultSpec fault{words.substr(0, colon), {}};
  if (words.ends_with(':') || words.ends_with(',')) {
    throw ScenarioError(text("fault '", words, "': no key=value follows the '", words.back(), "'"));
  }
  std::size_t at = colon == std::string::npos ? words.size() : colon + 1;
  while (at < words.size()) {
    const std::size_t end = std::min(words.find(',', at), words.size());
    const std::string pair = words.substr(at, end - at);
    const std::size_t equals = pair.find('=');
    if (equals == std::string::npos) {
      throw ScenarioError(text("fault '", words, "': '", pair, "' is not key=value"));
    }
    fault.parameters.emplace_back(pair.substr(0, equals), pair.substr(equals + 1));
    at = end + 1;
  }
  check_fault(fault);
  return fault;
}

void check_fault_fits(const FaultSpec& fault, const FaultLimits& limits) {
  const std::vector<std::pair<std::string_view, Count>> limit_of = {
      {"rank", limits.ranks},     {"first", limits.counts}, {"second", limits.counts},
      {"expert", limits.experts}, {"step", limits.steps},   {"layer", limits.layers},
      {"column", limits.columns}, {"bit", limits.bits},
  };
  for (const FaultParameter& row : fault_row(fault.name).parameters) {
    const std::string_view name = row.name;
    const int value = fault_parameter(fault, name);
    const auto is_it = [name](const auto& known) { return known.first == name; };
    const auto limit = std::ranges::find_if(limit_of, is_it);
    const bool means_any = value == -1 && row.default_value == -1;
    const bool is_too_large = limit != limit_of.end() && value >= limit->second;
    if ((value < row.smallest && !means_any) || is_too_large) {
      throw ScenarioError(
          text("fault ", fault.name, ": ", name, "=", value, " is not in this world (",
               limit == limit_of.end() ? text("at least ", row.smallest)
                                       : text(row.smallest, " to ", limit->second - 1),
               ")"));
    }
  }
  check_token_fits(fault, limits);
  if ((fault.name == "MF-07" || fault.name == "MF-10") && fault_parameter(fault, "times") != 0 &&
      fault_parameter(fault, "times") != 2) {
    throw ScenarioError(
        text("fault ", fault.name, ": times is 0 or 2, not ", fault_parameter(fault, "times")));
  }
  if (fault.name == "MF-42" &&
      fault_parameter(fault, "first") == fault_parameter(fault, "second")) {
    throw ScenarioError("fault MF-42: first and second are the same entry");
  }
}

std::string fault_words(const FaultSpec& fault) {
  std::vector<std::string> pairs;
  for (const auto& [name, value] : fault.parameters) pairs.push_back(text(name, "=", value));
  return text(fault.name, pairs.empty() ? "" : ":", joined(pairs, ","));
}

std::unique_ptr<Communicator> with_faults(std::unique_ptr<Communicator> group, int rank,
                                          const std::vector<FaultSpec>& faults) {
  for (const FaultSpec& fault : faults) {
    if (fault.name == "MF-56") group = with_own_rank_added_first(std::move(group));
    if (is_fault_on(fault, "MF-50", rank)) {
      group = with_late_payload(std::move(group));
    }
    if (is_fault_on(fault, "stalled_rank", rank)) {
      const FaultyMoment moment{group->rank(), fault_parameter(fault, "operation")};
      group = with_stall(std::move(group), moment,
                         std::chrono::milliseconds(fault_parameter(fault, "ms")));
    }
    if (!is_fault_on(fault, "MF-42", rank)) continue;
    const SwappedCounts swapped{.rank = group->rank(),
                                .first = fault_parameter(fault, "first"),
                                .second = fault_parameter(fault, "second")};
    if (std::max(swapped.first, swapped.second) >= group->size()) continue;
    group = with_swapped_counts(std::move(group), swapped);
  }
  return group;
}

std::unique_ptr<PrepareFinalize> with_faults(std::unique_ptr<PrepareFinalize> inner,
                                             const FaultSite& site,
                                             const std::vector<FaultSpec>& faults) {
  for (const FaultSpec& fault : faults) {
    if (!fault_is_on_rank(fault, site.rank)) continue;
    inner = with_dispatch_fault(std::move(inner), site, fault);
    if (fault.name == "MF-07") {
      const auto factor =
          static_cast<float>(std::pow(site.scale, fault_parameter(fault, "times") - 1));
      inner = with_output_scaled(std::move(inner), site.memory, factor);
    }
    if (fault.name == "MF-36") inner = with_stale_tail(std::move(inner), site.memory);
    if (fault.name == "MF-37") {
      const auto is_here = [](int slot) { return slot >= 0; };
      const auto num_local = std::ranges::count_if(site.expert_map, is_here);
      inner = with_early_return(std::move(inner), site.memory, static_cast<int>(num_local));
    }
    if (fault.name == "flip_bit" && fault_parameter(fault, "layer") == site.layer) {
      inner = with_flipped_bit(std::move(inner), site.memory,
                               {.call = fault_parameter(fault, "step"),
                                .token = fault_parameter(fault, "token"),
                                .column = fault_parameter(fault, "column"),
                                .bit = fault_parameter(fault, "bit")});
    }
  }
  return inner;
}

std::unique_ptr<Experts> with_faults(std::unique_ptr<Experts> inner, const FaultSite& site,
                                     const std::vector<FaultSpec>& faults) {
  for (const FaultSpec& fault : faults) {
    inner = with_workspace_fault(std::move(inner), site, fault);
    if (is_fault_on(fault, "MF-35", site.rank)) {
      inner = with_cold_expert_unwritten(std::move(inner), site.memory, site.expert_map,
                                         {.expert = fault_parameter(fault, "expert")});
    }
    if (is_fault_on(fault, "MF-06", site.rank)) {
      inner = with_weights_twice(std::move(inner), site.memory);
    }
  }
  return inner;
}

std::unique_ptr<SharedExperts> with_faults(std::unique_ptr<SharedExperts> inner,
                                           const FaultSite& site,
                                           const std::vector<FaultSpec>& faults) {
  if (inner == nullptr) return inner;
  for (const FaultSpec& fault : faults) {
    if (fault.name == "MF-02") {
      inner = with_shared_sum_before_reduce(std::move(inner), site.groups.tp);
    }
    if (fault.name == "MF-03") {
      inner =
          with_gathered_shared_input(std::move(inner), dispatch_group(site.groups, site.parallel));
    }
    if (is_fault_on(fault, "MF-05", site.rank)) {
      inner = with_shared_dropped(std::move(inner), site.memory);
    }
  }
  return inner;
}

}  // namespace moe::sim
