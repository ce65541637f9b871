// Opens and reads input files. Folders, sockets and pipes are refused, so that nothing waits
// forever. Called by the readers of sim/.

#include "sim/input_file.h"

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe::sim {
namespace {

Count size_of_regular(const std::string& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    throw ScenarioError(text(path, ": there is no such file"));
  }
  if (std::filesystem::is_directory(status)) {
    throw ScenarioError(text(path, ": is a folder, not a file"));
  }
  if (!error && !std::filesystem::is_regular_file(status)) {
    throw ScenarioError(text(path, ": is not a regular file"));
  }
  const std::uintmax_t size = error ? 0 : std::filesystem::file_size(path, error);
  if (error) throw ScenarioError(text(path, ": cannot be read: ", error.message()));
  return static_cast<Count>(size);
}

}  // namespace

InputFile::InputFile(const std::string& path) : path_(path), size_(size_of_regular(path)) {
  stream_.open(path, std::ios::binary);
  if (!stream_) {
    throw ScenarioError(text(path, ": cannot be read: ", std::generic_category().message(errno)));
  }
}

void InputFile::read_next(std::span<std::byte> bytes) {
  stream_.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (stream_.gcount() != static_cast<std::streamsize>(bytes.size())) {
    throw ScenarioError(text(path_, ": ended after ", stream_.gcount(), " of ", bytes.size(),
                             " bytes that were asked for: is somebody writing it?"));
  }
}

std::string read_input_text(const std::string& path, Count bytes_max) {
  InputFile file(path);
  if (file.size() > bytes_max) {
    throw ScenarioError(
        text(path, ": has ", file.size(), " bytes, the limit is ", bytes_max, " bytes"));
  }
  std::string content(static_cast<std::size_t>(file.size()), '\0');
  file.read_next(std::as_writable_bytes(std::span(content)));
  return content;
}

}  // namespace moe::sim
