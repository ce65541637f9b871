// Ranks whose rows lie in an xpu's memory and travel through the host's: every operation copies
// what it sends to host buffers, lets another communicator move those, and copies what came back.
// Nothing here knows OpenCL or Gloo; makers.cc puts them together.

#pragma once

#include "comm/communicator.h"

namespace moe {

// host: the same ranks with host memory, which moves the rows and adds them where rows are summed.
// Takes its memory over, too. What is copied between the memories is staged_bytes().
std::unique_ptr<Communicator> make_xpu_communicator(std::unique_ptr<Memory> host_memory,
                                                    std::unique_ptr<Communicator> host,
                                                    Memory& memory);

}  // namespace moe
