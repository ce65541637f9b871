// Capabilities: everything that may be asked of a backend. Rules read these fields, never names
// (vLLM #40412 is the bug that comes from asking for names).

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernels/base/quant_recipe.h"
#include "kernels/base/reduction_recipe.h"

namespace moe {

// standard: [rows, hidden] with ids and weights beside them.
// batched_experts: [local experts * capacity, hidden] with a count of valid rows per expert.
enum class ActivationFormat { standard, batched_experts };

// Which rank multiplies by topk_weights and sums a token's choices.
enum class WeightsAppliedBy { expert_rank, source_rank };

// Which ranks a dispatched row reaches: every rank of the group, the owners of its experts, or none
// but its own.
enum class DispatchReach { own_rank, every_rank, owner_ranks };

// With which operations rows travel, for whoever counts what they may cost (traffic_budget.h).
// Every backend declares both.
// rank_messages: one row for each (row, rank that owns a choice of it). slot_messages: one for each
// choice.
enum class DispatchMove { undeclared, none, all_gather, broadcast, rank_messages, slot_messages };
enum class CombineMove {
  undeclared,
  none,
  reduce_scatter,
  all_to_all,
  all_reduce,
  rank_messages,
  slot_messages
};

// What a rank sees in the place of a choice whose expert lives elsewhere, in the standard format.
enum class ForeignChoices { as_sent, non_local_expert };

// What ranks of a TP group do that hold the same tokens and dispatch over EP: each sends them all
// and gets them all back, or they split the sending (pplx).
enum class TpReplicas { send_all, split };

// Where received rows lie in the standard format. exact: as many rows as came. worst_case: capacity
// rows of every rank, those that came first. by_source: a window for every rank, as long as the
// longest rank of the step. Rows that nobody sent have the ids -1.
enum class ReceiveRoom { exact, worst_case, by_source };

// Room for a fixed number of rows: what one rank may hand to a dispatch.
struct FixedCapacity {
  Count default_tokens = 0;  // where nobody asks for another (distribution-layer.md, 6.5, 6.6)
  std::optional<Count> most = {};
  bool is_of_scheduler = false;  // also before #39107, when others took the chunk size
};

// What the library behind a backend takes (distribution-layer.md, 9). Empty lists: anything.
struct WireLimits {
  std::vector<int> group_sizes = {};     // ranks that dispatch together
  std::vector<Count> hidden_sizes = {};  // rows are filled up with zeros to the next of these
  Count row_bytes_multiple = 1;          // and to a multiple of this
  std::vector<DType> row_dtypes = {};
  std::optional<int> max_top_k = {};
  bool needs_even_experts = false;  // each rank has as many
  bool linear_placement_only = false;
  bool takes_weight_on_input = true;  // apply_router_weight_on_input
  Count capacity_multiple = 1;        // capacity times ranks is one of this
};

// Where rows become codes: nowhere, on the rank that sends them, in the sending itself, or on the
// rank that got them.
enum class QuantizedAt { nowhere, before_dispatch, in_dispatch, after_receipt };

// Whether codes travel.
constexpr bool sends_codes(QuantizedAt at) {
  return at == QuantizedAt::before_dispatch || at == QuantizedAt::in_dispatch;
}

// All ways to quantise rows whose scales follow from one row; and the one whose scale follows from
// all rows at once.
inline const std::vector<QuantRecipe> row_recipes = {QuantRecipe::fp8_static_tensor,
                                                     QuantRecipe::fp8_dynamic_token,
                                                     QuantRecipe::fp8_block128,
                                                     QuantRecipe::int8_dynamic_token,
                                                     QuantRecipe::nvfp4,
                                                     QuantRecipe::mxfp4_cutlass,
                                                     QuantRecipe::mxfp8};
// Weights as codes under rows that are none.
inline const std::vector<QuantRecipe> weights_alone_recipes = {
    QuantRecipe::fp8_channel, QuantRecipe::int8_uint8b128, QuantRecipe::int4_uint4b8,
    QuantRecipe::mxfp4_ocp, QuantRecipe::nvfp4};
// The same where rows stand in experts' rooms, for which there is Marlin's batched form alone.
inline const std::vector<QuantRecipe> weights_alone_in_rooms = {
    QuantRecipe::int8_uint8b128, QuantRecipe::int4_uint4b8, QuantRecipe::mxfp4_ocp};
std::vector<QuantRecipe> with_dynamic_tensor(std::vector<QuantRecipe> recipes);
std::vector<QuantRecipe> without(std::vector<QuantRecipe> recipes, QuantRecipe recipe);

// What happens to a layer's quantised rows on the wire (distribution-layer.md, 10). A recipe stands
// for all that make the same numbers for the same groups; one that is in no list is refused.
struct WireQuantization {
  std::vector<QuantRecipe> travelling = {};       // rows are sent as codes, scales beside them
  std::vector<QuantRecipe> after_receipt = {};    // rows are sent as they are, codes are made there
  std::vector<QuantRecipe> in_dispatch = {};      // rows are sent as codes that the dispatch makes
  QuantRecipe own_quantizer = QuantRecipe::none;  // with which it makes them
  // Of weights alone: what experts of the backend's format and layout compute
  // (experts-and-oracles.md, 6.2 and 7.7).
  std::vector<QuantRecipe> weights_alone = weights_alone_recipes;
  bool static_scale_by_row = false;  // a tensor's static scale is sent with every row
  Count scale_bytes_multiple = 1;    // of a row's scales
  bool needs_whole_blocks = false;   // of 128 columns, where they share a scale
};

struct Capabilities {
  ActivationFormat activation_format = ActivationFormat::standard;
  DispatchReach dispatch_reach = DispatchReach::every_rank;
  WeightsAppliedBy weights_applied_by = WeightsAppliedBy::expert_rank;
  DispatchMove dispatch_move = DispatchMove::undeclared;
  CombineMove combine_move = CombineMove::undeclared;
  bool output_is_reduced = false;            // finalize has already summed over TP
  bool needs_routing_tables = false;         // round-robin ids are translated before dispatch
  bool moves_between_dp_ranks = true;        // false: only worlds with dp 1 can use it
  bool takes_router_logits = false;          // rows may travel with logits: selection: monolithic
  std::optional<DType> topk_ids_dtype = {};  // what the wire wants; none: any
  std::optional<FixedCapacity> fixed_capacity = {};  // as a world asks for; none: no room to size
  ReceiveRoom receive_room = ReceiveRoom::exact;
  ForeignChoices foreign_choices = ForeignChoices::as_sent;
  TpReplicas tp_replicas = TpReplicas::send_all;
  bool masks_ranks = false;               // dead ranks can be skipped (elastic EP)
  bool arrival_is_free = false;           // the order of an expert's rows is nobody's promise
  std::optional<int> max_in_flight = {};  // dispatches whose combine is still to come
  WireLimits limits = {};
  WireQuantization quantization = {};
  ReductionRecipe recipe = {};  // of the whole combine, as the judge replays it

