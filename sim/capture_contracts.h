// What each backend of vLLM promises about the rows it delivers and the sums it brings home, for
// captures of foreign implementations. A name without a contract has the reason why.

#pragma once

#include <span>
#include <string_view>

#include "golden/capture.h"

namespace moe::sim {

struct CaptureContractRow {
  std::string_view name;
  std::string_view absence;  // empty: there is a contract
  golden::CaptureContract contract = {};
};

// Every name that a profile knows.
std::span<const CaptureContractRow> all_capture_contracts();

}  // namespace moe::sim
