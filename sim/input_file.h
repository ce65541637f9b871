// Bytes of a file that somebody gave us: regular files only, never more than a stated size.
// Every reader of sim/ goes through here; what the bytes mean is the readers' affair.

#pragma once

#include <cstddef>
#include <fstream>
#include <span>
#include <string>

#include "kernels/base/dtype.h"

namespace moe::sim {

// An open regular file and the size it had then. read_next() hands out its bytes in order.
class InputFile {
 public:
  // Throws ScenarioError "path: reason" for a missing, unreadable or irregular file.
  explicit InputFile(const std::string& path);

  const std::string& path() const { return path_; }
  Count size() const { return size_; }

  // Fills bytes. Throws ScenarioError if the file ends before (it shrank since it was opened).
  void read_next(std::span<std::byte> bytes);

 private:
  std::string path_;
  Count size_ = 0;
  std::ifstream stream_;
};

// The whole file. Throws ScenarioError if it has more than bytes_max.
std::string read_input_text(const std::string& path, Count bytes_max);

}  // namespace moe::sim
