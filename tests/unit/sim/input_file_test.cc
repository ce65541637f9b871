// Unit tests of sim/input_file and sim/utf8: what is no regular file, what is no text.
// Files that lie about their size cannot be made here; the reader asks the system, not the file.

#include "sim/input_file.h"

#include <sys/stat.h>

#include "sim/utf8.h"
#include "tests/catch.h"
#include "tests/unit/sim/input_files.h"

using namespace moe::sim;
using Catch::Matchers::Contains;

TEST_CASE("input file: whole content, empty files included") {
  const TemporaryFolder folder;
  CHECK(read_input_text(folder.write("a", std::string("x\0y", 3)), 3) == std::string("x\0y", 3));
  CHECK(read_input_text(folder.write("b", ""), 0).empty());
}

TEST_CASE("input file: what cannot be read is refused by name") {
  const TemporaryFolder folder;
  const std::string pipe = (folder.path() / "pipe").string();
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  const auto refusal = [](const std::string& path) {
    return error_of([&] { read_input_text(path, 10); });
  };
  CHECK(refusal((folder.path() / "none").string()) ==
        (folder.path() / "none").string() + ": there is no such file");
  CHECK_THAT(refusal(folder.path().string()), Contains("is a folder, not a file"));
  CHECK_THAT(refusal(pipe), Contains("is not a regular file"));
  CHECK_THAT(refusal(folder.write("f", "") + "/g"), Contains("/g: "));
  CHECK_THAT(refusal(folder.write("large", "12345678901")),
             Contains("has 11 bytes, the limit is 10 bytes"));
  CHECK_THAT(refusal(std::string(5000, 'x')), Contains("cannot be read: File name too long"));
}

TEST_CASE("input file: a file that ends early is refused") {
  const TemporaryFolder folder;
  InputFile file(folder.write("a", "abc"));
  std::array<std::byte, 4> bytes{};
  CHECK_THAT(error_of([&] { file.read_next(bytes); }), Contains("ended after 3 of 4 bytes"));
}

TEST_CASE("utf8: well-formed text passes, anything else is found where it starts") {
  struct Case {
    std::string bytes;
    int bad;  // -1: none
  };
  const std::vector<Case> cases = {
      {"", -1},
      {"plain\ttext\r\n", -1},
      {"\xC3\xBC \xE2\x86\x92 \xF0\x9F\x8E\x97", -1},
      {"\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF", -1},
      {std::string("a\0b", 3), 1},
      {"a\x01", 1},
      {"a\x7F", 1},
      {"ab\x80", 2},
      {"\xC1\xBF", 0},
      {"\xC3", 0},
      {"x\xE2\x86", 1},
      {"\xE0\x9F\xBF", 0},
      {"\xED\xA0\x80", 0},
      {"\xF0\x8F\xBF\xBF", 0},
      {"\xF4\x90\x80\x80", 0},
      {"\xF5\x80\x80\x80", 0},
      {"\xFF\xFE", 0},
  };
  for (const Case& one : cases) {
    CAPTURE(one.bytes);
    CHECK(static_cast<int>(first_not_text(one.bytes).value_or(-1)) == one.bad);
    CHECK((printable(one.bytes) == one.bytes) == (one.bad < 0));
    CHECK_FALSE(first_not_text(printable(one.bytes)));
  }
  CHECK(error_of([] { check_utf8_text("one\ntw\xFF", "f.yaml"); }) ==
        "f.yaml:2:3: the byte 0xff is no UTF-8 text: is this a binary file?");
  CHECK(printable("a\xFF\x01"
                  "b\xC3\xBC") == "a\\xff\\x01b\xC3\xBC");
}
