// Every name under every profile on every platform, between ranks and on one: the whole cross
// product against resolve_backend.golden, which was read against the history's table.
// `moe_tests_unit_backends "resolve_backend: writes its golden"` writes it anew.

#include "backends/profile.h"
#include "kernels/base/text.h"
#include "tests/catch.h"
#include "tests/golden_lines.h"

using namespace moe;

namespace {

const std::string golden_path = MOE_SOURCE_DIR "/tests/unit/backends/resolve_backend.golden";

std::string answer_text(const BackendDecision& decision) {
  if (!decision.error.empty()) return text("error: ", decision.error);
  return decision.warnings.empty()
             ? decision.backend
             : text(decision.backend, "; warns: ", joined(decision.warnings, "; "));
}

// One line for profiles in a row that answer alike: "naive on cuda: v0.9 to post-33724: naive".
std::vector<std::string> lines_of(std::string_view name, Platform platform) {
  std::vector<std::string> lines;
  std::string_view first;
  std::string_view last;
  std::string said;
  const auto end_run = [&] {
    if (said.empty()) return;
    const std::string when = first == last ? std::string(first) : text(first, " to ", last);
    lines.push_back(text(name, " on ", name_of(platform), ", ", when, ": ", said));
  };
  for (const Profile& profile : all_profiles()) {
    BackendDecision decision = resolve_backend(profile, {name, platform});
    std::string answer = answer_text(decision);
    // Errors end with the names there are, which differ by profile: the table has them once.
    const auto names = answer.find("; it has ");
    if (names != std::string::npos) answer = "error: not a name";
    answer = answer.substr(0, answer.find("; it takes "));
    const auto place = answer.find(text("under profile ", profile.name));
    if (place != std::string::npos) answer.replace(place, 14 + profile.name.size(), "here");
    if (answer != said) {
      end_run();
      first = profile.name;
      said = answer;
    }
    last = profile.name;
  }
  end_run();
  return lines;
}

std::vector<std::string> table() {
  std::vector<std::string> lines;
  for (const Profile& profile : all_profiles()) {
    lines.push_back(text("names of ", profile.name, ": ", joined(backends_in(profile))));
  }
  for (const std::string_view name : all_backend_names()) {
    for (const auto platform : {Platform::cuda, Platform::rocm, Platform::cpu, Platform::xpu}) {
      for (std::string& line : lines_of(name, platform)) lines.push_back(std::move(line));
    }
  }
  return lines;
}

}  // namespace

TEST_CASE("resolve_backend: every name, profile and platform is the golden's") {
  const std::vector<std::string> lines = table();
  const std::vector<std::string> golden = golden_lines(golden_path);
  REQUIRE(golden.size() == lines.size());
  for (std::size_t i = 0; i < lines.size(); ++i) CHECK(lines[i] == golden[i]);
}

TEST_CASE("resolve_backend: where nothing moves between ranks no platform matters") {
  for (const Profile& profile : all_profiles()) {
    for (const std::string_view name : all_backend_names()) {
      const BackendDecision cuda = resolve_backend(profile, {name, Platform::cuda, false});
      for (const auto platform : {Platform::rocm, Platform::cpu, Platform::xpu}) {
        const BackendDecision alone = resolve_backend(profile, {name, platform, false});
        INFO(profile.name << " " << name << " " << name_of(platform));
        CHECK(alone.backend == cuda.backend);
        CHECK(alone.error == cuda.error);
      }
    }
  }
}

TEST_CASE("resolve_backend: writes its golden", "[.write]") {
  std::ofstream file(golden_path);
  file
      << "# What every name of a backend stands for, profile by profile and platform by platform.\n"
         "# resolve_backend_test.cc compares and writes; read it against distribution-layer.md, "
         "17.\n";
  for (const std::string& line : table()) file << line << "\n";
  CHECK(file.good());
}
