// The peer: tests/bench/peer_torch_gloo.py under Debian's Python, as a process of its own. It runs
// without the variables that make OpenBLAS choose an older processor's products.

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "kernels/base/text.h"
#include "sim/bench.h"
#include "sim/json_reading.h"

namespace moe::sim {
namespace {

constexpr const char* python = "/usr/bin/python3";

// RETURNS the exit code, negative for a signal or where nothing could be started. Its output, a
// table, goes nowhere.
int run_quietly(std::vector<std::string> words) {
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (const int stream : {STDOUT_FILENO, STDERR_FILENO}) {
    posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_WRONLY, 0);
  }
  pid_t process = 0;
  const int error =
      posix_spawn(&process, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return -1;
  int status = 0;
  while (waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// A file that is gone when this is.
class ScratchFile {
 public:
  ScratchFile() {
    std::string name = (std::filesystem::temp_directory_path() / "moebius-peer-XXXXXX").string();
    const int file = mkstemp(name.data());
    if (file < 0) throw SystemError(text("no file for the peer's times: ", std::strerror(errno)));
    close(file);
    path_ = name;
  }
  ~ScratchFile() { std::filesystem::remove(path_, ignored_); }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::error_code ignored_;
};

}  // namespace

std::optional<std::string> peer_absence() {
  if (run_quietly({python, "-c", "import numpy, torch"}) == 0) return std::nullopt;
  return text("not measured: ", python, " has no torch (Debian: apt-get install python3-torch)");
}

std::vector<PeerRow> run_peer(const BenchSettings& settings, const std::string& script) {
  const ScratchFile out;
  const BenchShape& shape = settings.shape;
  std::vector<std::string> words = {"/usr/bin/env",
                                    "-u",
                                    "OPENBLAS_CORETYPE",
                                    "-u",
                                    "OPENBLAS_L2_SIZE",
                                    python,
                                    script,
                                    "--ranks",
                                    text(settings.world_size),
                                    "--tokens",
                                    text(settings.num_tokens),
                                    "--hidden",
                                    text(shape.hidden_size),
                                    "--inter",
                                    text(shape.intermediate_size),
                                    "--experts",
                                    text(shape.num_experts),
                                    "--topk",
                                    text(shape.top_k),
                                    "--dtypes",
                                    settings.dtype == DType::bf16 ? "bf16" : "fp32",
                                    "--seconds",
                                    "600",
                                    "--min-iters",
                                    text(settings.iterations),
                                    "--max-iters",
                                    text(settings.iterations),
                                    "--out",
                                    out.path().string()};
  if (settings.pinning == Pinning::one_core_each) words.emplace_back("--pin");
  const int code = run_quietly(words);
  if (code != 0) throw SystemError(text("the peer ", script, " ended with code ", code));
  std::vector<PeerRow> rows;
  std::ifstream lines(out.path());
  for (std::string line; std::getline(lines, line);) {
    // Python writes NaN for an error that it did not measure, which JSON does not know.
    const std::size_t nan = line.find("NaN");
    if (nan != std::string::npos) line = text(line.substr(0, nan), "0", line.substr(nan + 3));
    const JsonValue row = parse_json(line, script);
    rows.push_back(
        {string_at(row, "method"), number_at(row, "layer_us"), number_at(row, "layer_min_us")});
  }
  if (rows.empty()) throw SystemError(text("the peer ", script, " reported nothing"));
  return rows;
}

}  // namespace moe::sim
