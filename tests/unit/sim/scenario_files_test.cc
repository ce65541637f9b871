// Unit tests of scenario_files: files, folders and names, sorted and none twice, and what is said
// of a path that is none of them.

#include "sim/scenario_reader.h"
#include "tests/catch.h"
#include "tests/unit/sim/input_files.h"

using namespace moe::sim;
using Catch::Matchers::Contains;
using Paths = std::vector<std::filesystem::path>;

TEST_CASE("scenario files: folders, files and names below the root") {
  const TemporaryFolder root;
  const std::string b = root.write("migration/b.yaml", "");
  const std::string a = root.write("migration/deep/a.yaml", "");
  const std::string top = root.write("top.yaml", "");
  root.write("migration/readme.md", "");
  root.write("migration/x.yml", "");
  const std::string all = root.path().string();
  CHECK(scenario_files({all}, root.path()) == Paths{b, a, top});
  CHECK(scenario_files({"migration"}, root.path()) == Paths{b, a});
  CHECK(scenario_files({"migration/b", top, "migration/b.yaml", b}, root.path()) == Paths{b, top});
  CHECK(scenario_files({}, root.path()) == Paths{b, a, top});
}

// The ranks' repository has a folder backends, with code, beside the pack of that name.
TEST_CASE("scenario files: a folder without scenarios hides no pack of its name") {
  const TemporaryFolder root;
  const std::string b = root.write("scenarios/backends/b.yaml", "");
  root.write("backends/code.cc", "");
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(root.path());
  const Paths found = scenario_files({"backends"}, root.path() / "scenarios");
  std::filesystem::current_path(before);
  CHECK(found == Paths{b});
}

TEST_CASE("scenario files: a path that means nothing") {
  const TemporaryFolder root;
  root.write("migration/naive.yaml", "");
  const std::string note = root.write("migration/readme.md", "");
  std::filesystem::create_directory(root.path() / "empty");
  const auto refusal = [&](const std::string& path) {
    return error_of([&] { scenario_files({path}, root.path()); });
  };
  CHECK(refusal("migration/niave") ==
        "migration/niave: there is no such file, folder or scenario; "
        "did you mean 'migration/naive'?");
  CHECK_THAT(refusal((root.path() / "migration/nave.yaml").string()),
             Contains("did you mean 'migration/naive'?"));
  CHECK_THAT(refusal("something else entirely"), Contains("there is no such file"));
  CHECK_THAT(refusal(""), Contains("there is no such file"));
  CHECK_THAT(refusal(note), Contains("a scenario's file ends in .yaml"));
  CHECK_THAT(refusal("empty"), Contains("the folder holds no scenario (*.yaml)"));
}
