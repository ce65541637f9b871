// One function for each move, in the reference algorithms' counts (traced_communicator.h), and the
// layer's sum of them.

#include "backends/traffic_budget.h"

#include <numeric>

#include "comm/exchange_sum.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

// A rank of a group and the rows of all its ranks.
struct Member {
  int rank = 0;
  std::vector<Count> rows;

  Count size() const { return std::ssize(rows); }
  Count own() const { return rows[static_cast<std::size_t>(rank)]; }
  Count all() const { return total_rows(rows); }
};

constexpr Count tag_bytes = 8;
constexpr Count message_header_bytes = 16;  // of low latency: the source row, and room

Traffic one_collective(Count rows, Count row_bytes) { return {rows * row_bytes, rows, 1}; }

void add(Traffic& sum, const Traffic& more) {
  sum.bytes += more.bytes;
  sum.rows += more.rows;
  sum.collectives += more.collectives;
}

Traffic all_gather(const Member& member, Count row_bytes) {
  return one_collective(member.own() * (member.size() - 1), row_bytes);
}

// reduce_scatter and an all_to_all of partial rows send the same: the parts of the others.
Traffic parts_of_others(const Member& member, Count row_bytes) {
  return one_collective(member.all() - member.own(), row_bytes);
}

Traffic all_reduce(int rank, int size, Count rows, const RowWidths& widths) {
  const std::vector<Count> parts = even_split(rows * widths.hidden_columns, size);
  const Count own = parts[static_cast<std::size_t>(rank)];
  const Count elements = total_rows(parts) - own + own * (size - 1);
  return {elements * size_of(widths.dtype),
          widths.hidden_columns > 0 ? elements / widths.hidden_columns : 0, 1};
}

// One broadcast a slice, and each rank is the root of at most one: that of its own rows.
Traffic broadcasts(const Member& member, bool is_root, int transport_size, Count row_bytes) {
  const Count rows = is_root ? member.own() * (transport_size - 1) : 0;
  return {rows * row_bytes, rows, member.size()};
}

class LayerBudget {
 public:
  LayerBudget(const BudgetQuestion& question, RowCounts num_tokens_across_dp)
      : question_(question),
        parallel_(question.parallel),
        sizes_(dispatch_sizes(parallel_, num_tokens_across_dp)) {}

  Traffic sum() {
    dispatch_and_combine();
    around_the_layer();
    return sum_;
  }

 private:
  Count hidden_bytes() const {
    return question_.widths.hidden_columns * size_of(question_.widths.dtype);
  }

  // Of a row on its way to experts, scales included.
  Count dispatched_bytes() const {
    return wire_row_bytes(question_.backend.capabilities, question_.widths.quantization,
                          question_.widths.hidden_columns, question_.widths.dtype);
  }

  Member dispatcher() const { return {dispatch_rank(parallel_), sizes_}; }

  void dispatch_and_combine() {
    if (layer_moves_rows(question_.backend, question_.site)) {
      return moves(question_.widths.routing_bytes, Provenance::travels);
    }
    if (parallel_.pcp_size > 1) {  // the runner's own gather, whatever the backend
      const Member member{parallel_.pcp_rank, sizes_};
      add(sum_, all_gather(member, hidden_bytes() + question_.widths.logits_bytes));
      return add(sum_, parts_of_others(member, hidden_bytes()));
    }
    if (parallel_.dp_size == 1 && !parallel_.is_sequence_parallel()) return;
    moves({question_.widths.logits_bytes}, Provenance::off);
  }

  void moves(const std::vector<Count>& beside, Provenance provenance) {
    const Capabilities& capabilities = question_.backend.capabilities;
    if (capabilities.dispatch_move == DispatchMove::rank_messages ||
        capabilities.dispatch_move == DispatchMove::slot_messages) {
      return messages();
    }
    const Member member = dispatcher();
    const Count row_bytes =
        layer_moves_rows(question_.backend, question_.site) ? dispatched_bytes() : hidden_bytes();
    const Count list_bytes = std::accumulate(beside.begin(), beside.end(), row_bytes);
    if (capabilities.dispatch_move == DispatchMove::all_gather) {
      add(sum_, all_gather(member, list_bytes));
    } else if (capabilities.dispatch_move == DispatchMove::broadcast) {
      broadcast_each(member, beside, provenance);
    }
    if (capabilities.combine_move == CombineMove::all_reduce) {
      add(sum_, all_reduce(transport_rank(member), transport_size(member), member.all(),
                           question_.widths));
    } else if (capabilities.combine_move != CombineMove::none) {
      add(sum_, parts_of_others(member, hidden_bytes()));
    }
  }

