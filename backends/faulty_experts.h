// Experts that lie, for seeded faults (fault-catalogue.md, 4). A decorator: healthy experts know
// nothing of it. Made by the program when a run asks for a fault.

#pragma once

#include "backends/moe_layer.h"
#include "kernels/base/memory.h"

namespace moe {

// MF-35: the expert kernel never writes the output it owes to its coldest expert: the rows of the
// dispatched list that chose the local expert with the fewest rows (the lowest of equals). If that
// expert has none, the rows that chose no local expert, which owe zeros.
struct ColdExpertUnwritten {
  int expert = -1;  // a global id instead of the coldest one; -1: the coldest
};

// expert_map: of each global expert its slot on this rank, -1 elsewhere.
std::unique_ptr<Experts> with_cold_expert_unwritten(std::unique_ptr<Experts> inner, Memory& memory,
                                                    std::vector<int> expert_map,
                                                    ColdExpertUnwritten fault);

}  // namespace moe
