// Members of our own JSON by key, or a ContractError that names the key.
// Used between the processes of one run.

#include "sim/json_reading.h"

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe::sim {
namespace {

template <typename T>
const T& present(const T* value, std::string_view key) {
  MOE_CHECK(value != nullptr, text("a message between ranks lacks '", key, "'"));
  return *value;
}

}  // namespace

const JsonValue& member(const JsonValue& object, std::string_view key) {
  return present(object.find(key), key);
}

std::int64_t integer_at(const JsonValue& object, std::string_view key) {
  return present(member(object, key).integer(), key);
}

double number_at(const JsonValue& object, std::string_view key) {
  const JsonValue& value = member(object, key);
  if (const std::int64_t* integer = value.integer()) return static_cast<double>(*integer);
  if (const std::string* words = value.string()) return std::stod(*words);  // nan, inf, -inf
  return present(value.fraction(), key);
}

std::string string_at(const JsonValue& object, std::string_view key) {
  return present(member(object, key).string(), key);
}

DeviceKind device_at(const JsonValue& object, std::string_view key) {
  const std::string word = string_at(object, key);
  for (const DeviceKind kind : {DeviceKind::cpu, DeviceKind::cuda, DeviceKind::xpu}) {
    if (name_of(kind) == word) return kind;
  }
  throw ContractError(text(key, " is no device: ", word));
}

const JsonArray& array_at(const JsonValue& object, std::string_view key) {
  return present(member(object, key).array(), key);
}

}  // namespace moe::sim
