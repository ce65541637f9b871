// Which NCCL is loaded, and that it is the one that this program was built for.
// One copy of the library per process; nccl_communicator.cc asks before it makes its first group.

#pragma once

#include <nccl.h>

#include <string>

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {

inline std::string nccl_version() {
  int number = 0;
  ncclGetVersion(&number);
  return text("NCCL ", number / 10000, ".", number / 100 % 100, ".", number % 100);
}

// NCCL's structures change between versions: headers and library must be the same. Throws
// SystemError with what to do.
inline void check_nccl_version() {
  int version = 0;
  ncclGetVersion(&version);
  if (version == NCCL_VERSION_CODE) return;
  throw SystemError(text("NCCL ", version, " is loaded, this program was built for ",
                         NCCL_VERSION_CODE, ": put that library first in LD_LIBRARY_PATH"));
}

}  // namespace moe
