// The one file that knows nlohmann/json: its parser's events become our values, and it writes them.
// The parser keeps its own stack, so depth costs no recursion; the limits bound what it may build.

#include "sim/json_document.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/utf8.h"

namespace moe::sim {
namespace {

using Json = nlohmann::ordered_json;

// Receives the parser's events. Keys stand on their own until their value is there.
class ValueBuilder : public nlohmann::json_sax<Json> {
 public:
  ValueBuilder(std::string name, JsonLimits limits) : name_(std::move(name)), limits_(limits) {}

  JsonValue take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(std::int64_t value) override { return add(value); }
  bool number_unsigned(std::uint64_t value) override {
    if (value > static_cast<std::uint64_t>(INT64_MAX)) {
      refuse(text("the integer ", value, " is larger than ", INT64_MAX));
    }
    return add(static_cast<std::int64_t>(value));
  }
  bool number_float(double value, const std::string& written) override {
    if (written.find_first_of(".eE") == std::string::npos) {
      refuse(text("the integer ", written.substr(0, 40), " does not fit into 64 bits"));
    }
    return add(value);
  }
  bool string(std::string& value) override { return add(std::move(value)); }
  bool binary(Json::binary_t&) override { refuse("binary values are no JSON"); }
  bool start_object(std::size_t) override { return open(JsonObject{}); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(JsonArray{}); }
  bool end_array() override { return close(); }
  bool key(std::string& key) override {
    if (!stack_.back().keys.insert(key).second) {
      refuse(text("the key '", key.substr(0, 80), "' is given twice in one object"));
    }
    stack_.back().key = std::move(key);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    const std::string_view what = error.what();
    const std::size_t detail = what.rfind(": ");
    const std::string_view reason =
        detail == std::string_view::npos ? what : what.substr(what.find(": ") + 2);
    refuse(text("not valid JSON at byte ", position, ": ", printable(reason)));
  }

 private:
  struct Open {
    JsonValue value;
    std::string key;
    std::set<std::string> keys;
  };

  [[noreturn]] void refuse(const std::string& why) const {
    throw ScenarioError(text(name_, ": ", why));
  }

  void count() {
    if (++num_values_ > limits_.values_max) {
      refuse(text("more than ", limits_.values_max, " values"));
    }
  }

  bool open(JsonValue&& value) {
    count();
    if (static_cast<int>(stack_.size()) >= limits_.depth_max) {
      refuse(text("nested more than ", limits_.depth_max, " deep"));
    }
    stack_.push_back({std::move(value), {}, {}});
    return true;
  }

  bool close() {
    JsonValue done = std::move(stack_.back().value);
    stack_.pop_back();
    return place(std::move(done));
  }

  bool add(JsonValue&& value) {
    count();
    return place(std::move(value));
  }

  bool place(JsonValue&& value) {
    if (stack_.empty()) {
      root_ = std::move(value);
    } else if (JsonArray* array = stack_.back().value.array()) {
      array->push_back(std::move(value));
    } else {
      stack_.back().value.object()->push_back({std::move(stack_.back().key), std::move(value)});
    }
    return true;
  }

  std::string name_;
  JsonLimits limits_;
  JsonValue root_;
  std::vector<Open> stack_;
  Count num_values_ = 0;
};

Json library_value(const JsonValue& value);

Json library_array(const JsonArray& values) {
  Json array = Json::array();
  for (const JsonValue& value : values) array.push_back(library_value(value));
  return array;
}

Json library_object(const JsonObject& members) {
  Json object = Json::object();
  for (const JsonMember& member : members) object[member.key] = library_value(member.value);
  return object;
}

Json library_number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

Json library_value(const JsonValue& value) {
  if (const bool* boolean = value.boolean()) return *boolean;
  if (const std::int64_t* integer = value.integer()) return *integer;
  if (const double* fraction = value.fraction()) return library_number(*fraction);
  if (const std::string* string = value.string()) return *string;
  if (const JsonArray* array = value.array()) return library_array(*array);
  if (const JsonObject* object = value.object()) return library_object(*object);
  return nullptr;
}

}  // namespace

JsonValue::JsonValue(JsonArray value) : held_(std::move(value)) {}
JsonValue::JsonValue(JsonObject value) : held_(std::move(value)) {}

const JsonValue* JsonValue::find(std::string_view key) const {
  const JsonObject* members = object();
  if (members == nullptr) return nullptr;
  for (const JsonMember& member : *members) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

std::string described(const JsonValue& value) {
  if (value.is_null()) return "null";
  if (value.array() != nullptr) return "an array";
  if (value.object() != nullptr) return "an object";
  if (const std::string* string = value.string()) return text("'", string->substr(0, 80), "'");
  return json_text(value);
}

JsonValue parse_json(std::string_view content, const std::string& name, JsonLimits limits) {
  ValueBuilder builder(name, limits);
  Json::sax_parse(content.begin(), content.end(), &builder);
  return builder.take();
}

std::string json_text(const JsonValue& value) {
  return library_value(value).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace moe::sim
