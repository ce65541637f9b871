// Messages are the grouped rows of a plan over all ranks' experts, whose numbers ascend with their
// ranks: so a rank's messages are one run, its experts ascending, each in the source's row order.
// Within an expert's room every source has one block; which comes first is free.

#include "backends/slot_dispatch.h"

#include <algorithm>
#include <numeric>

#include "backends/message_group.h"
#include "kernels/base/mix.h"

namespace moe {
namespace {

constexpr Count header_columns = 4;  // 16 bytes: the source row, and room (DeepEP's message header)

class SlotDispatch final : public PrepareFinalize {
 public:
  SlotDispatch(const PrepareFinalizeConfig& config, const Capabilities& capabilities)
      : group_(config, capabilities),
        capacity_(config.max_num_tokens * group_.num_dispatchers()),
        max_in_flight_(capabilities.max_in_flight),
        weight_on_input_(config.weight_on_input),
        arrival_seed_(config.arrival_seed),
        first_expert_(offsets_of(counts(config.expert_map))),
        slot_of_(group_.copied(slots(config, first_expert_))) {}

  Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                     RowCounts tokens) override {
    MOE_CHECK(routing.is_selected(), "this dispatch needs ids and weights");
    Dispatched dispatched;
    DispatchHandle& handle = dispatched.handle;
    handle.rows_per_rank = group_.rows_per_rank(tokens);
    const auto [first, num_rows] = group_.own_share(hidden_states.rows);
    const Tensor ids = rows_of(routing.topk_ids, first, num_rows);
    RowPlanBuffers plan = group_.kernels().plan_rows(ids, slot_of_.tensor(), first_expert_.back());
    const std::vector<Count> received_counts = exchange(plan, handle.return_path);
    MessageList came = exchanged(rows_of(hidden_states, first, num_rows), plan.source_of.tensor(),
                                 handle.return_path);
    place(came, received_counts, hidden_states.columns, dispatched);
    handle.return_path.message_of = handle.keep(std::move(plan.row_of));
    handle.return_path.topk_weights = rows_of(routing.topk_weights, first, num_rows);
    handle.return_path.in_flight = launched();
    return dispatched;
  }

  void finalize(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) override {
    dispatched.handle.use();
    const ReturnPath& path = dispatched.handle.return_path;
    const Buffer rows = group_.sent_home(expert_output, path);
    const Buffer ones =
        weight_on_input_ ? weights_of_one(path.topk_weights, group_.memory()) : Buffer();
    const Buffer part(group_.memory(), {path.message_of.rows, output.columns, output.dtype});
    group_.kernels().fused_weight_and_reduce(rows.tensor(), path.message_of,
                                             weight_on_input_ ? ones.tensor() : path.topk_weights,
                                             part.tensor());
    group_.join_replicas(part.tensor(), output);
    group_.tag_result(expert_output, output);
  }

 private:
  static std::vector<Count> counts(const ExpertMap& map) {
    return {map.num_local_experts.begin(), map.num_local_experts.end()};
  }

  // Of each expert its number among the slots of all ranks, ranks ascending (vLLM:
  // global_to_physical, where placement is not linear); -1 on a masked rank.
  static std::vector<std::int32_t> slots(const PrepareFinalizeConfig& config,
                                         const std::vector<std::int32_t>& first_expert) {
    const ExpertMap& map = config.expert_map;
    std::vector<std::int32_t> slots;
    for (std::size_t expert = 0; expert < map.rank_of.size(); ++expert) {
      if (std::ranges::count(config.masked_ranks, map.rank_of[expert]) > 0) {
        slots.push_back(-1);
        continue;
      }
      slots.push_back(first_expert[static_cast<std::size_t>(map.rank_of[expert])] +
                      map.local_of[expert]);
    }
    return slots;
  }

  // RETURNS, source rank after source rank, its messages for each expert here. Fills in how many
  // messages go to and come from each rank.
  std::vector<Count> exchange(const RowPlanBuffers& plan, ReturnPath& path) const {
    std::vector<std::int32_t> first(static_cast<std::size_t>(first_expert_.back()) + 1);
    group_.memory().copy_to_host(plan.first_row.tensor(),
                                 {first.data(), std::ssize(first), 1, DType::i32, {}});
    std::vector<Count> for_experts;
    for (std::size_t slot = 1; slot < first.size(); ++slot) {
      for_experts.push_back(first[slot] - first[slot - 1]);
    }
    std::vector<Count> each_to;
    for (std::size_t rank = 0; rank + 1 < first_expert_.size(); ++rank) {
      const auto begin = static_cast<std::size_t>(first_expert_[rank]);
      const auto end = static_cast<std::size_t>(first_expert_[rank + 1]);
      each_to.push_back(static_cast<Count>(end - begin));
      path.messages_to.push_back(first[end] - first[begin]);
    }
    const std::vector<Count> each_from(each_to.size(), group_.num_local_experts());
    std::vector<Count> received = group_.exchange_counts(for_experts, each_to, each_from);
    auto next = received.begin();
    for (const Count experts : each_from) {
      path.messages_from.push_back(std::accumulate(next, next + experts, Count{0}));
      next += experts;
    }
    return received;
  }

