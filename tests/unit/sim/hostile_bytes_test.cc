// Every reader against its own good input, damaged: each byte flipped in several ways, each prefix.
// A damaged file is read or refused with ScenarioError; anything else fails the test.

#include <string>

#include "sim/golden_file.h"
#include "sim/json_document.h"
#include "sim/routing_trace.h"
#include "sim/safetensors.h"
#include "sim/scenario_reader.h"
#include "sim/yaml_document.h"
#include "tests/catch.h"
#include "tests/unit/sim/input_files.h"

using namespace moe;
using namespace moe::sim;

namespace {

// How many of the damaged inputs were refused.
template <typename Read>
int refusals(const std::string& good, const Read& read) {
  int count = 0;
  const auto attempt = [&](const std::string& bytes) {
    count += error_of([&] { read(bytes); }) != "no error";
  };
  for (std::size_t at = 0; at < good.size(); ++at) {
    attempt(good.substr(0, at));
    for (const unsigned char flip : {0x01, 0x10, 0x20, 0x80, 0xFF}) {
      std::string bytes = good;
      bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ flip);
      attempt(bytes);
    }
    std::string without = good;
    attempt(without.erase(at, 1));
    for (const char* inserted : {"[", "{", "\"", "&a ", "*a", "\n", ": ", "9"}) {
      attempt(std::string(good).insert(at, inserted));
    }
  }
  return count;
}

const std::string small_yaml = R"(name: s  # x
world: {dp: 2, ep: true}
model:
  experts: 8
  dtype: &t bf16
routing: {ids: [[0, 1], [-1, 2]]}
tags: ["a", 'b', *t, |
    c
  ]
steps: [[1, 2]]
)";

const std::string good_yaml = R"(name: s
world: {dp: 2, ep: true}
model: {experts: 8, top_k: 2, dtype: &t bf16}
routing: {hot_rank: {rank: 1, share: 0.5}, seed: 3}
steps:
  - [1, 2]
faults: [{name: MF-07, rank: 1}]
tags: [*t]
runs: [{backend: naive, profile: "v0.9"}]
)";

const std::string good_json = R"({"a":[1,-2.5e3,true,null,{"b":"x\u00e9\n"}],"c":{}})";

const std::string good_golden =
    R"({"format":"moe-golden/1","scenario":"s","scenario_sha256":"a","generator":"g","steps":)"
    R"([{"tokens":[2],"digests":[["0123456789abcdef"]]}],"stored":[{"step":0,"layer":0,"rank":0,)"
    R"("rows":[{"token":1,"values":[1,2]}]}]})";

}  // namespace

TEST_CASE("hostile bytes: YAML") {
  CHECK(refusals(small_yaml, [](const std::string& bytes) { parse_yaml(bytes, "f"); }) > 100);
}

TEST_CASE("hostile bytes: scenarios") {
  const TemporaryFolder root;
  const auto read = [&](const std::string& bytes) {
    read_scenario(root.write("s.yaml", bytes), root.path());
  };
  REQUIRE(error_of([&] { read(good_yaml); }) == "no error");
  CHECK(refusals(good_yaml, read) > 1000);
}

TEST_CASE("hostile bytes: JSON and goldens") {
  CHECK(refusals(good_json, [](const std::string& bytes) { parse_json(bytes, "f"); }) > 300);
  const TemporaryFolder folder;
  const auto read = [&](const std::string& bytes) { read_golden(folder.write("g", bytes)); };
  REQUIRE(error_of([&] { read(good_golden); }) == "no error");
  CHECK(refusals(good_golden, read) > 1000);
}

TEST_CASE("hostile bytes: safetensors and traces") {
  const TemporaryFolder folder;
  const std::string good = SmallTrace().bytes();
  const auto read = [&](const std::string& bytes) {
    read_routing_trace(folder.write("t", bytes)).steps_for(1);
  };
  REQUIRE(error_of([&] { read(good); }) == "no error");
  CHECK(refusals(good, read) > 1000);
}
