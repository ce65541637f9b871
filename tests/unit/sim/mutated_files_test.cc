// Every reader against the repository's own files, changed by a seeded hand: bytes flipped, cut
// short, numbers and words replaced, lines taken away, doubled and swapped. Whatever comes out is
// read, or refused with ScenarioError, soon and in little memory. hostile_bytes_test.cc tries every
// single byte of small inputs.

#include <sys/resource.h>

#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>

#include "kernels/base/mix.h"
#include "kernels/base/text.h"
#include "sim/golden_file.h"
#include "sim/router_logits.h"
#include "sim/routing_trace.h"
#include "sim/scenario_reader.h"
#include "sim/world_inputs.h"
#include "tests/catch.h"
#include "tests/unit/sim/input_files.h"

using namespace moe;
using namespace moe::sim;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t seed = 20261126;
constexpr double seconds_max = 5;  // of one read, on a machine that does other things, too
constexpr long growth_max_kib = 512 * 1024;

const fs::path source = MOE_SOURCE_DIR;

std::string content_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Numbers drawn one after the other from a case's own seed.
class Draw {
 public:
  explicit Draw(std::uint64_t number) : number_(number) {}
  std::size_t below(std::size_t limit) {
    return limit == 0 ? 0 : static_cast<std::size_t>(mix(seed, number_, count_++) % limit);
  }

 private:
  std::uint64_t number_;
  int count_ = 0;
};

constexpr std::array<const char*, 18> numbers = {"0",
                                                 "-1",
                                                 "1",
                                                 "2147483648",
                                                 "4294967295",
                                                 "9223372036854775807",
                                                 "18446744073709551616",
                                                 "1e308",
                                                 "1e999",
                                                 "-0.0",
                                                 "0.5",
                                                 "nan",
                                                 ".inf",
                                                 "65536",
                                                 "00",
                                                 "0x10",
                                                 "1_0",
                                                 "null"};

// A run of characters of one kind around or after a place: where a number or a word stands.
template <typename IsPart>
std::pair<std::size_t, std::size_t> run_after(const std::string& bytes, std::size_t at,
                                              const IsPart& is_part) {
  while (at < bytes.size() && !is_part(bytes[at])) ++at;
  std::size_t begin = at;
  while (begin > 0 && is_part(bytes[begin - 1])) --begin;
  while (at < bytes.size() && is_part(bytes[at])) ++at;
  return {begin, at - begin};
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_in_line(char c) { return c != '\n'; }

std::string changed_once(std::string bytes, Draw& draw) {
  const std::size_t at = draw.below(bytes.size());
  switch (draw.below(8)) {
    case 0: {
      if (bytes.empty()) return "x";
      bytes[at] = static_cast<char>(draw.below(256));
      return bytes;
    }
    case 1:
      return bytes.substr(0, at);
    case 2:
    case 3: {
      const auto [begin, length] = run_after(bytes, at, is_digit);
      return bytes.replace(begin, length, numbers[draw.below(numbers.size())]);
    }
    case 4: {
      const auto [begin, length] = run_after(bytes, at, is_letter);
      const auto [from, more] = run_after(bytes, draw.below(bytes.size()), is_letter);
      return bytes.replace(begin, length, bytes.substr(from, more));
    }
    case 5: {
      const auto [begin, length] = run_after(bytes, at, is_in_line);
      return bytes.erase(begin, length);
    }
    case 6: {
      const auto [begin, length] = run_after(bytes, at, is_in_line);
      return bytes.insert(begin, bytes.substr(begin, length) + "\n");
    }
    default: {
      constexpr std::array<const char*, 12> marks = {"[",  "]",  "{", "}",   ", ", ": ",
                                                     "\"", "- ", "#", "&a ", "*a", "\n  "};
      return bytes.insert(at, marks[draw.below(marks.size())]);
    }
  }
}

std::string changed(std::string bytes, Draw& draw) {
  for (std::size_t times = 1 + draw.below(3); times > 0; --times) {
    bytes = changed_once(std::move(bytes), draw);
  }
  return bytes;
}

// A safetensors file with other data, or with another header, whose length is told as it is or as
// it was.
std::string changed_safetensors(const std::string& bytes, Draw& draw) {
  const std::size_t kind = draw.below(4);
  if (kind == 0) return changed(bytes, draw);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  if (kind == 1) {
    std::string other = bytes;
    const std::size_t at = 8 + length + draw.below(bytes.size() - 8 - length);
    other[at] = static_cast<char>(draw.below(256));
    return other;
  }
  const std::string header = changed(bytes.substr(8, length), draw);
  const std::string data = bytes.substr(8 + length);
  if (draw.below(4) > 0) return safetensors_bytes(header, data);
  return bytes.substr(0, 8) + header + data;
}

long peak_kib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

struct Tally {
  int read = 0;
  int refused = 0;
};

// Reads changed files. Fails for another exception, for a long read and for much memory.
template <typename Change, typename Read>
Tally tally(const std::string& good, int cases, const Change& change, const Read& read) {
  Tally tally;
  const long before = peak_kib();
  for (int number = 0; number < cases; ++number) {
    Draw draw(static_cast<std::uint64_t>(number) + good.size() * 1000003);
    const std::string bytes = change(good, draw);
    const auto begin = std::chrono::steady_clock::now();
    std::string error;
    try {
      error = error_of([&] { read(bytes); });
    } catch (const std::exception& other) {
      FAIL_CHECK(text("case ", number, ": ", other.what(), "\n", bytes.substr(0, 3000)));
    }
    (error == "no error" ? tally.read : tally.refused) += 1;
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    if (took.count() > seconds_max) FAIL_CHECK(text("case ", number, " took ", took.count(), " s"));
  }
  CHECK(peak_kib() - before < growth_max_kib);
  return tally;
}

std::vector<fs::path> files_below(const fs::path& folder, const std::string& extension) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().string().ends_with(extension)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Small enough to make its inputs, too: what is accepted must not break later.
bool is_small(const Scenario& scenario) {
  Count rows = 0;
  for (const auto& step : scenario.steps) {
    for (const Count count : step) rows += count;
  }
  const ModelSpec& model = scenario.model;
  return std::holds_alternative<TraceRouting>(scenario.routing) == false && rows < 500 &&
         model.num_experts <= 512 && scenario.steps.size() < 50;
}

}  // namespace

