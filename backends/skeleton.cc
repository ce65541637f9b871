// skeleton: the file to copy for a new backend. It works: rows go to every rank as in
// allgather_reducescatter, partial rows come home by all-to-all and their owner adds them.
// Replace the two functions, the capabilities and this comment; then add the row to registry.def.

#include <vector>

#include "backends/gathered_rows.h"

namespace moe::backends {
namespace {

class Skeleton final : public PrepareFinalize {
 public:
  explicit Skeleton(const PrepareFinalizeConfig& config)
      : group_(config.group()),
        sharing_(config.groups.sharing),
        axes_(dispatch_axes(config.parallel)),
        quantizer_(config.quantization, ActivationFormat::standard, config.kernels),
        provenance_(config.provenance),
        manager_(make_all_gather_manager(group_)) {}

  // Every rank makes the same collective calls, also with no token of its own.
  Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                     RowCounts tokens) override {
    return all_gathered(*manager_, hidden_states, routing, tokens, {quantizer_, provenance_});
  }

  // What the way back needs came in the handle; nothing was kept in a member.
  void finalize(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) override {
    dispatched.handle.use();
    const int num_ranks = group_.size();
    const std::vector<Count> rows_from(static_cast<std::size_t>(num_ranks), output.rows);
    const Buffer partial(group_.memory(), {output.rows * num_ranks, output.columns, output.dtype});
    group_.all_to_all_v({&expert_output, 1}, dispatched.handle.rows_per_rank, rows_from,
                        {&partial.tensor(), 1});
    std::vector<Tensor> from_rank;
    for (int rank = 0; rank < num_ranks; ++rank) {
      from_rank.push_back(rows_of(partial.tensor(), rank * output.rows, output.rows));
    }
    group_.memory().add_rows(from_rank, output);
    if (sharing_ != nullptr) {
      sharing_->summed(expert_output, output, axes_, Sharing::token_sharded);
    }
  }

 private:
  Communicator& group_;
  SharingTags* sharing_;
  Axes axes_;
  RowQuantizer quantizer_;
  Provenance provenance_;
  std::unique_ptr<All2AllManager> manager_;
};

}  // namespace

extern const Backend skeleton;
const Backend skeleton = {
    .capabilities = {.dispatch_reach = DispatchReach::every_rank,
                     .dispatch_move = DispatchMove::all_gather,
                     .combine_move = CombineMove::all_to_all,
                     .takes_router_logits = true,
                     .recipe = {{.operands = Operands::local_slots,
                                 .weighting = Weighting::separate},
                                {.operands = Operands::ranks}}},
    .make = [](const PrepareFinalizeConfig& config) -> std::unique_ptr<PrepareFinalize> {
      return std::make_unique<Skeleton>(config);
    },
};

}  // namespace moe::backends
