// Which scenario files a command means: files, folders and names, and what to say of a path that is
// none of these.

#include <algorithm>
#include <set>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/scenario_reader.h"

namespace moe::sim {
namespace {

namespace fs = std::filesystem;

bool is_scenario_file(const fs::path& path) { return path.extension() == ".yaml"; }

std::vector<fs::path> files_below(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code entry_error;
    if (is_scenario_file(at->path()) && at->is_regular_file(entry_error))
      files.push_back(at->path());
  }
  if (error) {
    throw ScenarioError(text(folder.string(), ": cannot be listed: ", error.message()));
  }
  return files;
}

// As given, below root, or a name without its extension below root; empty if none exists. A folder
// without scenarios hides none that has some: packs are named like rooms of this repository.
fs::path found_path(const std::string& given, const fs::path& root) {
  fs::path without_any;
  std::error_code error;
  for (const fs::path& candidate : {fs::path(given), root / given, root / (given + ".yaml")}) {
    if (given.empty() || !fs::exists(candidate, error)) continue;
    if (!fs::is_directory(candidate, error) || !files_below(candidate).empty()) return candidate;
    if (without_any.empty()) without_any = candidate;
  }
  return without_any;
}

[[noreturn]] void refuse_unknown(const std::string& given, const fs::path& root) {
  std::vector<std::string> names;
  std::vector<std::string> folders;
  std::error_code error;
  if (fs::is_directory(root, error)) {
    for (fs::path file : files_below(root)) {
      names.push_back(file.lexically_relative(root).replace_extension().generic_string());
      const std::string folder = fs::path(names.back()).parent_path().generic_string();
      if (!folder.empty() && std::ranges::count(folders, folder) == 0) folders.push_back(folder);
    }
  }
  std::string word = given;
  if (word.ends_with(".yaml")) word.resize(word.size() - 5);
  const std::string prefix = root.string() + "/";
  if (word.starts_with(prefix)) word = word.substr(prefix.size());
  // A name without its folder means the scenario of that name.
  const auto is_named = [&](const std::string& name) { return name.ends_with("/" + word); };
  const auto named = std::ranges::find_if(names, is_named);
  std::string near = !word.empty() && named != names.end() ? *named : nearest(word, names);
  if (near.empty()) near = nearest(word, folders);
  throw ScenarioError(text(given, ": there is no such file, folder or scenario",
                           near.empty() ? "" : text("; did you mean '", near, "'?")));
}

}  // namespace

std::vector<fs::path> scenario_files(const std::vector<std::string>& paths, const fs::path& root) {
  if (paths.empty()) return scenario_files({root.string()}, root);
  std::vector<fs::path> files;
  std::set<fs::path> seen;
  for (const std::string& given : paths) {
    const fs::path path = found_path(given, root);
    if (path.empty()) refuse_unknown(given, root);
    std::error_code error;
    const bool folder = fs::is_directory(path, error);
    if (!folder && !is_scenario_file(path)) {
      throw ScenarioError(text(given, ": a scenario's file ends in .yaml"));
    }
    const std::vector<fs::path> below = folder ? files_below(path) : std::vector{path};
    if (below.empty()) throw ScenarioError(text(given, ": the folder holds no scenario (*.yaml)"));
    for (const fs::path& file : below) {
      fs::path same = fs::weakly_canonical(file, error);
      if (seen.insert(error ? file : same).second) files.push_back(file);
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace moe::sim
