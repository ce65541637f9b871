// The program's door: environment and command line become values, errors become exit codes.
// Nothing else reads the environment or ends the process.

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/commands.h"
#include "sim/utf8.h"
#include "sim/verdict.h"

namespace moe::sim {
namespace {

// Signals can reach nothing else. Written by the handler, read through Surroundings.
std::atomic<bool> stop_requested{false};

void request_stop(int) { stop_requested.store(true); }

// Whoever looks at the request has a second to end in its own way.
void request_end(int) {
  request_stop(0);
  alarm(1);
}

void end_at_once(int) {
  constexpr std::string_view words = "moebius: interrupted\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, words.data(), words.size());
  _exit(130);
}

void on_signal(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  sigaction(signal, &action, nullptr);
}

void on_interrupt(void (*handler)(int)) {
  on_signal(SIGINT, handler);
  on_signal(SIGTERM, handler);
}

// No ranks wait for the end of such a command, and no processes are left behind.
bool has_no_ranks(const Command& command) {
  return std::holds_alternative<VerifyCommand>(command) ||
         std::holds_alternative<OracleCommand>(command) ||
         std::holds_alternative<ListCommand>(command);
}

std::filesystem::path own_file() { return std::filesystem::read_symlink("/proc/self/exe"); }

// The project's data: below the working folder, else beside or above the program, else installed.
DataFolders data_folders() {
  namespace fs = std::filesystem;
  if (fs::is_directory("scenarios") && fs::is_directory("golden/data")) {
    return {"scenarios", "golden/data"};
  }
  for (fs::path folder = own_file().parent_path(); folder.has_relative_path();
       folder = folder.parent_path()) {
    for (const fs::path& root : {folder, folder / "share" / "moebius"}) {
      if (fs::is_directory(root / "scenarios") && fs::is_directory(root / "golden" / "data")) {
        return {root / "scenarios", root / "golden" / "data"};
      }
    }
  }
  throw ScenarioError("no folders scenarios and golden/data here or around the program");
}

Environment environment_words() {
  Environment words;
  for (char** word = environ; *word != nullptr; ++word) {
    const std::string_view both(*word);
    const std::size_t equals = both.find('=');
    if (equals == std::string_view::npos) continue;
    words.emplace(both.substr(0, equals), both.substr(equals + 1));
  }
  return words;
}

int do_command(const Command& command) {
  const auto surroundings_with = [](const DataFolders& folders) {
    const char* no_color = std::getenv("NO_COLOR");
    return Surroundings{folders,
                        own_file(),
                        isatty(STDOUT_FILENO) == 1,
                        isatty(STDERR_FILENO) == 1,
                        no_color != nullptr && *no_color != '\0',
                        environment_words(),
                        stop_requested};
  };
  const auto surroundings = [&] { return surroundings_with(data_folders()); };
  return std::visit(
      Cases{
          [](const PrintCommand& print) {
            std::cout << print.words;
            return 0;
          },
          [&](const RunCommand& run) { return run_command(run, surroundings()); },
          [&](const ExplainCommand& explain) { return explain_command(explain, surroundings()); },
          [&](const ListCommand& list) { return list_command(list, surroundings()); },
          [&](const VerifyCommand& verify) {
            return verify_command(verify, surroundings_with({}));  // needs none of the data
          },
          [](const OracleCommand& oracle) { return oracle_command(oracle); },
          [&](const BenchCommand& bench) { return bench_command(bench, surroundings()); },
          [](const BenchRankPlace& at) { return bench_rank_process(at.store, at.token, at.rank); },
          [](const RankPlace& place) { return rank_process(place, stop_requested); }},
      command);
}

// A path that the system cannot look up, with its own words: not allowed, too long, a circle.
ScenarioError unreachable(const std::filesystem::filesystem_error& error) {
  return ScenarioError(
      text(error.path1().string(), ": cannot be looked up: ", error.code().message()));
}

int failed(int code, const std::exception& error) {
  std::cerr << "moebius: " << printable(error.what()) << "\n";
  return code;
}

// No file or socket of ours takes the number of a standard stream that is closed: what is written
// to it fails, as it should, in the place of landing there.
void hold_standard_streams() {
  for (const int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(number, F_GETFD) == -1) open("/dev/null", O_RDONLY);  // the least free number
  }
}

// The code, or that of results which could not be written if that is worse.
int with_results_written(int code) {
  errno = 0;
  if (std::cout.flush()) return code;
  const std::string why = errno == 0 ? "" : ": " + std::generic_category().message(errno);
  return std::max(code,
                  failed(2, ScenarioError("results cannot be written to standard output" + why)));
}

int run(const std::vector<std::string>& arguments) {
  try {
    hold_standard_streams();
    signal(SIGPIPE, SIG_IGN);
    on_interrupt(request_stop);
    const Command command = parsed_command_line(arguments);
    if (has_no_ranks(command)) {
      on_signal(SIGALRM, end_at_once);
      on_interrupt(request_end);
    }
    return with_results_written(do_command(command));
  } catch (const ScenarioError& error) {
    return failed(2, error);
  } catch (const std::filesystem::filesystem_error& error) {
    return failed(2, unreachable(error));  // of a path that somebody gave us
  } catch (const SystemError& error) {
    return failed(3, error);
  } catch (const std::exception& error) {
    return failed(4, error);
  }
}

}  // namespace
}  // namespace moe::sim

int main(int argc, char** argv) { return moe::sim::run({argv + 1, argv + argc}); }