  MessageList exchanged(const Tensor& hidden_states, const Tensor& source_of,
                        const ReturnPath& path) const {
    const Tensor places = rows_of(source_of, 0, total_rows(path.messages_to));
    const std::vector<Buffer> travelling = group_.travelling(hidden_states);
    std::vector<Tensor> rows;
    for (const Buffer& buffer : travelling) rows.push_back(buffer.tensor());
    MessageList sent = group_.gathered(rows, places);
    sent.tensors.push_back(group_.kernels().resize_columns(places, header_columns));
    if (group_.has_tags()) {
      sent.tensors.push_back(
          group_.kernels().gather_rows(group_.tags(hidden_states.rows).tensor(), places));
    }
    MessageList came = group_.room_for(sent, total_rows(path.messages_from));
    group_.communicator().all_to_all_v(sent.views(), path.messages_to, path.messages_from,
                                       came.views());
    return came;
  }

  // An order of count things: as they are, or as the seed draws it for this expert and this block.
  std::vector<Count> arrival(Count count, std::uint64_t expert, std::uint64_t block) const {
    std::vector<Count> order(static_cast<std::size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    if (arrival_seed_ == 0) return order;
    std::ranges::stable_sort(order, {}, [&](Count i) {
      return mix(arrival_seed_, expert, block, static_cast<std::uint64_t>(i));
    });
    return order;
  }

  // The row of the experts' room that each message gets, messages in the order in which they came:
  // source ranks ascending, experts ascending, rows ascending.
  std::vector<std::int32_t> places(const std::vector<Count>& received) const {
    const auto experts = static_cast<std::size_t>(group_.num_local_experts());
    const auto sources = static_cast<std::size_t>(group_.num_ranks());
    const std::vector<std::int32_t> first = offsets_of(received);
    std::vector<std::int32_t> at(static_cast<std::size_t>(first.back()));
    for (std::size_t expert = 0; expert < experts; ++expert) {
      Count next = static_cast<Count>(expert) * capacity_;
      for (const Count source : arrival(static_cast<Count>(sources), expert, sources)) {
        const std::size_t block = static_cast<std::size_t>(source) * experts + expert;
        for (const Count row : arrival(received[block], expert, static_cast<std::size_t>(source))) {
          at[static_cast<std::size_t>(first[block] + row)] = static_cast<std::int32_t>(next++);
        }
      }
      MOE_CHECK(next <= (static_cast<Count>(expert) + 1) * capacity_,
                "an expert has more rows than its room holds");
    }
    return at;
  }

  void place(MessageList& came, const std::vector<Count>& received, Count columns,
             Dispatched& dispatched) const {
    DispatchHandle& handle = dispatched.handle;
    const auto experts = static_cast<std::size_t>(group_.num_local_experts());
    std::vector<std::int32_t> num_tokens(experts, 0);
    for (std::size_t i = 0; i < received.size(); ++i) {
      num_tokens[i % experts] += static_cast<std::int32_t>(received[i]);
    }
    dispatched.expert_num_tokens = handle.keep(group_.copied(num_tokens));
    const Tensor at = handle.keep(group_.copied(places(received)));
    handle.return_path.received_at = at;
    RowQuantizer::Quantized arrived = group_.arrived(came, columns);
    const Count room = static_cast<Count>(experts) * capacity_;
    const auto placed = [&](const Tensor& rows) {
      const Tensor all = handle.keep(Buffer(group_.memory(), {room, rows.columns, rows.dtype}));
      group_.kernels().scatter_rows(rows, at, all);
      return all;
    };
    dispatched.hidden_states = placed(arrived.rows.tensor());
    group_.quantizer().describe(group_.quantizer().has_scales_by_row()
                                    ? placed(arrived.scales.tensor())
                                    : handle.keep(std::move(arrived.scales)),
                                columns, dispatched);
    if (!group_.has_tags()) return;
    dispatched.provenance = handle.keep(group_.no_tags(room));
    group_.kernels().scatter_rows(came.tensors[1].tensor(), at, dispatched.provenance);
  }

  // Two halves of the buffers alternate, so that a third dispatch would overwrite the first.
  Flight launched() {
    if (!max_in_flight_) return nullptr;
    MOE_CHECK(num_in_flight_ < *max_in_flight_,
              "a dispatch more than the buffers hold: its combine must come first");
    ++num_in_flight_;
    return Flight(&num_in_flight_);
  }

  MessageGroup group_;
  Count capacity_;
  std::optional<int> max_in_flight_;
  bool weight_on_input_;
  std::uint64_t arrival_seed_;
  std::vector<std::int32_t> first_expert_;  // of each rank, and the number of all
  Buffer slot_of_;                          // [num_experts, 1] i32
  int num_in_flight_ = 0;
};

}  // namespace

Capabilities slot_dispatch_capabilities() {
  return {.activation_format = ActivationFormat::batched_experts,
          .dispatch_reach = DispatchReach::owner_ranks,
          .weights_applied_by = WeightsAppliedBy::source_rank,
          .dispatch_move = DispatchMove::slot_messages,
          .combine_move = CombineMove::slot_messages,
          .output_is_reduced = true,
          .recipe = {{.operands = Operands::all_slots, .weighting = Weighting::whole}}};
}

std::unique_ptr<PrepareFinalize> make_slot_dispatch(const PrepareFinalizeConfig& config,
                                                    const Capabilities& capabilities) {
  return std::make_unique<SlotDispatch>(config, capabilities);
}

}  // namespace moe
