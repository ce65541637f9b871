// The lists are All2AllManager's: hidden states, weights, ids. Backends with other moves have no
// places to ask for.

#include "backends/row_homes.h"

namespace moe {

RowHomes row_homes(const Capabilities& capabilities, Communicator& group) {
  const bool gathers = capabilities.dispatch_move == DispatchMove::all_gather;
  const bool scatters = capabilities.combine_move == CombineMove::reduce_scatter;
  const auto listed = [&](int index) -> Memory& {
    return gathers ? group.memory_for({RowsAre::to_gather, index}) : group.memory();
  };
  const auto summed = [&](RowsAre rows) -> Memory& {
    return scatters ? group.memory_for({rows}) : group.memory();
  };
  return {listed(0), listed(1), listed(2), summed(RowsAre::to_scatter), summed(RowsAre::scattered)};
}

}  // namespace moe
