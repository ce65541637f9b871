// The list of one dispatch: what travels, in vLLM's order, and where it lands. Also the manager of
// the default backend, which the runner borrows for PCP.

#include "backends/all2all_manager.h"

#include <utility>

#include "kernels/base/text.h"

namespace moe {
namespace {

class AgRsAll2All final : public All2AllManager {
 public:
  explicit AgRsAll2All(Communicator& group) : group_(group) {}

  Communicator& group() override { return group_; }

 private:
  Memory& memory_for_received(int index) override {
    return group_.memory_for({RowsAre::gathered, index});
  }

  void do_dispatch(Tensors rows, RowCounts tokens, Tensors received) override {
    group_.all_gather_v(rows, tokens, received);
  }

  void do_combine(const Tensor& rows, RowCounts tokens, const Tensor& own) override {
    group_.reduce_scatter_v(rows, tokens, own);
  }

  Communicator& group_;
};

}  // namespace

Dispatched All2AllManager::dispatch(const Tensor& hidden_states, const Routing& routing,
                                    Extras extras, RowCounts tokens) {
  Dispatched dispatched;
  const std::vector<Tensor> own = {hidden_states, routing.topk_weights, routing.topk_ids};
  const std::vector<Tensor> received = move(own, extras, tokens, dispatched);
  dispatched.hidden_states = received[0];
  dispatched.routing = {
      .topk_ids = received[2], .topk_weights = received[1], .space = routing.space};
  return dispatched;
}

Dispatched All2AllManager::dispatch_router_logits(const Tensor& hidden_states,
                                                  const Tensor& router_logits, Extras extras,
                                                  RowCounts tokens) {
  Dispatched dispatched;
  const std::vector<Tensor> own = {hidden_states, router_logits};
  const std::vector<Tensor> received = move(own, extras, tokens, dispatched);
  dispatched.hidden_states = received[0];
  dispatched.routing = {.router_logits = received[1]};
  return dispatched;
}

void All2AllManager::combine(const Tensor& rows, RowCounts tokens, const Tensor& own) {
  do_combine(rows, tokens, own);
}

std::vector<Tensor> All2AllManager::move(std::vector<Tensor> list, Extras extras, RowCounts tokens,
                                         Dispatched& dispatched) {
  const auto rank = static_cast<std::size_t>(group().rank());
  MOE_CHECK(std::ssize(tokens) == group().size() && tokens[rank] == list[0].rows,
            text(shape_text(list[0]), " to dispatch from rank ", rank, " where the counts say [",
                 joined(tokens), "]"));
  MOE_CHECK(extras.empty() || carries_extras(),
            text("not implemented: this manager takes no extras beside the rows, and got ",
                 extras.size()));
  std::size_t next = list.size();
  for (const Extra& extra : extras) {
    if (extra.shape == ExtraShape::per_row) list.push_back(extra.tensor);
  }
  std::vector<Tensor> received;
  for (const Tensor& sent : list) {
    Memory& memory = memory_for_received(static_cast<int>(received.size()));
    received.push_back(
        dispatched.handle.keep(Buffer(memory, {total_rows(tokens), sent.columns, sent.dtype})));
  }
  dispatched.handle.rows_per_rank.assign(tokens.begin(), tokens.end());
  do_dispatch(list, tokens, received);
  for (const Extra& extra : extras) {
    const bool has_travelled = extra.shape == ExtraShape::per_row;
    dispatched.extras.push_back(has_travelled ? received[next++] : extra.tensor);
  }
  return received;
}

std::unique_ptr<All2AllManager> make_all_gather_manager(Communicator& group) {
  return std::make_unique<AgRsAll2All>(group);
}

}  // namespace moe
