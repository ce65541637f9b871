// Unit tests of sim/golden_file: a golden as golden/make_golden.py writes it, every refusal, and a
// golden of something else than the scenario at hand.

#include "sim/golden_file.h"

#include "tests/catch.h"
#include "tests/unit/sim/input_files.h"

using namespace moe;
using namespace moe::sim;
using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

namespace {

const std::string good_golden = R"({"format":"moe-golden/1","scenario":"small/two-ranks",
"scenario_sha256":"abc","generator":"oracle.py 1","steps":[
{"tokens":[2,0],"digests":[["0123456789abcdef","ef46db3751d8e999"]],"routing":"00000000000000ff"},
{"tokens":[1,3],"digests":[["0000000000000001","0000000000000002"]]}],
"stored":[{"step":1,"layer":0,"rank":1,"rows":[
{"token":0,"values":[1,-2.5,0]},{"token":2,"columns":[0,1,2],"values":[3,4,5]}]}]})";

std::string replaced(const std::string& from, const std::string& to) {
  std::string changed = good_golden;
  const std::size_t at = changed.find(from);
  REQUIRE(at != std::string::npos);
  return changed.replace(at, from.size(), to);
}

Scenario fitting_scenario() {
  Scenario scenario;
  scenario.name = "small/two-ranks";
  scenario.path = "scenarios/small/two-ranks.yaml";
  scenario.sha256 = "abc";
  scenario.world.dp = 2;
  scenario.steps = {{2, 0}, {1, 3}};
  scenario.model.hidden_size = 3;
  return scenario;
}

}  // namespace

TEST_CASE("golden file: is read whole") {
  const TemporaryFolder folder;
  const golden::Golden golden = read_golden(folder.write("g", good_golden));
  CHECK(golden.scenario == "small/two-ranks");
  CHECK(golden.scenario_sha256 == "abc");
  CHECK(golden.generator == "oracle.py 1");
  REQUIRE(golden.steps.size() == 2);
  CHECK(golden.steps[0].tokens == std::vector<Count>{2, 0});
  CHECK(golden.steps[0].digests[0][0] == 0x0123456789abcdefULL);
  CHECK(golden.steps[0].digests[0][1] == 0xef46db3751d8e999ULL);
  CHECK(golden.steps[0].routing_digest == 255);
  CHECK_FALSE(golden.steps[1].routing_digest.has_value());
  REQUIRE(golden.stored.size() == 1);
  CHECK(golden.stored[0].cell == golden::Cell{1, 0, 1});
  CHECK(golden.stored[0].rows[0].token == 0);
  CHECK(golden.stored[0].rows[0].columns == std::vector<Count>{0, 1, 2});
  CHECK(golden.stored[0].rows[0].values == std::vector<double>{1, -2.5, 0});
  CHECK(golden.stored[0].rows[1].columns == std::vector<Count>{0, 1, 2});
}

