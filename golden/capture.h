// Captures of foreign implementations (formats.md, 3): what they hold as structs, and the judgement
// of one. Trusted are hidden_states, topk_ids, topk_weights and expert_output; everything else must
// follow from them. sim reads the files and knows which backend promises what.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/dtype.h"

namespace moe::golden {

// Rows of one element type, row-major.
struct CapturedRows {
  DType dtype = DType::bf16;
  Count rows = 0;
  Count columns = 0;
  std::vector<std::byte> bytes;

  std::span<const std::byte> row(Count index) const {
    const Count size = columns * size_of(dtype);
    return std::span(bytes).subspan(static_cast<std::size_t>(index * size),
                                    static_cast<std::size_t>(size));
  }
};

// Where a row is due: on every rank of the group, once on each rank that owns a chosen expert, or
// once for each choice, with the chosen expert (batched).
enum class Delivery { every_rank, owner_ranks, experts };

// How arrived rows are ordered. by_source: source ranks ascending, each in its own row order.
// source_blocks: one block for each source rank, free inside and among them. free: not at all.
enum class ReceiveOrder { by_source, source_blocks, free };

enum class Placement { linear, round_robin };
enum class IdSpace { global, local, none };
enum class WeightedBy { expert_rank, source_rank };
enum class Quantization { none, fp8_block128 };

// What a backend promises beyond the words of a capture's metadata.
struct CaptureContract {
  Delivery delivery = Delivery::every_rank;
  ReceiveOrder order = ReceiveOrder::by_source;
  bool clears_foreign = true;  // choices of other ranks' experts: id -1 (or what vLLM writes for
                               // it), weight 0; else the library may leave them as they were
  bool may_pad = false;        // rows without an id may stand between those that arrived
  bool sums_in_any_order = false;      // a collective that promises no order of additions
  bool gathers_over_dp = false;        // TP peers that hold the same rows gather apart
  bool moves_nothing = false;          // each rank keeps its own rows, TP peers' sums are partial
  bool tp_peers_send_once = false;     // of TP peers that hold the same rows one sends
  bool has_capacity_per_peer = false;  // an expert's capacity is M times the number of senders
};

struct CapturedRank {
  CapturedRows hidden_states;
  std::vector<std::int64_t> topk_ids;  // [n, K]
  std::vector<float> topk_weights;     // [n, K]
  CapturedRows dispatched;             // [N, H], or [L * C, H]
  std::vector<float> dispatched_scales;
  std::vector<std::int64_t> dispatched_topk_ids;               // [N, K]; standard format
  std::vector<float> dispatched_topk_weights;                  // [N, K]
  std::optional<std::vector<std::int32_t>> expert_num_tokens;  // [L]
  std::optional<std::vector<std::int32_t>> source_row;         // [L, C]
  std::optional<std::vector<std::int64_t>> source_range;       // [L, R], begin << 32 | count
  CapturedRows expert_output;
  CapturedRows combined;
};

struct Capture {
  std::string backend;
  CaptureContract contract;
  int dp_size = 1;
  int tp_size = 1;
  int num_experts = 0;
  int top_k = 0;
  Count hidden_size = 0;
  Count capacity = 0;  // C; 0 in the standard format
  Placement placement = Placement::linear;
  IdSpace id_space = IdSpace::global;
  WeightedBy weighted_by = WeightedBy::expert_rank;
  Quantization quantization = Quantization::none;
  std::vector<CapturedRank> ranks;

  int ep_size() const { return static_cast<int>(ranks.size()); }
};

// The likely fault class of a finding.
enum class CaptureFault {
  value_changed,         // some elements of a row
  row_swapped,           // with another one
  row_lost,              // due and not there
  row_doubled,           // one stands in another's place too
  row_not_due,           // a row of a token that did not choose this place
  row_from_wrong_rank,   // the row of that number of another rank
  row_unwritten,         // zeros or NaNs
  row_scaled,            // times a constant
  row_shifted,           // its columns moved
  order_broken,          // the right rows in the wrong order
  id_changed,            //
  id_shifted,            // by one, or by the rank's first expert: the other id space
  weight_changed,        // of a dispatched choice
  count_changed,         //
  count_shifted,         // by one, or the count of a neighbour
  scale_changed,         // of a quantised group
  source_row_changed,    //
  source_range_changed,  //
  partial_missing,       // combined lacks a contribution
  partial_doubled,       // combined has one twice
  partial_wrong,         // combined has another row's contribution in the place of one
  weight_twice,          // the source rank weighted again
  weight_never,          // the source rank did not weight
  weight_wrong,          // it took another token's or another choice's weight
  recipe_differs,        // right operands, added or rounded in another way
  quantiser_differs,     // codes or scales of another quantiser than the declared one
  input_invalid,         // a trusted tensor cannot be what a router gave
};

std::string_view name_of(CaptureFault fault);

// One thing that is wrong. What does not apply is -1. row and slot index the tensor: [row] or
// [row, slot] of a standard one, [expert, slot] of a batched one.
struct CaptureFinding {
  CaptureFault fault = CaptureFault::value_changed;
  std::string tensor;
  int rank = 0;
  Count row = -1;
  int expert = -1;         // local
  int global_expert = -1;  // the same one
  Count slot = -1;
  Count column = -1;
  int source_rank = -1;  // whose row it is or should be
  Count source_row = -1;
  std::string value;
  std::string expected;
  std::string cause;   // a sentence
  Count elements = 1;  // that differ
};

struct CaptureJudgement {
  std::vector<CaptureFinding> findings;  // delivery, then labels, then combine; each by rank
  Count rows_delivered = 0;              // due, on all ranks
  Count rows_combined = 0;               // judged to the bit
  Count rows_bounded = 0;                // with an element that is judged by a bound
  double largest_share = 0;              // of such a bound
};

// REQUIRES shapes that agree with each other and with the sizes above: sim refuses others.
CaptureJudgement judge(const Capture& capture);

}  // namespace moe::golden
