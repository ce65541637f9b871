// Routing: which experts each token chose and with which weights, and in which space the ids count.
// A view; RoutingBuffers owns. How a choice is made is kernels/, where an expert lives backends/.

#pragma once

#include <bit>

#include "kernels/base/buffer.h"

namespace moe {

// logical: the model's experts. physical: the slots of all ranks, replicas included.
// local: the slots of one rank.
enum class IdSpace { logical, physical, local };

// topk_ids [tokens, top_k] i32 or i64, -1 is a masked choice; topk_weights [tokens, top_k] f32.
// Or, where whoever receives the rows selects, router_logits in their place.
struct Routing {
  Tensor topk_ids = {};
  Tensor topk_weights = {};
  IdSpace space = IdSpace::logical;
  Tensor router_logits = {};  // [tokens, one column for each expert]; columns 0: selected

  bool is_selected() const { return router_logits.columns == 0; }
};

// Owner of a routing.
struct RoutingBuffers {
  Buffer topk_ids;
  Buffer topk_weights;
  IdSpace space = IdSpace::logical;
  Tensor router_logits = {};  // LIFETIME: the caller's

  Routing view() const { return {topk_ids.tensor(), topk_weights.tensor(), space, router_logits}; }
};

// A weight of 1, f32, for each element: for rows that carry their weights already.
inline Buffer weights_of_one(const Tensor& like, Memory& memory) {
  Buffer ones(memory, {like.rows, like.columns, DType::f32});
  memory.fill(ones.tensor(), std::bit_cast<std::uint32_t>(1.0F));
  return ones;
}

// Where a row came from, in one number that travels beside it in a side tensor [rows, 1] i64.
constexpr std::int64_t provenance_tag(int rank, Count row) {
  return (static_cast<std::int64_t>(rank) << 32) | row;
}
constexpr int rank_of_tag(std::int64_t tag) { return static_cast<int>(tag >> 32); }
constexpr Count row_of_tag(std::int64_t tag) { return tag & 0xFFFFFFFF; }

}  // namespace moe
