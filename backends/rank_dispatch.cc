// Messages are planned as choices of ranks: a token's distinct owners are to its messages what its
// experts are to grouped rows, and coming home each weighs 1.

#include "backends/rank_dispatch.h"

#include <algorithm>

#include "backends/message_group.h"

namespace moe {
namespace {

constexpr Tensor ids_are_local = {};

// What came, before it has its place: rows of the layer's width, ids as i32.
struct Received {
  RowQuantizer::Quantized rows;
  Count columns = 0;
  Buffer topk_ids;
  Buffer topk_weights;
  Buffer tags;
  IdSpace space = IdSpace::logical;
};

class RankDispatch final : public PrepareFinalize {
 public:
  RankDispatch(const PrepareFinalizeConfig& config, const Capabilities& capabilities)
      : group_(config, capabilities),
        rank_(config.groups.ep.rank()),
        ids_dtype_(capabilities.topk_ids_dtype.value_or(DType::i32)),
        foreign_choices_(capabilities.foreign_choices),
        room_(capabilities.receive_room),
        max_num_tokens_(config.max_num_tokens),
        rank_of_(group_.copied(config.expert_map.rank_of)),
        local_of_(group_.copied(config.expert_map.slots_on(config.groups.ep.rank()))) {}

  Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                     RowCounts tokens) override {
    MOE_CHECK(routing.is_selected(), "this dispatch needs ids and weights");
    Dispatched dispatched;
    DispatchHandle& handle = dispatched.handle;
    handle.rows_per_rank = group_.rows_per_rank(tokens);
    const Buffer ranks = group_.kernels().destination_ranks(routing.topk_ids, rank_of_.tensor());
    RowPlanBuffers plan =
        group_.kernels().plan_rows(ranks.tensor(), ids_are_local, group_.num_ranks());
    handle.return_path = exchanged_counts(plan);
    Received received =
        exchanged(hidden_states, routing, plan.source_of.tensor(), handle.return_path);
    handle.return_path.message_of = handle.keep(std::move(plan.row_of));
    place(std::move(received), dispatched);
    return dispatched;
  }

  void finalize(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) override {
    dispatched.handle.use();
    const ReturnPath& path = dispatched.handle.return_path;
    const Buffer partial = group_.sent_home(expert_output, path);
    group_.kernels().weight_and_reduce(partial.tensor(), path.message_of,
                                       weights_of_one(path.message_of, group_.memory()).tensor(),
                                       output);
    group_.tag_result(expert_output, output);
  }

 private:
  ReturnPath exchanged_counts(const RowPlanBuffers& plan) const {
    std::vector<std::int32_t> first(static_cast<std::size_t>(group_.num_ranks()) + 1);
    group_.memory().copy_to_host(plan.first_row.tensor(),
                                 {first.data(), std::ssize(first), 1, DType::i32, {}});
    ReturnPath path;
    for (std::size_t rank = 1; rank < first.size(); ++rank) {
      path.messages_to.push_back(first[rank] - first[rank - 1]);
    }
    const std::vector<Count> one_each(path.messages_to.size(), 1);
    path.messages_from = group_.exchange_counts(path.messages_to, one_each, one_each);
    return path;
  }

  // Rows, ids and weights of every message to where it goes. ORDER of what came: source ranks
  // ascending, each in its own order.
  Received exchanged(const Tensor& hidden_states, const Routing& routing, const Tensor& source_of,
                     const ReturnPath& path) const {
    const std::vector<Buffer> travelling = group_.travelling(hidden_states);
    const Buffer cast = ids_dtype_ == DType::i64
                            ? group_.kernels().cast_ids(routing.topk_ids, DType::i64)
                            : Buffer();
    std::vector<Tensor> rows;
    for (const Buffer& buffer : travelling) rows.push_back(buffer.tensor());
    rows.push_back(cast.tensor().columns > 0 ? cast.tensor() : routing.topk_ids);
    rows.push_back(routing.topk_weights);
    const Buffer tags = group_.has_tags() ? group_.tags(hidden_states.rows) : Buffer();
    if (group_.has_tags()) rows.push_back(tags.tensor());
    const MessageList sent =
        group_.gathered(rows, rows_of(source_of, 0, total_rows(path.messages_to)));
    MessageList came = group_.room_for(sent, total_rows(path.messages_from));
    group_.communicator().all_to_all_v(sent.views(), path.messages_to, path.messages_from,
                                       came.views());
    RowQuantizer::Quantized arrived = group_.arrived(came, hidden_states.columns);
    Received received{std::move(arrived),
                      hidden_states.columns,
                      std::move(came.tensors[0]),
                      std::move(came.tensors[1]),
                      {},
                      routing.space};
    if (ids_dtype_ == DType::i64) {
      received.topk_ids = group_.kernels().cast_ids(received.topk_ids.tensor(), DType::i32);
    }
    if (group_.has_tags()) received.tags = std::move(came.tensors[2]);
    return received;
  }

