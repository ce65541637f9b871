// Unit tests of sim/yaml_document: places, kinds, aliases, and every refusal with its position.
// The meaning of keys is the scenario reader's affair.

#include "sim/yaml_document.h"

#include "kernels/base/text.h"
#include "tests/catch.h"
#include "tests/unit/sim/input_files.h"

using namespace moe;
using namespace moe::sim;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

TEST_CASE("yaml: every node knows its kind, text and place") {
  const YamlNode root = parse_yaml("a: 1\nb:\n  - [x, 'y']\n  - {c: }\n", "f.yaml");
  REQUIRE(root.kind == YamlKind::map);
  REQUIRE(root.entries.size() == 2);
  CHECK(root.entries[1].key.place() == "f.yaml:2:1");
  CHECK(root.find("a")->scalar == "1");
  CHECK(root.find("a")->place() == "f.yaml:1:4");
  const YamlNode& list = root.find("b")->items.at(0);
  CHECK(list.place() == "f.yaml:3:5");
  CHECK_FALSE(list.items.at(0).quoted);
  CHECK(list.items.at(1).quoted);
  CHECK(list.items.at(1).scalar == "y");
  CHECK(described(*root.find("b")->items.at(1).find("c")) == "an empty value");
  CHECK(root.find("b")->items.at(1).find("c")->place() == "f.yaml:4:6");
  CHECK(root.find("c") == nullptr);
}

TEST_CASE("yaml: an alias is the value of its anchor") {
  const YamlNode root = parse_yaml("a: &row [1, 2]\nb: *row\nc: &word x\nd: *word\n", "f");
  CHECK(root.find("b")->items.at(1).scalar == "2");
  CHECK(root.find("d")->scalar == "x");
}

TEST_CASE("yaml: refusals name file, line and column") {
  struct Case {
    std::string content;
    std::string message;
  };
  std::string laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
  for (char c = 'b'; c < 'h'; ++c) {
    const char previous = static_cast<char>(c - 1);
    laughs += text(c, ": &", c, " [");
    for (int i = 0; i < 10; ++i) laughs += text(i == 0 ? "*" : ", *", previous);
    laughs += "]\n";
  }
  const std::vector<Case> cases = {
      {"", "f:1:1: the file is empty"},
      {"# only a comment\n", "f:1:1: the file is empty"},
      {"a: 1\na: 2\n", "f:2:1: the key 'a' is given twice, first at line 1"},
      {"a: {b: 1, b: 2}", "f:1:11: the key 'b' is given twice"},
      {"a: [1\nb: 2\n", "f:2:"},
      {"a: 'x", "f:1:6: illegal EOF in scalar"},
      {"a: 'x\n", "f:1:4: the quotation mark is never closed"},
      {"a: 'it''\n", "f:1:4: the quotation mark is never closed"},
      {"b: 1\na: [\"x\\\"]\n", "f:2:5: the quotation mark is never closed"},
      {"a: [x, @]", "f:1:8: "},
      {"a: *none\n", "f:1:4: "},
      {"a: &x [1, *x]\n", "f:1:11: an alias inside the value it stands for"},
      {"a: !!int 3\n", "f:1:4: the tag "},
      {"a: !thing [3]\n", "f:1:"},
      {"[1, 2]: 3\n", "f:1:1: a list as a key: keys are words"},
      {": 3\n", "f:1:1: a value without a key"},
      {"a: 1\n---\nb: 2\n", "f:2:1: a second document starts: a file holds one"},
      {"a: \xFF\n", "f:1:4: the byte 0xff is no UTF-8 text"},
      {std::string("a: \0\n", 5), "f:1:4: the byte 0x00 is no UTF-8 text"},
      {"a:\n\tb: 1\n", "f:2:"},
      {"a: " + std::string(40, '[') + std::string(40, ']'), "f:1:35: nested more than 32 deep"},
      {"a: " + std::string(5000, '['), "f:1:20: nested more than 32 deep"},
      {"a: " + std::string(5000, '{'), "f:1:35: nested more than 32 deep"},
      {laughs, "f:5:"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.content.substr(0, 60));
    CHECK_THAT(error_of([&] { parse_yaml(one.content, "f"); }), StartsWith(one.message));
  }
  CHECK_THAT(error_of([&] { parse_yaml(laughs, "f"); }), Contains("more than 50000 values"));
}

TEST_CASE("yaml: a tab that indents a line is named with it, others are text") {
  CHECK(error_of([] { parse_yaml("a:\n  b: 1\n\tc: 2\n", "f.yaml"); }) ==
        "f.yaml:3:1: a tab indents the line: YAML takes spaces only");
  CHECK(error_of([] { parse_yaml("a:\n  \tb: {\n", "f.yaml"); }) ==
        "f.yaml:2:3: a tab indents the line: YAML takes spaces only");
  CHECK(parse_yaml("a: 'x\ty'\n", "f.yaml").find("a")->scalar == "x\ty");
  CHECK_THAT(error_of([] { parse_yaml("a: 'x\ty\n", "f.yaml"); }), !Contains("a tab"));
}

TEST_CASE("yaml: an alias may not nest what the limit forbids") {
  const std::string twenty = std::string(20, '[') + std::string(20, ']');
  CHECK(error_of([&] { parse_yaml("a: &a " + twenty + "\nb: [[*a]]\n", "f"); }) == "no error");
  const std::string thirteen(13, '[');
  CHECK_THAT(error_of([&] {
               parse_yaml("a: &a " + twenty + "\nb: " + thirteen + "*a" + std::string(13, ']'),
                          "f");
             }),
             Contains("nested more than 32 deep"));
}

TEST_CASE("yaml: large files are refused before they are parsed") {
  const TemporaryFolder folder;
  const std::string path = folder.write("large.yaml", std::string(yaml_bytes_max + 1, 'x'));
  CHECK_THAT(error_of([&] { read_yaml(path); }), Contains("the limit is 262144 bytes"));
}
