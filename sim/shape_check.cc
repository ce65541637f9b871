// Each edge is a list of tensors with what they should be.
// Rows of a dispatch are COUNT's; here all its tensors must have as many as the hidden states.

#include "sim/shape_check.h"

#include <span>

#include "kernels/base/text.h"

namespace moe::sim {
namespace {

struct EdgeTensor {
  std::string_view name;
  Tensor actual;
  Shape expected;
};

// Where in the layer: the two sides of an edge, and the half of the layer.
struct Edge {
  std::string_view words;
  int stage = 0;
};

std::string words_of(const Shape& shape) {
  return text("[", shape.rows, ", ", shape.columns, "] ", name_of(shape.dtype));
}

bool has_shape(const Tensor& tensor, const Shape& shape) {
  return tensor.rows == shape.rows && tensor.columns == shape.columns &&
         tensor.dtype == shape.dtype;
}

bool check_edge(golden::Cell cell, Edge edge, std::span<const EdgeTensor> tensors,
                CheckLedger& ledger) {
  ledger.looked("SHAPE");
  bool fits = true;
  for (const EdgeTensor& one : tensors) {
    if (has_shape(one.actual, one.expected)) continue;
    fits = false;
    ledger.found("SHAPE", moment_of(cell, edge.stage),
                 text(place_text(cell), ", ", edge.words, ": ", one.name, " is ",
                      words_of({one.actual.rows, one.actual.columns, one.actual.dtype}),
                      ", the contract says ", words_of(one.expected)));
  }
  return fits;
}

// The routing beside rows; logits are as wide as the router made them.
void add_routing(const LayerContract& contract, const Routing& routing, Count rows,
                 std::vector<EdgeTensor>& tensors) {
  if (!routing.is_selected()) {
    const Tensor& logits = routing.router_logits;
    tensors.push_back({"router_logits", logits, {rows, logits.columns, DType::f32}});
    return;
  }
  tensors.push_back({"topk_ids", routing.topk_ids, {rows, contract.top_k, contract.ids_dtype()}});
  tensors.push_back({"topk_weights", routing.topk_weights, {rows, contract.top_k, DType::f32}});
}

// Of `rows` dispatched rows, and of their scales.
void add_rows_of(const LayerContract& contract, const Dispatched& dispatched, Count rows,
                 std::vector<EdgeTensor>& tensors) {
  const RowQuantization& quantization = contract.facts.quantization;
  if (quantization.at == QuantizedAt::nowhere) {
    tensors.push_back(
        {"hidden_states", dispatched.hidden_states, {rows, contract.hidden_size, contract.dtype}});
    return;
  }
  const QuantizedLayout layout = expert_input_layout(
      quantization, {contract.facts.capabilities.activation_format, rows, contract.hidden_size,
                     contract.is_batched() ? contract.expert_capacity() : 0});
  tensors.push_back({"hidden_states", dispatched.hidden_states, data_shape(layout)});
  tensors.push_back({"scales", dispatched.scales, scales_shape(layout.scales)});
}

}  // namespace

void check_shape_of_input(const LayerContract& contract, golden::Cell cell,
                          const Tensor& hidden_states, const Routing& routing,
                          CheckLedger& ledger) {
  const Count rows = contract.own_rows(cell.step);
  std::vector<EdgeTensor> tensors = {
      {"hidden_states", hidden_states, {rows, contract.hidden_size, contract.dtype}}};
  add_routing(contract, routing, rows, tensors);
  check_edge(cell, {"router to prepare", 0}, tensors, ledger);
}

bool check_shape_of_dispatched(const LayerContract& contract, golden::Cell cell,
                               const Dispatched& dispatched, CheckLedger& ledger) {
  const Tensor& hidden_states = dispatched.hidden_states;
  const Count rows = hidden_states.rows;
  std::vector<EdgeTensor> tensors;
  if (contract.is_batched()) {
    const Count room = contract.num_local_experts * contract.expert_capacity();
    add_rows_of(contract, dispatched, room, tensors);
    tensors.push_back({"expert_num_tokens",
                       dispatched.expert_num_tokens,
                       {contract.num_local_experts, 1, DType::i32}});
  } else {
    add_rows_of(contract, dispatched, rows, tensors);
    add_routing(contract, dispatched.routing, rows, tensors);
  }
  if (dispatched.provenance.columns > 0) {
    tensors.push_back({"provenance", dispatched.provenance, {rows, 1, DType::i64}});
  }
  return check_edge(cell, {"prepare to experts", 0}, tensors, ledger);
}

void check_shape_of_expert_output(const LayerContract& contract, golden::Cell cell,
                                  const Dispatched& dispatched, const Tensor& expert_output,
                                  CheckLedger& ledger) {
  const EdgeTensor one{"expert_output",
                       expert_output,
                       {dispatched.hidden_states.rows, contract.hidden_size, contract.dtype}};
  check_edge(cell, {"experts to finalize", 0}, {&one, 1}, ledger);
}

void check_shape_of_output(const LayerContract& contract, golden::Cell cell, const Tensor& output,
                           CheckLedger& ledger) {
  const EdgeTensor one{
      "output", output, {contract.own_rows(cell.step), contract.hidden_size, contract.dtype}};
  check_edge(cell, {"finalize to output", 1}, {&one, 1}, ledger);
}

}  // namespace moe::sim
