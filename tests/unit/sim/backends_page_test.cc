// backends/README.md's table is what the registry says; nothing in it is written by hand.
// `moebius list backends --markdown` writes it anew.

#include "sim/backends_page.h"

#include <fstream>
#include <sstream>

#include "sim/registry.h"
#include "tests/catch.h"

namespace moe::sim {

TEST_CASE("backends page: backends/README.md has the registry's table, word for word") {
  std::ifstream file(MOE_SOURCE_DIR "/backends/README.md");
  std::stringstream page;
  page << file.rdbuf();
  const std::string text = page.str();
  const std::string end = "<!-- /registry -->\n";
  const std::size_t from = text.find("<!-- registry -->");
  const std::size_t to = text.find(end);
  REQUIRE(from != std::string::npos);
  REQUIRE(to != std::string::npos);
  INFO("put the output of `moebius list backends --markdown` in the table's place");
  CHECK(text.substr(from, to + end.size() - from) == backends_table());
}

TEST_CASE("backends page: every backend says how its rows move and on which platform") {
  const std::string table = backends_table();
  CHECK(table.find("undeclared") == std::string::npos);
  for (const RegistryRow& row : registry()) {
    const std::size_t at = table.find("| `" + std::string(row.name) + "` |");
    REQUIRE(at != std::string::npos);
    const std::string line = table.substr(at, table.find('\n', at) - at);
    CHECK(line.find("|  |") == std::string::npos);
  }
}

}  // namespace moe::sim