TEST_CASE("golden file: refusals say where and what to run") {
  struct Case {
    std::string from;
    std::string to;
    std::string message;
  };
  const std::vector<Case> cases = {
      {"moe-golden/1", "moe-golden/2", "format: 'moe-golden/2' is not 'moe-golden/1'"},
      {"\"moe-golden/1\"", "1", "format: 1 is not a string"},
      {"\"format\":\"moe-golden/1\",", "", "'format' is missing"},
      {"\"scenario\":\"small/two-ranks\"", "\"scenario\":[]", "scenario: an array is not a string"},
      {"\"generator\":\"oracle.py 1\",", "", "'generator' is missing"},
      {"\"stored\"", "\"sorted\"", "unknown key 'sorted'; known: format, scenario"},
      {"\"steps\":[", "\"steps\":7,\"x\":[", "unknown key 'x'"},
      {"[2,0]", "[2,-1]", "steps[0].tokens[1]: -1 is not an integer from 0"},
      {"[2,0]", "[2,0.5]", "steps[0].tokens[1]: 0.5 is not an integer from 0"},
      {"[2,0]", "7", "steps[0].tokens: 7 is not an array"},
      {"[2,0]", "[]", "steps[0].tokens: no ranks"},
      {"[2,0]", "[2]", "steps[0].digests[0]: 2 digests for 1 ranks"},
      {"[2,0]", "[2,0,0]", "steps[0].digests[0]: 2 digests for 3 ranks"},
      {"\"0123456789abcdef\"", "1", "steps[0].digests[0][0]: 1 is not a string"},
      {"0123456789abcdef", "0123456789ABCDEF", "steps[0].digests[0][0]: '0123456789ABCDEF'"},
      {"0123456789abcdef", "0123456789abcde", "'0123456789abcde' is not 16 lower-case"},
      {"0123456789abcdef", "-123456789abcdef", "'-123456789abcdef' is not 16 lower-case"},
      {"0123456789abcdef", "0x23456789abcdef", "'0x23456789abcdef' is not 16 lower-case"},
      {R"([["0000000000000001","0000000000000002"]])", "[]", "steps[1].digests: no layers"},
      {R"([["0000000000000001","0000000000000002"]])",
       R"([["0000000000000001","0000000000000002"],["0000000000000001","0000000000000002"]])",
       "steps[1]: 2 ranks and 2 layers, the first step has 2 and 1"},
      {"00000000000000ff", "ff", "steps[0].routing: 'ff' is not 16"},
      {"\"step\":1", "\"step\":2", "stored[0].step: 2 is not an integer from 0 to 1"},
      {"\"layer\":0", "\"layer\":1", "stored[0].layer: 1 is not an integer from 0 to 0"},
      {"\"rank\":1", "\"rank\":2", "stored[0].rank: 2 is not an integer from 0 to 1"},
      {"\"rank\":1,", "", "stored[0]: 'rank' is missing"},
      {"\"token\":2", "\"token\":3", "stored[0].rows[1].token: 3 is not an integer from 0 to 2"},
      {"\"token\":2", "\"token\":0", "stored[0].rows[1]: its token does not come after the last"},
      {"\"rows\":[", "\"rows\":[]},{\"step\":1,\"layer\":0,\"rank\":1,\"rows\":[",
       "stored[0]: no rows"},
      {"\"stored\":[",
       "\"stored\":[{\"step\":1,\"layer\":0,\"rank\":1,\"rows\":[{\"token\":0,\"values\":[1]}]},",
       "stored[1]: its step, layer and rank do not come after the last cell's"},
      {"-2.5", "1e999", "not valid JSON"},
      {"-2.5", "NaN", "not valid JSON"},
      {"[1,-2.5,0]", "[]", "stored[0].rows[0]: 0 values for 0 columns"},
      {"[1,-2.5,0]", "[1,\"2\"]", "stored[0].rows[0].values[1]: '2' is not a number"},
      {"[0,1,2]", "[7]", "stored[0].rows[1]: 3 values for 1 columns"},
      {"[0,1,2]", "[0,-9,2]", "stored[0].rows[1].columns[1]: -9 is not"},
      {"[0,1,2]", "[0,2,2]", "stored[0].rows[1].columns[2]: 2 does not ascend"},
      {"\"stored\":[{", "\"stored\":[3,{", "stored[0]: 3 is not an object"},
      {"{\"format\"", "[", "not valid JSON at byte "},
      {"\"scenario_sha256\":\"abc\",", "\"scenario\":\"b\",", "the key 'scenario' is given twice"},
  };
  const TemporaryFolder folder;
  for (const Case& one : cases) {
    CAPTURE(one.from, one.to);
    const std::string path =
        folder.write("golden/data/a/b.golden.json", replaced(one.from, one.to));
    CHECK_THAT(error_of([&] { read_golden(path); }),
               StartsWith(path + ": ") && Contains(one.message) &&
                   EndsWith(": run golden/make_golden.py scenarios/a/b.yaml"));
  }
}