  // DeepEP hands out local ids with -1 for choices elsewhere; vLLM makes global ones of them, and
  // of each -1 an expert that is not here. A rank that owns all experts has none such: it has no
  // foreign choices either, only masked ones, which stay.
  void replace_foreign(const Routing& routing) const {
    if (foreign_choices_ == ForeignChoices::as_sent) return;
    const int num_experts = group_.expert_map().num_experts();
    const bool owns_first = num_experts > 0 && group_.expert_map().rank_of[0] == rank_;
    const int replacement = owns_first ? num_experts - 1 : 0;
    const bool is_elsewhere =
        group_.expert_map().rank_of[static_cast<std::size_t>(replacement)] != rank_;
    group_.kernels().replace_foreign_choices(routing, local_of_.tensor(),
                                             is_elsewhere ? replacement : -1);
  }

  // Which row of the receive room each message gets; how many rows there are.
  std::vector<std::int32_t> places(const DispatchHandle& handle, Count& num_rows) const {
    const std::vector<Count>& rows_per_rank = handle.rows_per_rank;
    const bool is_by_source = room_ == ReceiveRoom::by_source;
    const Count longest = std::ranges::max(rows_per_rank);
    num_rows = group_.num_ranks() * (is_by_source ? longest : max_num_tokens_);
    std::vector<std::int32_t> at;
    const std::vector<Count>& from = handle.return_path.messages_from;
    for (std::size_t rank = 0; rank < from.size(); ++rank) {
      for (Count row = 0; row < from[rank]; ++row) {
        const Count by_source = static_cast<Count>(rank) * longest + row;
        at.push_back(static_cast<std::int32_t>(is_by_source ? by_source : std::ssize(at)));
      }
    }
    return at;
  }

  Tensor scattered(const Tensor& rows, const Tensor& at, Buffer room,
                   DispatchHandle& handle) const {
    group_.kernels().scatter_rows(rows, at, room.tensor());
    return handle.keep(std::move(room));
  }

  void place(Received received, Dispatched& dispatched) const {
    const Routing came{received.topk_ids.tensor(), received.topk_weights.tensor()};
    replace_foreign(came);
    DispatchHandle& handle = dispatched.handle;
    dispatched.expert_num_tokens = handle.keep(group_.kernels().count_choices(
        came.topk_ids, local_of_.tensor(), group_.num_local_experts()));
    if (room_ == ReceiveRoom::exact) return as_they_came(std::move(received), dispatched);
    Count num_rows = 0;
    const Tensor at = handle.keep(group_.copied(places(handle, num_rows)));
    handle.return_path.received_at = at;
    const auto placed = [&](const Tensor& rows) {
      return scattered(rows, at, Buffer(group_.memory(), {num_rows, rows.columns, rows.dtype}),
                       handle);
    };
    dispatched.hidden_states = placed(received.rows.rows.tensor());
    group_.quantizer().describe(group_.quantizer().has_scales_by_row()
                                    ? placed(received.rows.scales.tensor())
                                    : handle.keep(std::move(received.rows.scales)),
                                received.columns, dispatched);
    Buffer ids(group_.memory(), {num_rows, came.topk_ids.columns, came.topk_ids.dtype});
    group_.memory().fill(ids.tensor(), 0xFFFFFFFFU);
    dispatched.routing = {scattered(came.topk_ids, at, std::move(ids), handle),
                          placed(came.topk_weights), received.space};
    if (!group_.has_tags()) return;
    dispatched.provenance = scattered(received.tags.tensor(), at, group_.no_tags(num_rows), handle);
  }

  void as_they_came(Received received, Dispatched& dispatched) const {
    DispatchHandle& handle = dispatched.handle;
    dispatched.hidden_states = handle.keep(std::move(received.rows.rows));
    group_.quantizer().describe(handle.keep(std::move(received.rows.scales)), received.columns,
                                dispatched);
    dispatched.routing = {handle.keep(std::move(received.topk_ids)),
                          handle.keep(std::move(received.topk_weights)), received.space};
    if (group_.has_tags()) dispatched.provenance = handle.keep(std::move(received.tags));
  }

  MessageGroup group_;
  int rank_;
  DType ids_dtype_;
  ForeignChoices foreign_choices_;
  ReceiveRoom room_;
  Count max_num_tokens_;
  Buffer rank_of_;   // [num_experts, 1] i32
  Buffer local_of_;  // [num_experts, 1] i32, -1 elsewhere
};

}  // namespace

Capabilities rank_dispatch_capabilities() {
  return {.dispatch_reach = DispatchReach::owner_ranks,
          .dispatch_move = DispatchMove::rank_messages,
          .combine_move = CombineMove::rank_messages,
          .output_is_reduced = true,
          .recipe = {{.operands = Operands::local_slots, .weighting = Weighting::separate},
                     {.operands = Operands::ranks}}};
}

std::unique_ptr<PrepareFinalize> make_rank_dispatch(const PrepareFinalizeConfig& config,
                                                    const Capabilities& capabilities) {
  return std::make_unique<RankDispatch>(config, capabilities);
}

}  // namespace moe
