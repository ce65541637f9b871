// moebius verify that is interrupted. What it finds in captures is for
// tests/process/verif*_test.py.

#include <atomic>
#include <fstream>
#include <iterator>

#include "sim/commands.h"
#include "tests/catch.h"
#include "tests/unit/sim/input_files.h"

namespace moe::sim {

TEST_CASE("verify: an interrupt leaves out captures, but not the summary that programs wait for") {
  const TemporaryFolder folder;
  const std::string report = (folder.path() / "report.json").string();
  const std::atomic<bool> stop{true};
  const Surroundings surroundings{
      .folders = {}, .program = "", .no_color = true, .environment = {}, .stop = stop};
  VerifyCommand command{.files = {(folder.path() / "absent").string()}, .report = {}};
  command.report.json = report;
  CHECK(verify_command(command, surroundings) == 130);
  std::ifstream file(report);
  const std::string written((std::istreambuf_iterator<char>(file)), {});
  CHECK_THAT(written, Catch::StartsWith("{\"summary\":") && Catch::Contains("\"errors\":0"));
}

}  // namespace moe::sim
