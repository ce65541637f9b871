// Stands in for gemm_onednn.cc where a build has no oneDNN: no packing, and the sentence that says
// what to do about that. CMake chooses one of the two.

#include "kernels/cpu/gemm.h"

namespace moe::cpu {

const GemmLibrary onednn_gemm = {"onednn", nullptr,
                                 "not in this build (configure with -DMOE_ONEDNN=ON)"};

}  // namespace moe::cpu