  bool pads_received_rows() const { return receive_room != ReceiveRoom::exact; }
};

// Columns with which rows of this many travel. REQUIRES that one of limits.hidden_sizes holds them.
Count wire_columns(const WireLimits& limits, Count hidden_size, DType dtype);

// Of a recipe on a backend: which one makes the codes, and where.
struct RecipeOnWire {
  QuantRecipe recipe = QuantRecipe::none;
  QuantizedAt at = QuantizedAt::nowhere;
};
// RETURNS nothing where the backend takes no rows of that recipe.
std::optional<RecipeOnWire> recipe_on_wire(const WireQuantization& quantization,
                                           QuantRecipe recipe);

// What one row of `columns` values is on the backend's wire, with its scales, in bytes.
Count wire_row_bytes(const Capabilities& capabilities, QuantRecipe recipe, Count columns,
                     DType dtype);

// What a world asks of a backend's library.
struct WireQuestion {
  int num_ranks = 1;  // that dispatch together
  Count hidden_size = 0;
  DType dtype = DType::bf16;
  int top_k = 1;
  int num_experts = 1;
  bool is_linear = true;  // the placement that was asked for
  bool weight_on_input = false;
  Count max_num_tokens = 0;
  int num_masked_ranks = 0;
  QuantRecipe quantization = QuantRecipe::none;   // of rows
  QuantRecipe weights_alone = QuantRecipe::none;  // of weights under rows as they are
};
// Why the backend cannot take that, one sentence; empty: it can.
std::string refusal_of(const Capabilities& capabilities, const WireQuestion& question);

}  // namespace moe
