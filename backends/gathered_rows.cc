// Tags travel as the last extra, so that whoever counts traffic can leave them out.
// Which rank moves what is the manager's.

#include "backends/gathered_rows.h"

#include <vector>

namespace moe {
namespace {

class LocalRows final : public PrepareFinalize {
 public:
  explicit LocalRows(const PrepareFinalizeConfig& config)
      : memory_(config.memory), provenance_(config.provenance), sharing_(config.groups.sharing) {}

  Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                     RowCounts tokens) override {
    Dispatched dispatched;
    dispatched.hidden_states = hidden_states;
    dispatched.routing = routing;
    dispatched.handle.rows_per_rank.assign(tokens.begin(), tokens.end());
    if (provenance_ == Provenance::travels) {
      dispatched.provenance =
          dispatched.handle.keep(provenance_tags(memory_, 0, hidden_states.rows));
    }
    return dispatched;
  }

  void finalize(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) override {
    dispatched.handle.use();
    memory_.copy(expert_output, output);
    if (sharing_ != nullptr) sharing_->copied(expert_output, output);
  }

 private:
  Memory& memory_;
  Provenance provenance_;
  SharingTags* sharing_;
};

}  // namespace

Buffer provenance_tags(Memory& memory, int rank, Count rows) {
  std::vector<std::int64_t> tags;
  for (Count row = 0; row < rows; ++row) tags.push_back(provenance_tag(rank, row));
  return copy_of({tags.data(), rows, 1, DType::i64, {}}, memory);
}

Dispatched all_gathered(All2AllManager& manager, const Tensor& hidden_states,
                        const Routing& routing, RowCounts tokens, Provenance provenance) {
  Communicator& group = manager.group();
  Buffer tags;
  std::vector<Extra> extras;
  if (provenance == Provenance::travels) {
    tags = provenance_tags(group.memory(), group.rank(), hidden_states.rows);
    extras.push_back({tags.tensor()});
  }
  Dispatched dispatched =
      routing.is_selected()
          ? manager.dispatch(hidden_states, routing, extras, tokens)
          : manager.dispatch_router_logits(hidden_states, routing.router_logits, extras, tokens);
  if (provenance == Provenance::travels) dispatched.provenance = dispatched.extras.back();
  return dispatched;
}

std::unique_ptr<PrepareFinalize> make_local_rows(const PrepareFinalizeConfig& config) {
  return std::make_unique<LocalRows>(config);
}

}  // namespace moe
