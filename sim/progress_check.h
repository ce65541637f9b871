// PROG after a run: where a rank failed with nobody having said why, who waited for what
// (fault-catalogue.md, 2). Called by run.cc once all ranks have ended.

#pragma once

#include <vector>

#include "sim/rank_program.h"

namespace moe::sim {

// Adds the finding to the first report's ledger where the first rank to fail waited in vain and no
// check has explained it.
void check_progress(std::vector<RankReport>& reports);

}  // namespace moe::sim
