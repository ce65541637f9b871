// Text, names and digests: what messages and reports are made of.
// Digests are the published ones of the empty string.

#include "kernels/base/text.h"

#include "kernels/base/check.h"
#include "kernels/base/digest.h"
#include "kernels/base/dtype.h"
#include "tests/catch.h"

using namespace moe;

TEST_CASE("text: values one after the other, lists with separators") {
  CHECK(text("rank ", 2, " of ", 4L) == "rank 2 of 4");
  CHECK(text(true, " ", 0.1F, " ", 0.1, " ", 'x', std::string("y"), std::string_view("z")) ==
        "true 0.1 0.1 xyz");
  CHECK(joined(std::vector<int>{1, 2, 3}) == "1, 2, 3");
  CHECK(joined(std::vector<int>{}).empty());
  CHECK(hex16(0x1F) == "000000000000001f");
}

TEST_CASE("text: the nearest word, or none") {
  const std::vector<std::string> words{"backends", "checks", "faults"};
  CHECK(nearest("backend", words) == "backends");
  CHECK(nearest("fualts", words) == "faults");
  CHECK(nearest("zzzzzzzzzz", words).empty());
}

TEST_CASE("dtype: every name leads back to its type") {
  for (const DType dtype : all_dtypes) CHECK(dtype_named(name_of(dtype)) == dtype);
  CHECK_FALSE(dtype_named("bf17"));
}

TEST_CASE("digest: xxh64 of nothing") { CHECK(digest_of({}) == 0xEF46DB3751D8E999ULL); }

TEST_CASE("check: a broken contract says what, where and why") {
  const int rows = 3;
  CHECK_THROWS_WITH([&] { MOE_CHECK(rows == 4, text("there are ", rows, " rows")); }(),
                    Catch::Contains("there are 3 rows") && Catch::Contains("rows == 4") &&
                        Catch::Contains("text_test.cc"));
}
