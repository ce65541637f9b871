// Stands in for NCCL's files where a build has no CUDA: no maker, and the sentence that
// says what to do about that. CMake chooses one of the two.

#include "comm/nccl_communicator.h"

namespace moe {

const NcclMaker nccl_maker = {nullptr, nullptr, nullptr, nullptr,
                              "not in this build (configure with --preset cuda)"};

}  // namespace moe
