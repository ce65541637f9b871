// The lines of a golden text file, as tests compare them: neither empty lines nor # comments.
// Goldens of scenarios are not read here: golden/ has those.

#pragma once

#include <fstream>
#include <string>
#include <vector>

namespace moe {

// A file that cannot be read has none.
inline std::vector<std::string> golden_lines(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && !line.starts_with("#")) lines.push_back(line);
  }
  return lines;
}

}  // namespace moe