TEST_CASE("golden file: no file, no object, no steps") {
  const TemporaryFolder folder;
  const std::string missing = (folder.path() / "golden/data/none.golden.json").string();
  CHECK(error_of([&] { read_golden(missing); }) ==
        missing + ": there is no such file: run golden/make_golden.py scenarios/none.yaml");
  const std::string list = folder.write("g", "[]");
  CHECK(error_of([&] { read_golden(list); }) ==
        list + ": an array is not an object: run golden/make_golden.py SCENARIO");
  const std::string none = folder.write(
      "g", R"({"format":"moe-golden/1","scenario":"a","scenario_sha256":"b","generator":"c",)"
           R"("steps":[],"stored":[]})");
  CHECK_THAT(error_of([&] { read_golden(none); }), Contains("steps: no steps"));
}

TEST_CASE("golden file: must be of this scenario, these bytes, this oracle") {
  const TemporaryFolder folder;
  const golden::Golden golden = read_golden(folder.write("g", good_golden));
  const auto refusal = [](const golden::Golden& tested, const Scenario& scenario) {
    return error_of([&] { check_golden_fits(tested, scenario); });
  };
  CHECK(refusal(golden, fitting_scenario()) == "no error");
  const std::string advice = ": run golden/make_golden.py scenarios/small/two-ranks.yaml";

  golden::Golden other = golden;
  other.scenario = "small/three-ranks";
  CHECK(refusal(other, fitting_scenario()) ==
        "the golden of small/two-ranks is of another scenario, 'small/three-ranks'" + advice);
  other = golden;
  other.scenario_sha256 = "abd";
  CHECK_THAT(refusal(other, fitting_scenario()),
             Contains("other bytes of the scenario (sha256 abd…, now abc…)") && EndsWith(advice));
  other = golden;
  other.generator = "oracle.py 2";
  CHECK_THAT(refusal(other, fitting_scenario()),
             Contains("made by 'oracle.py 2', this program judges with 'oracle.py 1'") &&
                 EndsWith(advice));

  Scenario scenario = fitting_scenario();
  scenario.model.num_layers = 2;
  CHECK_THAT(refusal(golden, scenario), Contains("has 2 ranks and 1 layers, the scenario 2 and 2"));
  scenario = fitting_scenario();
  scenario.world.dp = 3;
  CHECK_THAT(refusal(golden, scenario), Contains("has 2 ranks and 1 layers, the scenario 3 and 1"));
  scenario = fitting_scenario();
  scenario.steps.pop_back();
  CHECK_THAT(refusal(golden, scenario), Contains("has 2 steps, the scenario 1"));
  scenario = fitting_scenario();
  scenario.steps[1] = {2, 2};
  CHECK_THAT(refusal(golden, scenario),
             Contains("has the tokens [1, 3] in step 1, the scenario [2, 2]"));
  scenario = fitting_scenario();
  scenario.model.hidden_size = 4;
  CHECK_THAT(
      refusal(golden, scenario),
      Contains("stored[0].rows[0] (step 1, layer 0, rank 1, token 0) has 3 values, due are 4") &&
          EndsWith(advice));
  scenario.model.hidden_size = 2;
  CHECK_THAT(refusal(golden, scenario), Contains("has 3 values, due are 2"));
  other = golden;
  other.stored[0].rows[1].columns.back() = 3;
  CHECK_THAT(refusal(other, fitting_scenario()),
             Contains("stored[0].rows[1]") && Contains("has column 3 of 3"));
  scenario = fitting_scenario();
  scenario.steps.clear();
  TraceRouting trace;
  trace.first_step = 3;
  trace.last_step = 6;
  scenario.routing = trace;
  CHECK_THAT(refusal(golden, scenario), Contains("has 2 steps, the scenario 3"));
  trace.last_step = 5;
  scenario.routing = trace;
  CHECK(refusal(golden, scenario) == "no error");
}
