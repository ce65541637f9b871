// Stands in for gloo_communicator.cc where a build has no Gloo: no maker, and the sentence that
// says what to do about that. CMake chooses one of the two.

#include "comm/gloo_communicator.h"

namespace moe {

const GlooMaker gloo_maker = {nullptr, "not in this build (configure with -DMOE_GLOO=ON)"};

}  // namespace moe
