// JSON as values of our own: read from hostile text within limits, and written for reports with
// keys in the order given. nlohmann stays in json_document.cc; what a document means is the
// callers'.

#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "kernels/base/dtype.h"

namespace moe::sim {

class JsonValue;
struct JsonMember;
using JsonArray = std::vector<JsonValue>;
using JsonObject = std::vector<JsonMember>;  // in order; a parsed one has no key twice

// null, a boolean, an integer, a number with a fraction, a string, an array or an object. Built
// from what it holds: JsonObject{{"rows", rows}, {"verdict", "passed"}, {"reason", nullptr}}.
class JsonValue {
 public:
  JsonValue() = default;
  JsonValue(std::nullptr_t) {}
  JsonValue(std::same_as<bool> auto value) : held_(value) {}
  JsonValue(double value) : held_(value) {}
  template <std::integral Integer>
  requires(!std::same_as<Integer, bool>) JsonValue(Integer value)
      : held_(static_cast<std::int64_t>(value)) {}
  JsonValue(std::string value) : held_(std::move(value)) {}
  JsonValue(std::string_view value) : held_(std::string(value)) {}
  JsonValue(const char* value) : held_(std::string(value)) {}
  JsonValue(JsonArray value);
  JsonValue(JsonObject value);

  // The value as that type; null if it is another.
  const bool* boolean() const { return std::get_if<bool>(&held_); }
  const std::int64_t* integer() const { return std::get_if<std::int64_t>(&held_); }
  const double* fraction() const { return std::get_if<double>(&held_); }
  const std::string* string() const { return std::get_if<std::string>(&held_); }
  const JsonArray* array() const { return std::get_if<JsonArray>(&held_); }
  const JsonObject* object() const { return std::get_if<JsonObject>(&held_); }
  JsonArray* array() { return std::get_if<JsonArray>(&held_); }
  JsonObject* object() { return std::get_if<JsonObject>(&held_); }
  bool is_null() const { return std::holds_alternative<std::monostate>(held_); }

  // The member of an object; null if there is none or this is no object.
  const JsonValue* find(std::string_view key) const;

 private:
  std::variant<std::monostate, bool, std::int64_t, double, std::string, JsonArray, JsonObject>
      held_;
};

struct JsonMember {
  std::string key;
  JsonValue value;
};

// "an object", "a string", "the number 7", …, for messages.
std::string described(const JsonValue& value);

struct JsonLimits {
  int depth_max = 64;
  Count values_max = 1'000'000;
};

// REQUIRES one JSON document in UTF-8. name is the file for messages. Throws ScenarioError
// "name: …" with the byte offset for broken syntax, a key given twice, integers beyond 64 bits, and
// whatever passes the limits.
JsonValue parse_json(std::string_view content, const std::string& name, JsonLimits limits = {});

// One line. Doubles as the shortest text that reads back the same; "nan", "inf" and "-inf" are
// strings, as JSON has no such numbers; bytes that are no UTF-8 become U+FFFD.
std::string json_text(const JsonValue& value);

}  // namespace moe::sim
