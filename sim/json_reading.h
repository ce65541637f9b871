// Reading back JSON that this program wrote for itself: a missing member or another type is our own
// mistake, a ContractError. For documents from outside use json_document.h and say what is wrong.

#pragma once

#include <string>

#include "kernels/base/device.h"
#include "sim/json_document.h"

namespace moe::sim {

const JsonValue& member(const JsonValue& object, std::string_view key);
std::int64_t integer_at(const JsonValue& object, std::string_view key);
double number_at(const JsonValue& object, std::string_view key);
std::string string_at(const JsonValue& object, std::string_view key);
DeviceKind device_at(const JsonValue& object, std::string_view key);
const JsonArray& array_at(const JsonValue& object, std::string_view key);

}  // namespace moe::sim
