// naive: vLLM's first all2all manager (#13931): every row is broadcast to every rank, partial sums
// are all-reduced whole and each rank keeps its own rows. #36294 took the option away and #33728
// the manager; allgather_reducescatter replaced both. distribution-layer.md, 3.2 and 3.3.

#include <vector>

#include "backends/gathered_rows.h"
#include "kernels/base/text.h"

namespace moe::legacy {
namespace {

// With one DP rank vLLM asks no manager, so there the shipped form has nothing to get wrong.
// Slice i holds the rows of rank i of the dispatch group. Its owners in the transport group are
// neighbours with the same rows: ranks i * owners() to (i + 1) * owners() - 1.
class NaiveAll2All final : public All2AllManager {
 public:
  explicit NaiveAll2All(const PrepareFinalizeConfig& config)
      : group_(config.group()),
        transport_(config.naive_form == NaiveForm::dp_group ? group_ : config.groups.ep),
        is_as_shipped_(config.naive_form == NaiveForm::ep_group_as_shipped && group_.size() > 1),
        sharing_(config.groups.sharing),
        axes_(dispatch_axes(config.parallel)) {}

  Communicator& group() override { return group_; }

  // A list of one tensor, without a handle of its own: how provenance tags travel, since a dispatch
  // takes no extras.
  void broadcast_rows(const Tensor& rows, RowCounts tokens, const Tensor& received) {
    do_dispatch({&rows, 1}, tokens, {&received, 1});
  }

 private:
  bool carries_extras() const override { return false; }

  int owners() const { return transport_.size() / group_.size(); }

  // The shipped manager counts EP ranks as if they were DP ranks.
  int root_of(int slice) const { return is_as_shipped_ ? slice : slice * owners(); }

  // Where several ranks hold the same rows the runner sums over them, so one alone hands the whole
  // sum on. As shipped all of them do, and it counts owners() times.
  bool hands_sum_on() const { return is_as_shipped_ || transport_.rank() % owners() == 0; }

  void do_dispatch(Tensors rows, RowCounts tokens, Tensors received) override {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      // What a root has of a slice that is not its own is whatever its memory held: zeros here, so
      // that the defect ends alike every time.
      if (is_as_shipped_) group_.memory().fill(received[i], 0);
      group_.memory().copy(rows[i], slice_of(received[i], tokens, group_.rank()));
      for (int slice = 0; slice < group_.size(); ++slice) {
        const Tensor moved = slice_of(received[i], tokens, slice);
        transport_.broadcast({&moved, 1}, root_of(slice));
      }
    }
  }

  void do_combine(const Tensor& rows, RowCounts tokens, const Tensor& own) override {
    const Buffer sum(group_.memory(), {rows.rows, rows.columns, rows.dtype});
    transport_.all_reduce(rows, ReduceOp::sum, sum.tensor());
    tell_sharing(sum.tensor(), own);
    if (hands_sum_on()) {
      group_.memory().copy(slice_of(sum.tensor(), tokens, group_.rank()), own);
    } else {
      group_.memory().fill(own, 0);
    }
  }

  // Own rows are of other tokens on each rank of the dispatch group. Where one of their owners
  // hands the sum on and the others zeros they are partial again; as shipped they stay complete.
  void tell_sharing(const Tensor& sum, const Tensor& own) {
    if (sharing_ == nullptr) return;
    sharing_->copied(sum, own);
    sharing_->sharded(own, axes_);
    if (owners() > 1 && !is_as_shipped_) sharing_->handed_on_by_one(own, Axis::tp);
  }

  static Tensor slice_of(const Tensor& rows, RowCounts tokens, int slice) {
    return rows_of(rows, rows_before(tokens, slice), tokens[static_cast<std::size_t>(slice)]);
  }

  Communicator& group_;
  Communicator& transport_;
  bool is_as_shipped_;
  SharingTags* sharing_;
  Axes axes_;
};

class Naive final : public PrepareFinalize {
 public:
  explicit Naive(const PrepareFinalizeConfig& config)
      : manager_(config),
        quantizer_(config.quantization, ActivationFormat::standard, config.kernels),
        provenance_(config.provenance) {}

  Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                     RowCounts tokens) override {
    Dispatched dispatched = all_gathered(manager_, hidden_states, routing, tokens, {quantizer_});
    if (provenance_ == Provenance::off) return dispatched;
    Communicator& group = manager_.group();
    const Buffer tags = provenance_tags(group.memory(), group.rank(), hidden_states.rows);
    dispatched.provenance =
        dispatched.handle.keep(Buffer(group.memory(), {total_rows(tokens), 1, DType::i64}));
    manager_.broadcast_rows(tags.tensor(), tokens, dispatched.provenance);
    return dispatched;
  }

  void finalize(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) override {
    dispatched.handle.use();
    manager_.combine(expert_output, dispatched.handle.rows_per_rank, output);
  }

 private:
  NaiveAll2All manager_;
  RowQuantizer quantizer_;
  Provenance provenance_;
};

}  // namespace

extern const Backend naive;
const Backend naive = {
    .capabilities = {.dispatch_reach = DispatchReach::every_rank,
                     .dispatch_move = DispatchMove::broadcast,
                     .combine_move = CombineMove::all_reduce,
                     .takes_router_logits = true,
                     .quantization = {.after_receipt = with_dynamic_tensor(row_recipes)},
                     .recipe = {{.operands = Operands::local_slots,
                                 .weighting = Weighting::separate},
                                {.operands = Operands::ranks}}},
    .make = [](const PrepareFinalizeConfig& config) -> std::unique_ptr<PrepareFinalize> {
      return std::make_unique<Naive>(config);
    },
    .make_manager = [](const PrepareFinalizeConfig& config) -> std::unique_ptr<All2AllManager> {
      return std::make_unique<NaiveAll2All>(config);
    },
};

}  // namespace moe::legacy
