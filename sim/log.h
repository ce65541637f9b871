// The log: what a long run does besides its results, on standard error, as much as --log asks for.
// Results never go here, and nothing that matters is said here only.

#pragma once

#include <string>

namespace moe::sim {

enum class LogLevel { error, warning, info, debug };

// THREAD: any; one line at a time.
class Log {
 public:
  explicit Log(LogLevel level) : level_(level) {}

  bool says(LogLevel level) const { return level <= level_; }
  void write(LogLevel level, const std::string& words) const;

 private:
  LogLevel level_;
};

}  // namespace moe::sim
