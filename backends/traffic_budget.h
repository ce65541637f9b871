// The traffic that a layer may cost a rank: rows, bytes and collectives, worked out from what the
// backend declares and from the sizes of the world alone, never from what was moved. Read by the
// check BYTES.

#pragma once

#include "backends/backend.h"
#include "comm/traced_communicator.h"

namespace moe {

// Who of the rank's tensors travels, as bytes of one row each.
struct RowWidths {
  Count hidden_columns = 0;
  DType dtype = DType::bf16;
  QuantRecipe quantization = QuantRecipe::none;
  std::vector<Count> routing_bytes;  // of each tensor beside the hidden states in the dispatch
  Count logits_bytes = 0;            // of the router's rows, which travel where a runner dispatches
};

// Of a dispatch to owners: messages to other ranks, and those of other ranks that are answered.
struct SentMessages {
  Count sent = 0;
  Count answered = 0;
  int top_k = 0;
};

struct BudgetQuestion {
  const Backend& backend;
  DispatchSite site = DispatchSite::kernel;
  NaiveForm naive_form = NaiveForm::ep_group;
  ParallelSizes sizes;
  FusedMoEParallelConfig parallel;
  int tp_rank = 0;  // in the TP group
  bool has_shared_experts = false;
  RowWidths widths;
  SentMessages messages;
};

// REQUIRES declared moves. Tags that travel by themselves are counted, those in a list are not, as
// TracedCommunicator does with LastTensor::side.
Traffic traffic_budget(const BudgetQuestion& question, RowCounts num_tokens_across_dp);

}  // namespace moe
