// The decorator: rows are parted on the host, logits go on to the router, weights into its result.
// Made by rank_program.cc.

#include "sim/exact_weights.h"

#include <algorithm>
#include <utility>

#include "sim/host_copy.h"

namespace moe::sim {
namespace {

// Columns [first, first + columns) of every row.
Buffer part_of(const Tensor& rows, Count first, Count columns, Memory& host) {
  Buffer part(host, {rows.rows, columns, rows.dtype});
  const auto from = elements_of<float>(rows);
  const auto to = elements_of<float>(part.tensor());
  for (Count row = 0; row < rows.rows; ++row) {
    const auto begin = from.begin() + row * rows.columns + first;
    std::copy_n(begin, columns, to.begin() + row * columns);
  }
  return part;
}

class ExactWeightsRouter final : public Router {
 public:
  ExactWeightsRouter(std::unique_ptr<Router> inner, int top_k, Memory& memory)
      : inner_(std::move(inner)),
        top_k_(top_k),
        memory_(memory),
        host_(make_host_memory(Poison::on)) {}

  RoutingBuffers select_experts(const Tensor& router_logits) override {
    const HostCopy rows(router_logits, memory_);
    const Count num_experts = router_logits.columns - top_k_;
    const Buffer logits = copy_of(part_of(rows.tensor(), 0, num_experts, *host_).tensor(), memory_);
    RoutingBuffers chosen = inner_->select_experts(logits.tensor());
    chosen.topk_weights =
        copy_of(part_of(rows.tensor(), num_experts, top_k_, *host_).tensor(), memory_);
    return chosen;
  }

 private:
  std::unique_ptr<Router> inner_;
  int top_k_;
  Memory& memory_;
  std::unique_ptr<Memory> host_;
};

}  // namespace

std::unique_ptr<Router> with_exact_weights(std::unique_ptr<Router> inner, int top_k,
                                           Memory& memory) {
  return std::make_unique<ExactWeightsRouter>(std::move(inner), top_k, memory);
}

Buffer logits_beside_weights(const Tensor& logits, const Tensor& weights, Memory& host) {
  Buffer rows(host, {logits.rows, logits.columns + weights.columns, DType::f32});
  const auto to = elements_of<float>(rows.tensor());
  for (Count row = 0; row < logits.rows; ++row) {
    auto at = to.begin() + row * rows.tensor().columns;
    for (const Tensor& part : {logits, weights}) {
      at = std::copy_n(elements_of<float>(part).begin() + row * part.columns, part.columns, at);
    }
  }
  return rows;
}

}  // namespace moe::sim
