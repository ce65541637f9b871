// Reads safetensors. Every length is compared with the file's size before memory is taken for it.
// Called by the readers of traces and captures.

#include "sim/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/input_file.h"
#include "sim/json_document.h"

namespace moe::sim {
namespace {

constexpr Count length_bytes = 8;
constexpr Count header_bytes_max = 100'000'000;  // as in the format's own library
constexpr Count name_bytes_max = 256;
constexpr Count data_bytes_max = Count{1} << 34;

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw ScenarioError(text(path, ": ", why));
}

// Bytes of one element, 0 for a dtype that the format does not have.
Count bytes_of_dtype(const std::string& dtype) {
  static const std::map<std::string, Count> sizes = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1},
      {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},     {"U32", 4},
      {"F32", 4},  {"I64", 8}, {"U64", 8}, {"F64", 8}};
  const auto found = sizes.find(dtype);
  return found == sizes.end() ? 0 : found->second;
}

// Integers of an array, none negative; size < 0: any number of them.
std::vector<Count> counts_of(const JsonValue* value, int size, const std::string& what) {
  if (value == nullptr) throw ScenarioError(text(what, " is missing"));
  const JsonArray* array = value->array();
  if (array == nullptr || (size >= 0 && std::ssize(*array) != size)) {
    throw ScenarioError(text(what, " is ", described(*value), ", not an array of ",
                             size < 0 ? std::string() : text(size, " "), "integers"));
  }
  std::vector<Count> counts;
  for (const JsonValue& item : *array) {
    const std::int64_t* count = item.integer();
    if (count == nullptr || *count < 0) {
      throw ScenarioError(text(what, " holds ", described(item), ", not an integer from 0"));
    }
    counts.push_back(*count);
  }
  return counts;
}

SafetensorsTensor tensor_of(const std::string& name, const JsonValue& value) {
  const JsonObject* members = value.object();
  if (members == nullptr) {
    throw ScenarioError(text("tensor '", name, "' is ", described(value), ", not an object"));
  }
  for (const JsonMember& member : *members) {
    if (member.key != "dtype" && member.key != "shape" && member.key != "data_offsets") {
      throw ScenarioError(text("tensor '", name, "' has the key '", member.key,
                               "'; a tensor has dtype, shape, data_offsets"));
    }
  }
  const JsonValue* dtype = value.find("dtype");
  if (dtype == nullptr || dtype->string() == nullptr || bytes_of_dtype(*dtype->string()) == 0) {
    throw ScenarioError(text("tensor '", name, "' has the unknown dtype ",
                             dtype == nullptr ? "(none)" : described(*dtype)));
  }
  const std::string what = text("tensor '", name, "': ");
  SafetensorsTensor tensor;
  tensor.dtype = *dtype->string();
  tensor.shape = counts_of(value.find("shape"), -1, what + "shape");
  const std::vector<Count> offsets =
      counts_of(value.find("data_offsets"), 2, what + "data_offsets");
  tensor.begin = offsets[0];
  tensor.end = offsets[1];
  return tensor;
}

// The offsets lie in the data, in order, and hold exactly what the shape says.
void check_extent(const std::string& name, const SafetensorsTensor& tensor, Count data_size) {
  const std::string what = text("tensor '", name, "': ");
  const std::string range = text("[", tensor.begin, ", ", tensor.end, "]");
  if (tensor.begin > tensor.end) {
    throw ScenarioError(text(what, "data_offsets ", range, " end before they begin"));
  }
  if (tensor.end > data_size) {
    throw ScenarioError(
        text(what, "data_offsets ", range, " pass the ", data_size, " bytes of data in the file"));
  }
  Count bytes = bytes_of_dtype(tensor.dtype);
  bool overflow = false;
  for (const Count extent : tensor.shape) {
    overflow = __builtin_mul_overflow(bytes, extent, &bytes) || overflow;
  }
  if (overflow) {
    throw ScenarioError(text(what, "shape ", shape_text(tensor.shape), " overflows 64 bits"));
  }
  if (bytes != tensor.end - tensor.begin) {
    throw ScenarioError(text(what, "shape ", shape_text(tensor.shape), " of ", tensor.dtype,
                             " takes ", bytes, " bytes, data_offsets ", range, " hold ",
                             tensor.end - tensor.begin));
  }
}

// Sorted by their place, each tensor begins where the one before ends, and the last ends the file.
void check_tiling(const SafetensorsHeader& header) {
  struct Place {
    Count begin;
    Count end;
    std::string name;
  };
  std::vector<Place> places;
  for (const auto& [name, tensor] : header.tensors)
    places.push_back({tensor.begin, tensor.end, name});
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  Count covered = 0;
  for (const Place& place : places) {
    if (place.begin != covered) {
      throw ScenarioError(text("tensor '", place.name, "' begins at byte ", place.begin,
                               " of the data, the one before ends at ", covered,
                               place.begin < covered ? ": they overlap" : ": there is a hole"));
    }
    covered = place.end;
  }
  if (covered != header.data_size) {
    throw ScenarioError(text("the tensors end at byte ", covered, " of the data, the file has ",
                             header.data_size, ": ", header.data_size - covered,
                             " bytes belong to no tensor"));
  }
}

