// Unit tests of sim/safetensors: what a good file holds, and each way a file can lie about itself.
// Traces and captures have tests of their own.

#include "sim/safetensors.h"

#include <cstring>

#include "kernels/base/text.h"
#include "tests/catch.h"
#include "tests/unit/sim/input_files.h"

using namespace moe;
using namespace moe::sim;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

std::string tensor(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return text(R"({"dtype":)", dtype, R"(,"shape":)", shape, R"(,"data_offsets":)", offsets, "}");
}

// A header with the one tensor "a", for four bytes of data.
std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return text(R"({"a":)", tensor(dtype, shape, offsets), "}");
}

// A header with the tensors "a" and "b" of bytes at the given offsets.
std::string two(const std::string& a_shape, const std::string& a, const std::string& b_shape,
                const std::string& b) {
  return text(R"({"a":)", tensor("\"U8\"", a_shape, a), R"(,"b":)", tensor("\"U8\"", b_shape, b),
              "}");
}

}  // namespace

TEST_CASE("safetensors: reads metadata, shapes and bytes, in any order of keys") {
  const TemporaryFolder folder;
  const std::string header =
      R"({"b":{"dtype":"I16","shape":[1,2],"data_offsets":[2,6]},"__metadata__":{"k":"v"},)"
      R"("a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
      R"("empty":{"dtype":"F32","shape":[0,3],"data_offsets":[2,2]},)"
      R"("scalar":{"dtype":"U8","shape":[],"data_offsets":[6,7]}}   )";
  const std::string path = folder.write("x", safetensors_bytes(header, "abcdefg"));
  SafetensorsFile read(path);
  const SafetensorsFile file = std::move(read);
  CHECK(file.metadata() == std::map<std::string, std::string>{{"k", "v"}});
  CHECK(file.entries().size() == 4);
  const SafetensorsEntry& entry = file.require("b", "I16", 2);
  CHECK(entry.shape == std::vector<Count>{1, 2});
  REQUIRE(entry.bytes.size() == 4);
  CHECK(std::memcmp(entry.bytes.data(), "cdef", 4) == 0);
  CHECK(file.require("empty", "F32", 2).bytes.empty());
  CHECK(file.require("scalar", "U8", 0).bytes.size() == 1);
  CHECK(error_of([&] { file.require("c", "U8", 1); }) ==
        path + ": has no tensor 'c', only a, b, empty, scalar");
  CHECK(error_of([&] { file.require("b", "I32", 2); }) ==
        path + ": b is I16 [1, 2], it must be I32 with 2 dimensions");
  CHECK_THAT(error_of([&] { file.require("b", "I16", 1); }), Contains("with 1 dimensions"));
}

TEST_CASE("safetensors: a file without tensors is one") {
  const TemporaryFolder folder;
  const SafetensorsFile file(folder.write("x", safetensors_bytes("{}", "")));
  CHECK(file.entries().empty());
  CHECK_THAT(error_of([&] { file.require("a", "U8", 1); }), Contains("only none at all"));
}

TEST_CASE("safetensors: files that are too short for what they claim") {
  const TemporaryFolder folder;
  const auto refusal = [&](const std::string& bytes) {
    const std::string path = folder.write("x", bytes);
    const std::string error = error_of([&] { SafetensorsFile file(path); });
    CHECK(error_of([&] { read_safetensors_header(path); }) == error);
    REQUIRE_THAT(error, StartsWith(path + ": "));
    return error.substr(path.size() + 2);
  };
  CHECK_THAT(refusal(""), StartsWith("has 0 bytes, a safetensors file begins with 8"));
  CHECK_THAT(refusal("1234567"), StartsWith("has 7 bytes"));
  CHECK_THAT(refusal(std::string(8, '\0')), Contains("not valid JSON"));
  const std::string good = safetensors_bytes("{}", "");
  CHECK(refusal(good.substr(0, 9)) ==
        "says its header has 2 bytes, only 1 follow: truncated, or no safetensors file");
  CHECK_THAT(refusal(std::string(8, '\xFF') + "{}"),
             StartsWith("says its header has 18446744073709551615 bytes, only 2 follow"));
  CHECK_THAT(error_of([&] { SafetensorsFile file(folder.path().string()); }),
             Contains("is a folder, not a file"));
  CHECK_THAT(error_of([&] { SafetensorsFile file((folder.path() / "none").string()); }),
             Contains("there is no such file"));
}

TEST_CASE("safetensors: lengths beyond the limits are refused before memory is taken") {
  const TemporaryFolder folder;
  const std::string path = folder.write("x", "");
  const std::uint64_t length = 100'000'001;
  std::string start(sizeof length, '\0');
  std::memcpy(start.data(), &length, sizeof length);
  folder.write("x", start);
  std::filesystem::resize_file(path, 200'000'000);  // a hole: no disk, no memory
  CHECK_THAT(error_of([&] { SafetensorsFile file(path); }),
             Contains("says its header has 100000001 bytes, the limit is 100000000"));
  const std::int64_t size = std::int64_t{1} << 40;
  folder.write("x",
               safetensors_bytes(one("\"U8\"", text("[", size, "]"), text("[0,", size, "]")), ""));
  const auto header = static_cast<std::int64_t>(std::filesystem::file_size(path));
  std::filesystem::resize_file(path, static_cast<std::uintmax_t>(header + size));
  CHECK(read_safetensors_header(path).data_size == size);
  CHECK_THAT(error_of([&] { SafetensorsFile file(path); }), Contains("the limit is 17179869184"));
}

