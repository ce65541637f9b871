// What this build is made of, for --version.
// version.cc is written by CMake from version.cc.in.
#pragma once

#include <string>

namespace moe::sim {

std::string version_text();
std::string commit_text();  // as git describes it

}  // namespace moe::sim
