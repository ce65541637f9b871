// Experts decorators that write where or how they must not, for seeded faults (fault-catalogue.md,
// F1, F10, F17). Made by the program when a run asks for a fault.

#pragma once

#include "backends/moe_layer.h"

namespace moe {

// MF-27: the workspace is declared for the DP ranks, though as many ranks dispatch as the EP group
// has (F8, F10). The kernel writes on: the first row that does not fit lands behind the workspace.
std::unique_ptr<Experts> with_workspace_by_dp_size(std::unique_ptr<Experts> inner, Memory& memory,
                                                   int dp_size);

// MF-54: the experts compute in place, over the rows that they were given (vllm#28939).
std::unique_ptr<Experts> with_input_overwritten(std::unique_ptr<Experts> inner, Memory& memory);

// untrimmed_width: rows were padded to a multiple of so many columns for the kernel, and nobody
// cuts them again (vllm#40794).
std::unique_ptr<Experts> with_untrimmed_width(std::unique_ptr<Experts> inner, Memory& memory,
                                              int multiple);

}  // namespace moe
