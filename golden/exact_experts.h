// The experts of exact worlds as tables: which input column feeds which output column, and with
// which sign. Made from mix alone. Used by oracle.cc.

#pragma once

#include <vector>

#include "golden/oracle.h"

namespace moe::golden {

// One expert as a whole: output column h is signs[h] times the activated input of column
// sources[h].
struct ExpertColumns {
  std::vector<std::int32_t> sources;
  std::vector<std::int8_t> signs;
};

// expert: -1 for the layer's shared one.
ExpertColumns columns_of(const OracleModel& model, int layer, int expert);

}  // namespace moe::golden