namespace {

struct Case {
  std::string header;
  std::string message;
};

}  // namespace

TEST_CASE("safetensors: headers that lie, with four bytes of data") {
  const std::string big = "4611686018427387904";
  const std::vector<Case> cases = {
      {"nonsense", "the header: not valid JSON at byte "},
      {"[1]", "the header is an array, not an object"},
      {"{\"a\":{},\"a\":{}}", "the header: the key 'a' is given twice"},
      {"{\"a\":3}", "tensor 'a' is 3, not an object"},
      {"{\"" + std::string(300, 'n') + "\":3}", "a name of 300 bytes"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"strides":[1]}})",
       "tensor 'a' has the key 'strides'"},
      {R"({"a":{"shape":[4],"data_offsets":[0,4]}})", "tensor 'a' has the unknown dtype (none)"},
      {R"({"a":{"dtype":"U8","data_offsets":[0,4]}})", "tensor 'a': shape is missing"},
      {R"({"a":{"dtype":"U8","shape":[4]}})", "tensor 'a': data_offsets is missing"},
      {one("\"U9\"", "[4]", "[0,4]"), "tensor 'a' has the unknown dtype 'U9'"},
      {one("8", "[4]", "[0,4]"), "tensor 'a' has the unknown dtype 8"},
      {one("\"U8\"", "4", "[0,4]"), "tensor 'a': shape is 4, not an array"},
      {one("\"U8\"", "[-4]", "[0,4]"), "tensor 'a': shape holds -4, not an integer from 0"},
      {one("\"U8\"", "[4.0]", "[0,4]"), "tensor 'a': shape holds 4.0, not an integer from 0"},
      {one("\"U8\"", "[4]", "[0,4.5]"), "tensor 'a': data_offsets holds 4.5"},
      {one("\"U8\"", "[4]", "[-1,4]"), "tensor 'a': data_offsets holds -1"},
      {one("\"U8\"", "[4]", "[\"0\",4]"), "tensor 'a': data_offsets holds '0'"},
      {one("\"U8\"", "[4]", "[0,4,4]"),
       "tensor 'a': data_offsets is an array, not an array of 2 integers"},
      {one("\"U8\"", "[4]", "[0,18446744073709551616]"), "the header: the integer "},
      {one("\"U8\"", "[4]", "[0,9223372036854775807]"),
       "tensor 'a': data_offsets [0, 9223372036854775807] pass the 4 bytes"},
      {one("\"U8\"", "[5]", "[0,5]"), "tensor 'a': data_offsets [0, 5] pass the 4 bytes"},
      {one("\"U8\"", "[4]", "[4,0]"), "tensor 'a': data_offsets [4, 0] end before they begin"},
      {one("\"U8\"", "[3]", "[0,4]"),
       "tensor 'a': shape [3] of U8 takes 3 bytes, data_offsets [0, 4] hold 4"},
      {one("\"U8\"", text("[4,", big, ",4]"), "[0,4]"),
       "tensor 'a': shape [4, 4611686018427387904"},
      {one("\"F64\"", text("[", big, "]"), "[0,4]"), "tensor 'a': shape [4611686018427387904]"},
      {one("\"F32\"", text("[2,2,", big, "]"), "[0,0]"), "tensor 'a': shape [2, 2, 46116"},
      {one("\"U8\"", "[3]", "[0,3]"),
       "the tensors end at byte 3 of the data, the file has 4: 1 bytes belong to no tensor"},
      {"{}", "the tensors end at byte 0 of the data, the file has 4"},
      {one("\"U8\"", "[3]", "[1,4]"),
       "tensor 'a' begins at byte 1 of the data, the one before ends "
       "at 0: there is a hole"},
      {two("[3]", "[0,3]", "[2]", "[2,4]"),
       "tensor 'b' begins at byte 2 of the data, the one "
       "before ends at 3: they overlap"},
      {two("[4]", "[0,4]", "[4]", "[0,4]"),
       "tensor 'b' begins at byte 0 of the data, the one "
       "before ends at 4: they overlap"},
      {two("[1]", "[0,1]", "[2]", "[2,4]"), "tensor 'b' begins at byte 2"},
      {R"({"__metadata__":[]})", "__metadata__ is an array, not an object"},
      {R"({"__metadata__":{"k":1}})", "the metadata 'k' is 1, not a string"},
      {R"({"__metadata__":{"k":null}})", "the metadata 'k' is null, not a string"},
      {std::string(70, '['), "the header: nested more than 64 deep"},
  };
  const TemporaryFolder folder;
  for (const Case& one_case : cases) {
    CAPTURE(one_case.header.substr(0, 120));
    const std::string path = folder.write("x", safetensors_bytes(one_case.header, "abcd"));
    CHECK_THAT(error_of([&] { SafetensorsFile file(path); }),
               StartsWith(path + ": " + one_case.message));
  }
}
