// All2AllManager: dispatch and combine in line, over whole rows (vLLM: All2AllManagerBase of the
// AG/RS kind; distribution-layer.md, 3.1). A seam: implementations only move a list of tensors.
// Called by a PrepareFinalize, or by the runner where dispatch stands outside the kernel.

#pragma once

#include "backends/moe_layer.h"
#include "comm/communicator.h"

namespace moe {

// A further tensor that travels with the rows, a scale for instance. One row for each row: it is
// gathered as they are. Zero-dimensional: the same on all ranks, it stays as it is.
enum class ExtraShape { per_row, zero_dimensional };
struct Extra {
  Tensor tensor;
  ExtraShape shape = ExtraShape::per_row;
};
using Extras = std::span<const Extra>;

class All2AllManager {
 public:
  virtual ~All2AllManager() = default;

  // The group over which rows travel.
  virtual Communicator& group() = 0;

  // RETURNS the rows of all ranks, ranks ascending: hidden_states, topk_weights and topk_ids, then
  // the extras, in one group call. tokens: rows of every rank of the group.
  Dispatched dispatch(const Tensor& hidden_states, const Routing& routing, Extras extras,
                      RowCounts tokens);

  // The same with the router's logits in the place of choices: who receives them selects.
  Dispatched dispatch_router_logits(const Tensor& hidden_states, const Tensor& router_logits,
                                    Extras extras, RowCounts tokens);

  // rows: every rank's own partial results for all ranks' rows, as dispatched. own: the sums for
  // this rank's rows.
  void combine(const Tensor& rows, RowCounts tokens, const Tensor& own);

 private:
  // Where the index-th received tensor of a list comes to lie.
  virtual Memory& memory_for_received(int /*index*/) { return group().memory(); }

  // Whether a dispatch takes extras. The first managers did not (vLLM: NotImplementedError).
  virtual bool carries_extras() const { return true; }

  // RETURNS the gathered list without the extras, which go into dispatched with handle and counts.
  std::vector<Tensor> move(std::vector<Tensor> list, Extras extras, RowCounts tokens,
                           Dispatched& dispatched);

  virtual void do_dispatch(Tensors rows, RowCounts tokens, Tensors received) = 0;
  virtual void do_combine(const Tensor& rows, RowCounts tokens, const Tensor& own) = 0;
};

// All-gather and reduce-scatter over a group. LIFETIME: the group outlives it.
std::unique_ptr<All2AllManager> make_all_gather_manager(Communicator& group);

}  // namespace moe
