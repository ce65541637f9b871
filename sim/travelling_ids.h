// TravellingIds: with which ids a token's choices leave the router. Without a load balancer they
// are the logical ones; with one each is the slot of a replica (experts-and-oracles.md, 3.5). Asked
// by checks that compare what arrived with what was chosen.

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/base/dtype.h"

namespace moe::sim {

class TravellingIds {
 public:
  virtual ~TravellingIds() = default;

  // chosen: the logical ids of a token, -1 masked; row: its place among the rows that its router
  // sees. layer counts over all stages.
  virtual std::vector<std::int16_t> travelling(int layer, Count row,
                                               std::span<const std::int16_t> chosen) const = 0;
};

}  // namespace moe::sim
