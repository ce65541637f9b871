// Holds scenarios/scenario.schema.json against the reader's key table, both ways: the same keys,
// the same words, the same single values where a key is not supported yet.

#include <map>
#include <set>

#include "backends/profile.h"
#include "kernels/base/text.h"
#include "sim/input_file.h"
#include "sim/json_document.h"
#include "sim/scenario_keys.h"
#include "tests/catch.h"

using namespace moe;
using namespace moe::sim;

namespace {

const JsonValue& member(const JsonValue& value, const std::string& key) {
  const JsonValue* found = value.find(key);
  INFO("the schema has no " << key);
  REQUIRE(found != nullptr);
  return *found;
}

JsonValue read_schema() {
  const std::string path = MOE_SOURCE_DIR "/scenarios/scenario.schema.json";
  return parse_json(read_input_text(path, 1 << 20), path);
}

// The sections of the table are the root and definitions of their names.
const JsonValue& schema_of(const JsonValue& schema, const std::string& section) {
  return section.empty() ? schema : member(member(schema, "definitions"), section);
}

// The single value of a pending key, as the table writes it.
std::string single_value(const JsonValue& property) {
  if (property.find("maxItems") != nullptr) return "[]";
  if (property.find("maxProperties") != nullptr) return "{}";
  const JsonValue& value = member(property, "const");
  return value.string() != nullptr ? *value.string() : json_text(value);
}

void check_key(const ScenarioKey& key, const JsonValue& property) {
  CAPTURE(key.section, key.name);
  if (key.state == KeyState::pending && key.choices.empty()) {
    REQUIRE(property.boolean() != nullptr);
    CHECK_FALSE(*property.boolean());
  } else if (key.state == KeyState::pending) {
    CHECK(single_value(property) == key.choices.front());
  } else if (key.state != KeyState::traced && key.choices.size() > 1) {
    std::vector<std::string> words;
    for (const JsonValue& word : *member(property, "enum").array()) words.push_back(*word.string());
    CHECK(words == key.choices);
  }
}

}  // namespace

TEST_CASE("schema: has the keys of the reader's table, and no others") {
  const JsonValue schema = read_schema();
  std::map<std::string, std::set<std::string>> known;
  for (const ScenarioKey& key : scenario_keys()) {
    known[key.section].insert(key.name);
    check_key(key, member(member(schema_of(schema, key.section), "properties"), key.name));
  }
  for (const auto& [section, names] : known) {
    CAPTURE(section);
    const JsonValue& part = schema_of(schema, section);
    CHECK_FALSE(*member(part, "additionalProperties").boolean());
    std::set<std::string> described_names;
    for (const JsonMember& property : *member(part, "properties").object()) {
      described_names.insert(property.key);
    }
    CHECK(described_names == names);
  }
}

TEST_CASE("schema: defects are those of the profiles' table") {
  const JsonValue schema = read_schema();
  const JsonValue& defects = member(member(schema, "properties"), "defects");
  std::vector<std::string> words;
  for (const JsonValue& word : *member(member(defects, "items"), "enum").array()) {
    words.push_back(*word.string());
  }
  std::vector<std::string> known;
  for (const Defect& defect : all_defects()) known.emplace_back(defect.name);
  CHECK(words == known);
}

TEST_CASE("keys: the table has no key twice, and pending keys at most one value") {
  std::set<std::string> seen;
  for (const ScenarioKey& key : scenario_keys()) {
    CAPTURE(key.section, key.name);
    CHECK(seen.insert(text(key.section, ".", key.name)).second);
    if (key.state == KeyState::pending) CHECK(key.choices.size() <= 1);
    if (key.state == KeyState::traced) CHECK(key.choices.size() == 1);
  }
}
