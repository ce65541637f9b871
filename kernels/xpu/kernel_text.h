// The text of all kernels of this folder. CMake writes it into the build, from the .cl files.
// opencl_program.cc gives it to OpenCL's compiler.

#pragma once

namespace moe::xpu {

extern const char* const kernel_text;

}  // namespace moe::xpu
