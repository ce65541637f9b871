// Communicators of which it is known what they lack, to see that the suite notices: each forwards
// every call to a healthy one, but for one lapse. Tests only.

#pragma once

#include <memory>
#include <string>

#include "comm/communicator.h"

namespace moe::test {

// refuses: the call is there and says that it is not written. skips: it returns at once.
enum class Lapse {
  refuses,
  skips,
  first_of_list_only,
  no_zero_rows,
  no_fp8,
  rounds_between,
  names_nobody
};

// call: the operation that has the lapse, as in the words of the suite's cases.
std::unique_ptr<Communicator> incomplete(std::unique_ptr<Communicator> inner, std::string call,
                                         Lapse lapse);

}  // namespace moe::test
