// skeleton: the file to copy for a new backend. It works: rows go to every rank as in
// allgather_reducescatter, partial rows come home by all-to-all and their owner adds them.
// Replace the two functions, the capabilities and this comment; then add the row to registry.def.

#include <vector>

#include "backends/backend.h"
#include "backends/gathered_rows.h"

namespace moe::backends {
namespace {

class Skeleton final : public PrepareFinalize {
 public:
  explicit Skeleton(const PrepareFinalizeConfig& config) : config_(config) {}

  // Every rank makes the same collective calls, also with no token of its own.
  Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                     RowCounts tokens) override {
    return all_gathered(config_, hidden_states, routing, tokens);
  }

  // What the way back needs came in the handle; nothing was kept in a member.
  void finalize(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) override {
    dispatched.handle.use();
    const int num_ranks = config_.group.size();
    const std::vector<Count> rows_from(static_cast<std::size_t>(num_ranks), output.rows);
    const Buffer partial(config_.memory, {output.rows * num_ranks, output.columns, output.dtype});
    config_.group.all_to_all_v({&expert_output, 1}, dispatched.handle.rows_per_rank, rows_from,
                               {&partial.tensor(), 1});
    std::vector<Tensor> from_rank;
    for (int rank = 0; rank < num_ranks; ++rank) {
      from_rank.push_back(rows_of(partial.tensor(), rank * output.rows, output.rows));
    }
    config_.memory.add_rows(from_rank, output);
  }

 private:
  PrepareFinalizeConfig config_;
};

}  // namespace

extern const Backend skeleton;
const Backend skeleton = {
    .capabilities = {.dispatch_reach = DispatchReach::every_rank,
                     .recipe = {{.operands = Operands::local_slots,
                                 .weighting = Weighting::separate},
                                {.operands = Operands::ranks}}},
    .make = [](const PrepareFinalizeConfig& config) -> std::unique_ptr<PrepareFinalize> {
      return std::make_unique<Skeleton>(config);
    },
};

}  // namespace moe::backends
