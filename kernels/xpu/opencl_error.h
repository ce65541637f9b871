// What OpenCL's calls answer: an error by its name, or as what is thrown. OpenCL's headers, for
// this folder only.

#pragma once

// Of the calls that OpenCL has had since, none is needed (OpenCL 1.2).
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <CL/cl_ext.h>

#include <string>
#include <string_view>

namespace moe::xpu {

// "CL_OUT_OF_RESOURCES"; a number that OpenCL 1.2 does not have as "error -9999".
std::string name_of_error(cl_int result);

// Throws SystemError with what was asked for and the name of what OpenCL answered.
void check(cl_int result, std::string_view what);

}  // namespace moe::xpu
