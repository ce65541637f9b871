// Lines of the log: "moebius info: …".
// The only thing to know is that a line is one write, so that threads do not mix theirs.

#include "sim/log.h"

#include <array>
#include <iostream>

#include "kernels/base/text.h"

namespace moe::sim {

void Log::write(LogLevel level, const std::string& words) const {
  constexpr std::array<std::string_view, 4> names = {"error", "warning", "info", "debug"};
  if (!says(level)) return;
  std::cerr << text("moebius ", names[static_cast<std::size_t>(level)], ": ", words, "\n");
}

}  // namespace moe::sim
