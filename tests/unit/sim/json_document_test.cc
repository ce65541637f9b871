// Unit tests of sim/json_document: reading within limits, and writing in the order given.
// Reports and goldens have tests of their own.

#include "sim/json_document.h"

#include <cmath>
#include <limits>

#include "tests/catch.h"
#include "tests/unit/sim/input_files.h"

using namespace moe::sim;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

TEST_CASE("json: reads every kind of value") {
  const JsonValue root = parse_json(
      R"({"a": [1, -2, 1.5, true, null], "b": {"c": "\u00fc"}, "d": 9223372036854775807})", "f");
  const JsonArray& list = *root.find("a")->array();
  CHECK(*list.at(0).integer() == 1);
  CHECK(*list.at(1).integer() == -2);
  CHECK(*list.at(2).fraction() == 1.5);
  CHECK(*list.at(3).boolean());
  CHECK(list.at(4).is_null());
  CHECK(*root.find("b")->find("c")->string() == "\xC3\xBC");
  CHECK(*root.find("d")->integer() == std::numeric_limits<std::int64_t>::max());
  CHECK(root.find("x") == nullptr);
  CHECK(list.at(0).find("x") == nullptr);
  CHECK(list.at(0).string() == nullptr);
}

TEST_CASE("json: refusals name the file and the byte") {
  struct Case {
    std::string content;
    std::string message;
  };
  const std::vector<Case> cases = {
      {"", "f: not valid JSON at byte 1: "},
      {"{\"a\": }", "f: not valid JSON at byte 7: "},
      {"[1, 2", "f: not valid JSON at byte 6: "},
      {"[1] x", "f: not valid JSON at byte 5: "},
      {"\"\xFF\"", "f: not valid JSON at byte 2: "},
      {"{\"a\": 1, \"a\": 2}", "f: the key 'a' is given twice in one object"},
      {"9223372036854775808", "f: the integer 9223372036854775808 is larger than"},
      {"99999999999999999999", "f: the integer 99999999999999999999 does not fit into 64 bits"},
      {"-9223372036854775809", "f: the integer -9223372036854775809 does not fit into 64 bits"},
      {"1e999", "f: not valid JSON at byte 5: "},
      {"NaN", "f: not valid JSON at byte "},
      {std::string(65, '['), "f: nested more than 64 deep"},
      {std::string(1000000, '['), "f: nested more than 64 deep"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.content.substr(0, 60));
    CHECK_THAT(error_of([&] { parse_json(one.content, "f"); }), StartsWith(one.message));
  }
  CHECK_THAT(error_of([] { parse_json("[1,2,3]", "f", {.depth_max = 4, .values_max = 3}); }),
             Contains("more than 3 values"));
  CHECK(error_of([] { parse_json("[[1,2]]", "f", {.depth_max = 2, .values_max = 4}); }) ==
        "no error");
}

TEST_CASE("json: keeps the order of keys and the exact value of numbers") {
  const double infinity = std::numeric_limits<double>::infinity();
  const JsonValue value = JsonObject{
      {"zeta", 1},
      {"alpha", JsonArray{true, nullptr, 0.1, 3.0, "a\"b\n"}},
      {"large", std::numeric_limits<std::int64_t>::min()},
      {"none", JsonObject{}},
      {"lost", JsonArray{std::nan(""), infinity, -infinity}},
      {"bytes", std::string("\xFFx")},
  };
  CHECK(json_text(value) ==
        R"({"zeta":1,"alpha":[true,null,0.1,3.0,"a\"b\n"],"large":-9223372036854775808,)"
        "\"none\":{},\"lost\":[\"nan\",\"inf\",\"-inf\"],\"bytes\":\"\xEF\xBF\xBDx\"}");
}

TEST_CASE("json: what is written reads back the same") {
  for (const double number : {0.1, 1e-300, -2.5e17, 1.0 / 3.0, 5e-324}) {
    CAPTURE(number);
    CHECK(*parse_json(json_text(number), "f").fraction() == number);
  }
}
