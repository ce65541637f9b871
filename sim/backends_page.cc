// Words for every field of Capabilities that a reader of the page asks for. A new value of an enum
// needs its word here before the page can be written again.

#include "sim/backends_page.h"

#include <array>

#include "backends/config/backend_traits.h"
#include "kernels/base/text.h"
#include "sim/registry.h"

namespace moe::sim {
namespace {

using Words = std::vector<std::string>;

std::string row_of(const Words& cells) { return text("| ", joined(cells, " | "), " |\n"); }

std::string history_of(const RegistryRow& row) {
  if (row.since == "-") return "not in vLLM";
  const std::string until = row.until.empty() ? "" : text(" until ", row.until);
  const std::string now = row.replaced_by.empty() ? "" : text(", now `", row.replaced_by, "`");
  return text(row.wing == "backends" ? "" : text(row.wing, ": "), "since ", row.since, until, now);
}

std::string dispatch_words(const Capabilities& has) {
  constexpr std::array<std::string_view, 6> words = {"undeclared",
                                                     "nothing",
                                                     "every row to every rank",
                                                     "broadcast of every row",
                                                     "one row for each rank that owns a choice",
                                                     "one row for each choice"};
  std::string said(words[static_cast<std::size_t>(has.dispatch_move)]);
  if (has.receive_room == ReceiveRoom::worst_case) said += ", into worst-case room";
  if (has.receive_room == ReceiveRoom::by_source) said += ", into a window for each source";
  if (has.tp_replicas == TpReplicas::split) said += "; TP ranks split the sending";
  return said;
}

std::string combine_words(const Capabilities& has) {
  constexpr std::array<std::string_view, 7> words = {
      "undeclared",
      "nothing",
      "reduce-scatter",
      "all-to-all of partial rows, added by their owner",
      "all-reduce, keep own rows",
      "one row for each of those ranks back",
      "one row for each choice back"};
  return std::string(words[static_cast<std::size_t>(has.combine_move)]);
}

// Who weights, and who adds what is left to add.
std::string sum_words(const Capabilities& has) {
  if (has.weights_applied_by == WeightsAppliedBy::source_rank) return "source rank";
  switch (has.combine_move) {
    case CombineMove::none:
      return "this rank";
    case CombineMove::reduce_scatter:
    case CombineMove::all_reduce:
      return "expert's rank, then the collective";
    default:
      return "expert's rank, then source rank";
  }
}

std::string format_words(const Capabilities& has) {
  return has.activation_format == ActivationFormat::batched_experts ? "batched experts"
                                                                    : "standard";
}

std::string capacity_words(const Capabilities& has) {
  if (!has.fixed_capacity) return "any";
  const FixedCapacity& capacity = *has.fixed_capacity;
  return text(capacity.default_tokens, capacity.most ? text(", at most ", *capacity.most) : "");
}

std::string ids_words(const Capabilities& has) {
  const std::string dtype(has.topk_ids_dtype ? name_of(*has.topk_ids_dtype) : "any");
  return dtype +
         (has.foreign_choices == ForeignChoices::non_local_expert ? ", others' renamed" : "");
}

std::string limit_words(const Capabilities& has) {
  const WireLimits& limits = has.limits;
  Words words;
  const auto add_if = [&words](bool holds, const std::string& word) {
    if (holds) words.push_back(word);
  };
  Words dtypes;
  for (const DType dtype : limits.row_dtypes) dtypes.emplace_back(name_of(dtype));
  add_if(!has.moves_between_dp_ranks, "one DP rank");
  add_if(!dtypes.empty(), text("rows of ", joined(dtypes)));
  add_if(!limits.group_sizes.empty(), text("ranks ", joined(limits.group_sizes)));
  add_if(!limits.hidden_sizes.empty(), text("columns filled up to ", joined(limits.hidden_sizes)));
  add_if(limits.row_bytes_multiple > 1,
         text("rows filled up to ", limits.row_bytes_multiple, " bytes"));
  add_if(limits.max_top_k.has_value(), text("top-", limits.max_top_k.value_or(0), " at most"));
  add_if(limits.needs_even_experts, "as many experts on every rank");
  add_if(limits.linear_placement_only, "placement linear");
  add_if(!limits.takes_weight_on_input, "no weights on the input");
  add_if(limits.capacity_multiple > 1,
         text("capacity × ranks a multiple of ", limits.capacity_multiple));
  add_if(has.max_in_flight.has_value(), text(has.max_in_flight.value_or(0), " in flight"));
  add_if(has.needs_routing_tables, "routing tables for round robin");
  return words.empty() ? "none" : joined(words, "; ");
}

std::string sequence_parallel_words(const BackendTraits& traits) {
  if (!traits.sequence_parallel) return "no";
  const auto name = [](Era era) { return all_profiles()[static_cast<std::size_t>(era)].name; };
  const auto& [first, last] = *traits.sequence_parallel;
  return first == last ? std::string(name(first)) : text(name(first), " to ", name(last));
}

// Where the name gets this backend, under the profile in which it is run.
std::string platform_words(const RegistryRow& row) {
  Words words;
  for (const auto platform : {Platform::cuda, Platform::rocm, Platform::cpu, Platform::xpu}) {
    const BackendDecision decision = resolve_backend(profile_with(row.name), {row.name, platform});
    const bool is_taken = decision.error.empty() && decision.backend == row.name;
    if (is_taken) words.emplace_back(name_of(platform));
  }
  return joined(words);
}

}  // namespace

std::string backends_table() {
  const Words head = {"backend",
                      "vLLM",
                      "format",
                      "dispatch moves",
                      "combine moves",
                      "sums over top-k",
                      "reduced over TP",
                      "capacity",
                      "ids",
                      "sequence parallel",
                      "platforms by rule",
                      "limits"};
  std::string table = "<!-- registry -->\n" + row_of(head) + "|";
  for (std::size_t i = 0; i < head.size(); ++i) table += "---|";
  table += "\n";
  for (const RegistryRow& row : registry()) {
    const Capabilities& has = row.backend->capabilities;
    table +=
        row_of({text("`", row.name, "`"), history_of(row), format_words(has), dispatch_words(has),
                combine_words(has), sum_words(has), has.output_is_reduced ? "yes" : "no",
                capacity_words(has), ids_words(has), sequence_parallel_words(traits_of(row.name)),
                platform_words(row), limit_words(has)});
  }
  for (const CallFormRow& row : call_forms()) {
    Words cells = {
        text("`", row.name, "` (a call form)"),
        text(row.wing, ": since ", row.since, " until ", row.until, ", now ", row.replaced_by)};
    cells.resize(head.size(), "as the layer");
    table += row_of(cells);
  }
  return table + "<!-- /registry -->\n";
}

}  // namespace moe::sim