  // Counts, then rows with what travels beside them, then rows home. Counts are no payload.
  void messages() {
    const Capabilities& capabilities = question_.backend.capabilities;
    const auto& [sent, answered, top_k] = question_.messages;
    const DType dtype = question_.widths.dtype;
    const Count wire_bytes =
        wire_columns(capabilities.limits, question_.widths.hidden_columns, dtype) * size_of(dtype);
    const Count ids_bytes = size_of(capabilities.topk_ids_dtype.value_or(DType::i32));
    const Count beside = capabilities.dispatch_move == DispatchMove::slot_messages
                             ? message_header_bytes
                             : top_k * (ids_bytes + size_of(DType::f32));
    add(sum_, one_collective(0, 0));
    add(sum_, one_collective(sent, dispatched_bytes() + beside));
    add(sum_, one_collective(answered, wire_bytes));
    const int tp = question_.sizes.tp;
    if (capabilities.tp_replicas != TpReplicas::split || tp == 1 ||
        parallel_.is_sequence_parallel()) {
      return;
    }
    const std::vector<Count> parts = even_split(dispatcher().own(), tp);
    const Count own = parts[static_cast<std::size_t>(question_.tp_rank)];
    add(sum_, one_collective(own * (tp - 1), hidden_bytes()));
  }

  // Tensor by tensor, and the tags by themselves.
  void broadcast_each(const Member& member, std::vector<Count> beside, Provenance provenance) {
    beside.push_back(hidden_bytes());
    if (provenance == Provenance::travels) beside.push_back(tag_bytes);
    const int owners = transport_size(member) / static_cast<int>(member.size());
    const bool is_root = transport_rank(member) == member.rank * owners;
    for (const Count row_bytes : beside) {
      add(sum_, broadcasts(member, is_root, transport_size(member), row_bytes));
    }
  }

  // Broadcasts go over the EP group but in the first form, which used the dispatch group.
  bool is_over_ep() const { return question_.naive_form != NaiveForm::dp_group; }
  int transport_size(const Member& member) const {
    if (!is_over_ep()) return static_cast<int>(member.size());
    return question_.sizes.dp * question_.sizes.pcp * question_.sizes.tp;
  }
  int transport_rank(const Member& member) const {
    if (!is_over_ep()) return member.rank;
    return parallel_.use_ep ? parallel_.ep_rank : parallel_.tp_rank;
  }

  // Shares gathered over TP or PCP, and the sum over TP.
  void around_the_layer() {
    const bool is_sp = parallel_.is_sequence_parallel();
    const Count own = dispatcher().own();
    const int sharers = is_sp ? question_.sizes.tp : parallel_.pcp_size;
    if (is_sp || sharers > 1) {
      add(sum_, one_collective(own * (sharers - 1), hidden_bytes()));
    }
    const int tp = question_.sizes.tp;
    const bool is_partial = !question_.backend.capabilities.output_is_reduced;
    if (tp == 1 || is_sp || (!is_partial && !question_.has_shared_experts)) return;
    add(sum_, all_reduce(question_.tp_rank, tp, own, question_.widths));
  }

  const BudgetQuestion& question_;
  const FusedMoEParallelConfig& parallel_;
  std::vector<Count> sizes_;
  Traffic sum_;
};

}  // namespace

Traffic traffic_budget(const BudgetQuestion& question, RowCounts num_tokens_across_dp) {
  const Capabilities& capabilities = question.backend.capabilities;
  MOE_CHECK(capabilities.dispatch_move != DispatchMove::undeclared &&
                capabilities.combine_move != CombineMove::undeclared,
            "a backend that does not declare its dispatch_move and combine_move has no budget");
  return LayerBudget(question, num_tokens_across_dp).sum();
}

}  // namespace moe
