// The table of backends as backends/README.md has it: everything in it is asked of the registry,
// the capabilities, the traits and the profiles. A test holds the page against it.

#pragma once

#include <string>

namespace moe::sim {

// Markdown, with the marks around it that the page has; ends with a new line.
std::string backends_table();

}  // namespace moe::sim