// Names end up in messages.
void check_name(const std::string& name) {
  if (std::ssize(name) > name_bytes_max) {
    throw ScenarioError(text("a name of ", name.size(), " bytes ('", name.substr(0, 40),
                             "…'), the limit is ", name_bytes_max));
  }
}

void take_metadata(SafetensorsHeader& header, const JsonValue& value) {
  const JsonObject* members = value.object();
  if (members == nullptr) {
    throw ScenarioError(text("__metadata__ is ", described(value), ", not an object"));
  }
  for (const JsonMember& member : *members) {
    check_name(member.key);
    const std::string* string = member.value.string();
    if (string == nullptr) {
      throw ScenarioError(
          text("the metadata '", member.key, "' is ", described(member.value), ", not a string"));
    }
    header.metadata[member.key] = *string;
  }
}

// REQUIRES path, data_begin and data_size to be set.
void fill_header(SafetensorsHeader& header, const JsonValue& document) {
  const JsonObject* members = document.object();
  if (members == nullptr) {
    throw ScenarioError(text("the header is ", described(document), ", not an object"));
  }
  for (const JsonMember& member : *members) {
    check_name(member.key);
    if (member.key == "__metadata__") {
      take_metadata(header, member.value);
      continue;
    }
    const SafetensorsTensor tensor = tensor_of(member.key, member.value);
    check_extent(member.key, tensor, header.data_size);
    header.tensors[member.key] = tensor;
  }
  check_tiling(header);
}

// Leaves the file where the data begin.
SafetensorsHeader header_of(InputFile& file) {
  SafetensorsHeader header;
  header.path = file.path();
  if (file.size() < length_bytes) {
    refuse(header.path, text("has ", file.size(),
                             " bytes, a safetensors file begins with 8 that "
                             "say how long its header is"));
  }
  std::array<std::byte, length_bytes> prefix{};
  file.read_next(prefix);
  std::uint64_t length = 0;
  std::memcpy(&length, prefix.data(), sizeof length);
  const Count left = file.size() - length_bytes;
  if (length > static_cast<std::uint64_t>(left)) {
    refuse(header.path, text("says its header has ", length, " bytes, only ", left,
                             " follow: truncated, or no safetensors file"));
  }
  if (length > static_cast<std::uint64_t>(header_bytes_max)) {
    refuse(header.path,
           text("says its header has ", length, " bytes, the limit is ", header_bytes_max));
  }
  std::string json(length, '\0');
  file.read_next(std::as_writable_bytes(std::span(json)));
  header.data_begin = length_bytes + static_cast<Count>(length);
  header.data_size = file.size() - header.data_begin;
  const JsonValue document = parse_json(json, text(header.path, ": the header"));
  try {
    fill_header(header, document);
  } catch (const ScenarioError& error) {
    refuse(header.path, error.what());
  }
  return header;
}

[[noreturn]] void refuse_missing(const SafetensorsHeader& header, const std::string& name) {
  std::vector<std::string> names;
  for (const auto& [present, tensor] : header.tensors) names.push_back(present);
  refuse(header.path,
         text("has no tensor '", name, "', only ", names.empty() ? "none at all" : joined(names)));
}

}  // namespace

std::string shape_text(const std::vector<Count>& shape) { return text("[", joined(shape), "]"); }

SafetensorsHeader read_safetensors_header(const std::string& path) {
  InputFile file(path);
  return header_of(file);
}

const SafetensorsTensor& require_tensor(const SafetensorsHeader& header, const std::string& name,
                                        const std::string& dtype, std::size_t dimensions) {
  const auto found = header.tensors.find(name);
  if (found == header.tensors.end()) refuse_missing(header, name);
  const SafetensorsTensor& tensor = found->second;
  if (tensor.dtype != dtype || tensor.shape.size() != dimensions) {
    refuse(header.path, text(name, " is ", tensor.dtype, " ", shape_text(tensor.shape),
                             ", it must be ", dtype, " with ", dimensions, " dimensions"));
  }
  return tensor;
}

SafetensorsFile::SafetensorsFile(const std::string& path) {
  InputFile file(path);
  header_ = header_of(file);
  if (header_.data_size > data_bytes_max) {
    refuse(path, text("has ", header_.data_size, " bytes of data, the limit is ", data_bytes_max));
  }
  content_.resize(static_cast<std::size_t>(header_.data_size));
  file.read_next(content_);
  for (const auto& [name, tensor] : header_.tensors) {
    const auto bytes = std::span<const std::byte>(content_).subspan(
        static_cast<std::size_t>(tensor.begin),
        static_cast<std::size_t>(tensor.end - tensor.begin));
    entries_[name] = {tensor.dtype, tensor.shape, bytes};
  }
}

const SafetensorsEntry& SafetensorsFile::require(const std::string& name, const std::string& dtype,
                                                 std::size_t dimensions) const {
  require_tensor(header_, name, dtype, dimensions);
  return entries_.at(name);
}

void require_shape(const SafetensorsHeader& header, const std::string& name,
                   const std::string& dtype, const std::vector<Count>& shape) {
  const SafetensorsTensor& tensor = require_tensor(header, name, dtype, shape.size());
  if (tensor.shape != shape) {
    throw ScenarioError(text(header.path, ": ", name, " is ", shape_text(tensor.shape),
                             ", the metadata and the other tensors make it ", shape_text(shape)));
  }
}

}  // namespace moe::sim
