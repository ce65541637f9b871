// One question for each kind of thing that faults need; the table says who needs what.
// What a fault does stands in fault_table.cc.

#include "sim/fault_room.h"

#include <algorithm>
#include <utility>

#include "backends/engine/lockstep_engine.h"
#include "kernels/base/text.h"
#include "sim/engine_scenario.h"
#include "sim/eplb_rules.h"
#include "sim/faults.h"
#include "sim/placement_choice.h"
#include "sim/quantization_room.h"

namespace moe::sim {
namespace {

struct Asked {
  const FaultSpec& fault;
  const Scenario& scenario;
  const WorldInputs& inputs;
  const RunLine& line;
  const Capabilities& capabilities;
};

std::string shared_experts(const Asked& asked) {
  return asked.scenario.model.num_shared_experts > 0
             ? ""
             : "there are no shared experts (model.shared_experts)";
}

std::string shared_parts(const Asked& asked) {
  const WorldSpec& world = asked.scenario.world;
  if (world.tp == 1 || world.sequence_parallel) {
    return "no ranks of a TP group hold parts of the shared experts (world.tp)";
  }
  return shared_experts(asked);
}

std::string scale(const Asked& asked) {
  return asked.scenario.model.scale != 1 ? "" : "the scaling factor is 1 (model.scale)";
}

std::string logits(const Asked& asked) {
  return std::holds_alternative<LogitsRouting>(asked.scenario.routing)
             ? ""
             : "no router sees logits (routing.logits)";
}

// Whether the choices of a token in any layer are such.
template <typename AreSuch>
bool any_token(const WorldInputs& inputs, AreSuch are_such) {
  for (int step = 0; step < inputs.num_steps(); ++step) {
    const RowCounts tokens = inputs.tokens(step);
    for (int i = 0; i < std::ssize(tokens) * inputs.num_layers(); ++i) {
      const int rank = i / inputs.num_layers();
      for (Count token = 0; token < tokens[static_cast<std::size_t>(rank)]; ++token) {
        if (are_such(inputs.topk_ids(step, i % inputs.num_layers(), rank, token))) return true;
      }
    }
  }
  return false;
}

std::string masked_choices(const Asked& asked) {
  const auto masks = [](std::span<const std::int16_t> ids) {
    return std::ranges::any_of(ids, [](std::int16_t id) { return id < 0; });
  };
  return any_token(asked.inputs, masks) ? "" : "no choice is masked (routing.masked)";
}

std::string shorter_step(const Asked& asked) {
  for (int step = 1; step < asked.inputs.num_steps(); ++step) {
    const RowCounts before = asked.inputs.tokens(step - 1);
    const RowCounts now = asked.inputs.tokens(step);
    for (std::size_t rank = 0; rank < now.size(); ++rank) {
      if (now[rank] > 0 && now[rank] < before[rank]) return "";
    }
  }
  return "no rank has fewer tokens than in the step before (steps)";
}

std::string idle_rank(const Asked& asked) {
  for (int step = 0; step < asked.inputs.num_steps(); ++step) {
    if (std::ranges::count(asked.inputs.tokens(step), 0) > 0) return "";
  }
  return "no rank is idle in any step (steps)";
}

// The steps of the scenario's engine; empty without one.
std::vector<PlannedStep> engine_steps(const Asked& asked) {
  if (!asked.scenario.engine) return {};
  return planned_steps(*asked.scenario.engine, asked.scenario.world.dp, engine_steps_max);
}

constexpr std::string_view no_engine = "no engine decides the steps (engine)";

std::string coordination(const Asked& asked) {
  const WorldSpec& world = asked.scenario.world;
  if (!asked.scenario.engine) return std::string(no_engine);
  if (world.dp > 1 && world.expert_ranks() > world.dp) return "";
  return "the EP group is the DP group, or there is one DP rank (world)";
}

std::string dummy_batch(const Asked& asked) {
  if (!asked.scenario.engine) return std::string(no_engine);
  for (const PlannedStep& step : engine_steps(asked)) {
    const auto dummies = std::ranges::count(step.of_rank, BatchKind::dummy, &EngineStep::kind);
    if (dummies > 0 && std::cmp_less(dummies, step.of_rank.size())) return "";
  }
  return "no rank runs a dummy batch beside a real one (engine.requests)";
}

std::string unequal_counts(const Asked& asked) {
  if (!asked.scenario.engine) return std::string(no_engine);
  for (const PlannedStep& step : engine_steps(asked)) {
    if (std::ranges::count(step.tokens, step.tokens[0]) < std::ssize(step.tokens)) return "";
  }
  return "all ranks have equal counts in every step (engine.requests)";
}

std::string peer(const Asked& asked) {
  return asked.scenario.world.num_ranks() > 1 ? "" : "nobody waits for the only rank (world)";
}

// Eight significant bits leave a sum in fp32 sixteen to spare: rows of partial sums would have to
// differ by that much before their order shows.
std::string rounding_sums(const Asked& asked) {
  if (asked.scenario.values != Values::real) return "sums of whole numbers have no order (values)";
  const ReductionRecipe& recipe = asked.capabilities.recipe;
  if (recipe.empty() || recipe.back().operands == Operands::local_slots) {
    return "no sum goes over ranks (backend)";
  }
  if (recipe.back().operands == Operands::ranks && asked.scenario.model.dtype == DType::bf16) {
    return "fp32 adds a few bf16 rows without a loss in any order (model.dtype)";
  }
  return asked.scenario.world.expert_ranks() > 2 ? "" : "two parts have one sum in either order";
}

std::string padded_width(const Asked& asked) {
  const int multiple = fault_parameter(asked.fault, "multiple");
  const Count width = asked.scenario.model.hidden_size;
  return width % multiple != 0
             ? ""
             : text("hidden ", width, " is a multiple of ", multiple, " as it is (model.hidden)");
}

std::string remainder(const Asked& asked) {
  const int num_ranks = asked.scenario.world.expert_ranks();
  const int num_experts = asked.scenario.model.num_physical_experts();
  if (!asked.scenario.world.expert_parallel) return "experts are not dealt out (world.ep)";
  return num_experts % num_ranks != 0
             ? ""
             : text(num_experts, " experts divide by the ", num_ranks, " ranks (model.experts)");
}

std::string two_placements(const Asked& asked) {
  const WorldSpec& world = asked.scenario.world;
  if (!world.expert_parallel || world.expert_ranks() == 1) {
    return "experts are not dealt out over ranks (world.ep)";
  }
  return asked.scenario.model.num_physical_experts() > world.expert_ranks()
             ? ""
             : "with one expert a rank both placements are the same (model.experts)";
}

std::string rearrangement(const Asked& asked) {
  if (!asked.scenario.eplb) return "experts are not balanced (eplb)";
  return first_step_of_last_maps(asked.scenario, asked.inputs.num_steps()) > 0
             ? ""
             : "no step follows a rearrangement (eplb.step_interval)";
}

std::string next_layer(const Asked& asked) {
  const ParallelSizes sizes = asked.scenario.world.deployment().sizes;
  const int layer = fault_parameter(asked.fault, "layer");
  for (int stage = 0; stage < sizes.pp; ++stage) {
    const LayerRange layers = layers_of_stage(asked.inputs.num_layers(), sizes.pp, stage);
    if (layer >= layers.first && layer + 1 < layers.last) return rearrangement(asked);
  }
  return text("no layer follows layer ", layer, " on its ranks (model.layers)");
}

std::string padding(const Asked& asked) {
  if (!asked.scenario.eplb) return "experts are not balanced (eplb)";
  const WorldSpec& world = asked.scenario.world;
  if (!world.sequence_parallel && world.pcp == 1) return "no rows are padding (world)";
  const Count parts = world.sequence_parallel ? world.tp : world.pcp;
  for (int step = 0; step < asked.inputs.num_steps(); ++step) {
    for (const Count tokens : asked.inputs.tokens(step)) {
      if (tokens % parts != 0) return "";
    }
  }
  return text("all tokens divide by ", parts, ", so that no rows are padding (steps)");
}

std::string replicas(const Asked& asked) {
  return asked.scenario.model.num_redundant_experts > 0
             ? ""
             : "every expert has one replica (model.redundant_experts)";
}

std::string tp_group(const Asked& asked) {
  return asked.scenario.world.tp > 1 ? "" : "a TP group of one has nothing to add up (world.tp)";
}

bool is_batched(const Asked& asked) {
  return asked.capabilities.activation_format == ActivationFormat::batched_experts;
}

constexpr std::string_view no_ids = "rows of the batched format have no ids (backend)";

std::string dispatched_ids(const Asked& asked) {
  if (asked.line.selection == Selection::monolithic) {
    return "rows travel with logits, not with ids (selection: monolithic)";
  }
  return is_batched(asked) ? std::string(no_ids) : "";
}

// Whether the rank of the fault that owns the last expert, which an index of -1 finds, gets a row
// with a masked choice.
std::string wrapped_masks(const Asked& asked) {
  const Deployment deployment = asked.scenario.world.deployment();
  const int num_ranks = make_parallel_config(deployment, 0).ep_size;
  const ExpertMap map = expert_map_in(asked.scenario, asked.capabilities, num_ranks);
  const int owner = map.rank_of.back();
  bool is_seeded = false;
  for (int rank = 0; rank < asked.scenario.world.num_ranks(); ++rank) {
    const bool owns = make_parallel_config(deployment, rank).ep_rank == owner;
    is_seeded = is_seeded || (owns && fault_is_on_rank(asked.fault, rank));
  }
  if (!is_seeded) {
    return text("rank ", owner, " alone owns the last expert, which an index of -1 finds (rank)");
  }
  const bool gets_all = asked.capabilities.dispatch_reach != DispatchReach::owner_ranks;
  const auto is_wrapped = [&](std::span<const std::int16_t> ids) {
    const auto lives_there = [&](int id) {
      return id >= 0 && map.rank_of[static_cast<std::size_t>(id)] == owner;
    };
    return std::ranges::count(ids, -1) > 0 && (gets_all || std::ranges::any_of(ids, lives_there));
  };
  if (any_token(asked.inputs, is_wrapped)) return "";
  return text("no row with a masked choice comes to rank ", owner,
              ", which owns the last expert (routing.masked)");
}

// Whether ids that are masked reach the experts of this backend.
std::string received_masks(const Asked& asked) {
  if (is_batched(asked)) return std::string(no_ids);
  if (asked.capabilities.foreign_choices == ForeignChoices::non_local_expert) {
    return "this backend hands out no masked ids, but experts that live elsewhere (backend)";
  }
  const std::string why = masked_choices(asked);
  if (!why.empty() || asked.scenario.eplb) return why;
  return wrapped_masks(asked);
}

std::string weighting_experts(const Asked& asked) {
  return asked.capabilities.weights_applied_by == WeightsAppliedBy::expert_rank
             ? ""
             : "experts apply no weights, their rows' source does (backend)";
}

std::string all_gather(const Asked& asked) {
  return asked.capabilities.dispatch_move == DispatchMove::all_gather
             ? peer(asked)
             : "no all-gather dispatches rows (backend)";
}

// Two entries of a dispatch's counts, which must differ for an exchange to change them.
std::string differing_counts(const Asked& asked) {
  const std::string why = all_gather(asked);
  if (!why.empty()) return why;
  const FusedMoEParallelConfig parallel =
      make_parallel_config(asked.scenario.world.deployment(), 0);
  const auto first = static_cast<std::size_t>(fault_parameter(asked.fault, "first"));
  const auto second = static_cast<std::size_t>(fault_parameter(asked.fault, "second"));
  for (int step = 0; step < asked.inputs.num_steps(); ++step) {
    const std::vector<Count> counts = dispatch_sizes(parallel, asked.inputs.tokens(step));
    if (std::max(first, second) < counts.size() && counts[first] != counts[second]) return "";
  }
  return text("counts ", first, " and ", second, " of every dispatch are equal (steps)");
}

std::string gathered_rows(const Asked& asked) {
  return asked.capabilities.dispatch_reach == DispatchReach::every_rank
             ? peer(asked)
             : "no rank gets the rows of all (backend)";
}

std::string more_dispatchers(const Asked& asked) {
  const WorldSpec& world = asked.scenario.world;
  return world.expert_ranks() > world.dp
             ? ""
             : "only DP ranks dispatch, for whose rows the workspace is declared (world.tp)";
}

// Only the caller's own rows tell an input that was overwritten; a dispatch that copies has none.
std::string callers_rows(const Asked& asked) {
  return asked.capabilities.dispatch_reach == DispatchReach::own_rank
             ? ""
             : "experts see received copies, never the caller's rows (backend)";
}

// Dispatched ids differ from experts' where placement is round robin, and each choice has a row.
std::string translated_ids(const Asked& asked) {
  if (asked.capabilities.dispatch_move != DispatchMove::slot_messages) {
    return "combine looks nothing up by expert (backend)";
  }
  const bool is_round_robin =
      placement_in(asked.scenario, asked.capabilities).placement == Placement::round_robin;
  return is_round_robin ? two_placements(asked)
                        : "with linear placement both ids are the same (model.placement)";
}

// A dispatch after another, and rows that come from somebody.
std::string second_dispatch(const Asked& asked) {
  const DispatchMove move = asked.capabilities.dispatch_move;
  if (move == DispatchMove::broadcast || move == DispatchMove::none) {
    return "no list of rows, ids and tags travels at once (backend)";
  }
  const auto has_tokens = [&](int step) { return total_rows(asked.inputs.tokens(step)) > 0; };
  int num_dispatches = 0;
  for (int step = 0; step < asked.inputs.num_steps(); ++step) {
    if (has_tokens(step)) num_dispatches += asked.inputs.num_layers();
  }
  return num_dispatches > 1 ? "" : "no dispatch comes before another (steps)";
}

std::string masked_ranks(const Asked& asked) {
  return asked.scenario.world.masked_ranks.empty() ? "no rank is masked (world.masked_ranks)" : "";
}

template <std::string (*missing)(const FaultRoom&)>
std::string of_codes(const Asked& asked) {
  return missing({asked.scenario, asked.inputs, asked.line, asked.capabilities});
}

struct Need {
  std::string_view fault;
  std::string (*missing)(const Asked& asked);
};

constexpr std::array<Need, 42> needs = {{
    {"MF-01", tp_group},
    {"MF-02", shared_parts},
    {"MF-03", shared_experts},
    {"MF-05", shared_experts},
    {"MF-06", weighting_experts},
    {"MF-07", scale},
    {"MF-09", logits},
    {"MF-10", of_codes<swizzled_scales>},
    {"MF-11", of_codes<scale_columns>},
    {"MF-12", of_codes<uneven_scales>},
    {"MF-13", of_codes<travelling_codes>},
    {"MF-14", of_codes<scale_of_all_rows>},
    {"MF-15", translated_ids},
    {"MF-16", dispatched_ids},
    {"MF-17", remainder},
    {"MF-18", two_placements},
    {"MF-20", received_masks},
    {"MF-21", masked_choices},
    {"MF-23", dispatched_ids},
    {"MF-25", dispatched_ids},
    {"MF-26", coordination},
    {"MF-27", more_dispatchers},
    {"MF-36", shorter_step},
    {"MF-37", idle_rank},
    {"MF-38", dummy_batch},
    {"MF-41", unequal_counts},
    {"MF-42", differing_counts},
    {"MF-43", gathered_rows},
    {"MF-45", next_layer},
    {"MF-46", rearrangement},
    {"MF-47", rearrangement},
    {"MF-48", padding},
    {"MF-50", second_dispatch},
    {"MF-54", callers_rows},
    {"MF-55", rearrangement},
    {"MF-56", rounding_sums},
    {"MF-58", masked_ranks},
    {"MF-59", masked_ranks},
    {"MF-64", replicas},
    {"MF-66", of_codes<weight_scales>},
    {"stalled_rank", peer},
    {"untrimmed_width", padded_width},
}};

}  // namespace

std::string why_without_room(const FaultSpec& fault, const FaultRoom& room) {
  const Asked asked{fault, room.scenario, room.inputs, room.line, room.capabilities};
  const auto need = std::ranges::find(needs, fault.name, &Need::fault);
  return need == needs.end() ? "" : need->missing(asked);
}

}  // namespace moe::sim
