// The machine's pages, and the limits that Linux control groups of either version set.
// A limit that cannot be read is none.

#include "sim/machine_memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace moe::sim {
namespace {

Count read_machine_memory() {
  Count bytes = Count{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  for (const char* file :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    Count limit = 0;
    if (std::ifstream(file) >> limit && limit > 0) bytes = std::min(bytes, limit);
  }
  return bytes;
}

}  // namespace

Count machine_memory_bytes() {
  static const Count bytes = read_machine_memory();  // every line asks
  return bytes;
}

}  // namespace moe::sim
