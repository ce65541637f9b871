// Which kind of failure an error is: of the input, of the system with its peers, or of a contract,
// which is a fault of the program or of what it tests.

#include "sim/rank_failure.h"

#include <chrono>

#include "kernels/base/check.h"

namespace moe::sim {

RankFailure failure_now(FailureKind kind, const std::string& message) {
  return {kind, message, std::chrono::steady_clock::now().time_since_epoch().count()};
}

RankFailure failure_of(const std::exception& error) {
  FailureKind kind = FailureKind::contract;
  if (dynamic_cast<const ScenarioError*>(&error) != nullptr) kind = FailureKind::input;
  if (dynamic_cast<const SystemError*>(&error) != nullptr) kind = FailureKind::system;
  return failure_now(kind, error.what());
}

}  // namespace moe::sim