TEST_CASE("mutated files: every scenario of the repository") {
  const TemporaryFolder root;
  fs::create_directory_symlink(source / "scenarios" / "traces", root.path() / "traces");
  Tally sum;
  const std::vector<fs::path> files = files_below(source / "scenarios", ".yaml");
  REQUIRE(files.size() > 40);
  for (const fs::path& path : files) {
    const std::string name = fs::relative(path, source / "scenarios").string();
    CAPTURE(name);
    const Tally one = tally(content_of(path), 60, changed, [&](const std::string& bytes) {
      const Scenario scenario = read_scenario(root.write(name, bytes), root.path());
      if (is_small(scenario)) const WorldInputs inputs(scenario);
    });
    sum.read += one.read;
    sum.refused += one.refused;
  }
  CHECK(sum.refused > sum.read);
  CHECK(sum.read > 100);
}

TEST_CASE("mutated files: goldens") {
  const TemporaryFolder folder;
  for (const char* name : {"smoke/two-ranks", "smoke/real-silu", "recorded/mixtral-style-e8k2"}) {
    CAPTURE(name);
    const std::string good = content_of(source / "golden" / "data" / text(name, ".golden.json"));
    REQUIRE(good.size() > 100);
    const Tally one =
        tally(good, good.size() > 50000 ? 150 : 800, changed,
              [&](const std::string& bytes) { read_golden(folder.write("g", bytes)); });
    CHECK(one.refused > one.read);
  }
}

TEST_CASE("mutated files: traces") {
  const TemporaryFolder folder;
  const auto read = [&](const std::string& bytes) {
    read_routing_trace(folder.write("t", bytes)).steps_for(1);
  };
  CHECK(tally(SmallTrace().bytes(), 3000, changed_safetensors, read).refused > 1000);
  const fs::path recorded = source / "scenarios" / "traces" / "mixtral-style-e8k2.dev.safetensors";
  CHECK(tally(content_of(recorded), 150, changed_safetensors, read).refused > 50);
}

TEST_CASE("mutated files: router logits") {
  const TemporaryFolder folder;
  const auto read = [&](const std::string& bytes) { read_router_logits(folder.write("l", bytes)); };
  for (const char* name : {"mixtral-style-e8k2", "deepseek-v3-style-e32k4"}) {
    const std::string file = text("logits-", name, ".dev.safetensors");
    const std::string good = content_of(source / "scenarios" / "traces" / file);
    REQUIRE(good.size() > 1000);
    CHECK(tally(good, 300, changed_safetensors, read).refused > 100);
  }
}
