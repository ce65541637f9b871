// The layer itself: select experts, dispatch, compute, combine. vLLM's four: the all2all backend's
// PrepareFinalize, Experts, and the MoeLayer that joins them (fused_moe/modular_kernel.py).
// Only prepare and finalize touch a communicator.

#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "backends/parallel/sharing.h"
#include "kernels/base/buffer.h"
#include "kernels/base/quantized_rows.h"
#include "kernels/base/routing.h"

namespace moe {

// A dispatch under way, counted by who has room for only so many: the count falls when it ends.
struct Landing {
  void operator()(int* num_in_flight) const { --*num_in_flight; }
};
using Flight = std::unique_ptr<int, Landing>;

// How rows that were sent only where they are needed come home: messages to each rank, and from
// each. Tensors are kept by the handle.
struct ReturnPath {
  std::vector<Count> messages_to;
  std::vector<Count> messages_from;
  Tensor message_of = {};   // [own rows, top_k] i32: which message each choice waits for, -1 none
  Tensor received_at = {};  // [messages from all, 1] i32: the dispatched row of each; null: its own
  Tensor topk_weights = {};  // [own rows, top_k] f32, where the source applies them
  Flight in_flight = {};     // ends with the handle. LIFETIME: not longer than who counts
};

// What combine needs to find the way back. Made by prepare, used once by finalize; owns the
// received rows and the workspace of the experts. Move-only.
class DispatchHandle {
 public:
  DispatchHandle() = default;
  DispatchHandle(DispatchHandle&& other) noexcept;
  DispatchHandle& operator=(DispatchHandle&& other) noexcept;
  DispatchHandle(const DispatchHandle&) = delete;
  DispatchHandle& operator=(const DispatchHandle&) = delete;

  // Takes over a buffer until the handle ends. RETURNS its view.
  Tensor keep(Buffer buffer);

  // The same for the experts' scratch rows, whose size is declared before they are written.
  Tensor keep_workspace(Buffer buffer);

  // Every workspace that was kept. LIFETIME: the handle's.
  const std::vector<Tensor>& workspaces() const { return workspaces_; }

  // The kept buffer that holds the tensor's first row; nothing if none does.
  std::optional<Tensor> buffer_of(const Tensor& rows) const;

  // Rows of each rank of the group, as prepare moved them.
  std::vector<Count> rows_per_rank;

  // Of dispatches to chosen ranks.
  ReturnPath return_path;

  // Marks the handle as used. Throws ContractError the second time.
  void use();

  // Whether every kept buffer still has its guard rows.
  bool guards_intact() const;

 private:
  std::vector<Buffer> buffers_;
  std::vector<Tensor> workspaces_;
  bool used_ = false;
};

// What arrived on a rank, in the backend's activation format.
struct Dispatched {
  Tensor hidden_states;  // standard [rows, hidden_size]; batched [experts * capacity, hidden_size]
  Routing routing;       // standard: aligned with the rows; batched: empty
  Tensor expert_num_tokens;  // [num_local_experts, 1] i32: batched: valid rows of each expert;
                             // standard: choices of each, or null
  // Quantised rows: hidden_states are codes, these say of what. layout.format is as_it_is where
  // nothing is quantised.
  Tensor scales = {};
  Tensor global_scale = {};
  QuantizedLayout layout = {};
  Tensor provenance;           // [rows, 1] i64 tags (routing.h); null where provenance is off
  std::vector<Tensor> extras;  // what travelled beside the rows, in the order in which it was given
  DispatchHandle handle;

  bool is_quantized() const { return layout.format != NumberFormat::as_it_is; }
  QuantizedRows quantized() const { return {hidden_states, scales, global_scale, {}, layout}; }
  // Values in a row.
  Count columns() const { return is_quantized() ? layout.columns : hidden_states.columns; }
};

// Dispatch and combine of one backend on one rank. Collective calls, in the same order on all
// ranks.
class PrepareFinalize {
 public:
  virtual ~PrepareFinalize() = default;

  // hidden_states [tokens[rank], hidden_size], routing aligned with it, tokens: rows of every rank.
  virtual Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                             RowCounts tokens) = 0;

  // expert_output has the shape of the dispatched rows; output [tokens[rank], hidden_size].
  virtual void finalize(const Tensor& expert_output, Dispatched dispatched,
                        const Tensor& output) = 0;
};

// The experts of one rank; could run on a desert island.
class Experts {
 public:
  virtual ~Experts() = default;

  // RETURNS rows in the dispatched shape: weighted and summed over this rank's choices in the
  // standard format, one unweighted row per slot in the batched one. LIFETIME: that of
  // dispatched.handle.
  virtual Tensor apply(Dispatched& dispatched) = 0;
};

// Router logits → ids and weights; or, in the monolithic path, the logits as they are, since there
// the experts select.
class Router {
 public:
  virtual ~Router() = default;
  virtual RoutingBuffers select_experts(const Tensor& router_logits) = 0;
};

class MoeLayer {
 public:
  // sharing: where the tags of the layer's tensors are kept; null where nobody looks.
  MoeLayer(std::unique_ptr<Router> router, std::unique_ptr<PrepareFinalize> prepare_finalize,
           std::unique_ptr<Experts> experts, SharingTags* sharing = nullptr);

  // A call that has dispatched and not combined. LIFETIME: shorter than its hidden_states.
  struct Pending {
    RoutingBuffers routing;
    Dispatched dispatched;
  };
  // forward in two halves, so that another call's dispatch can come between them. Collective each.
  Pending begin(const Tensor& hidden_states, const Tensor& router_logits, RowCounts tokens);
  void finish(Pending pending, const Tensor& output);

  // hidden_states [tokens[rank], hidden_size] → output, the same shape. router_logits has one row
  // per token, as the router reads it. tokens: rows of every rank of the group.
  void forward(const Tensor& hidden_states, const Tensor& router_logits, RowCounts tokens,
               const Tensor& output);

 private:
  std::unique_ptr<Router> router_;
  std::unique_ptr<PrepareFinalize> prepare_finalize_;
  std::unique_ptr<Experts> experts_;
  SharingTags* sharing_;
};

}  // namespace moe
