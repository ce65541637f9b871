// The message of a broken contract: what had to hold, where, and with which values.
// Called through MOE_CHECK only.

#include "kernels/base/check.h"

#include "kernels/base/text.h"

namespace moe {

void contract_broken(const char* condition, const char* place, const std::string& why) {
  throw ContractError(text(why, " (", condition, " at ", place, ")"));
}

}  // namespace moe
