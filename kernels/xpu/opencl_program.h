// The program of this folder's kernels as OpenCL compiles it: the text of all .cl files, and the
// words that C++ and OpenCL C must mean alike, as options of the build.

#pragma once

#include <string>

namespace moe::xpu {

// What a kernel may find and must not act on: values that the host's operators refuse at once.
enum class Refused : int { nothing, expert, local_expert, id, full_expert, other_count };

std::string program_source();

// Correctly rounded quotients, subnormal numbers kept, nothing fused that is not written so.
std::string program_options();

}  // namespace moe::xpu
