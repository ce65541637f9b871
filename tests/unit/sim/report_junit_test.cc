// The words of JUnit's XML: whatever a message holds, the file stays XML and says it.
// That whole reports parse is tests/process/reports_test.py.

#include "sim/report.h"
#include "tests/catch.h"

using namespace moe::sim;

TEST_CASE("junit: what XML gives a meaning becomes an entity") {
  CHECK(xml_text("a < b & \"c\" > d") == "a &lt; b &amp; &quot;c&quot; &gt; d");
  CHECK(xml_text("two\nlines\ta\r") == "two&#10;lines&#9;a&#13;");
}

TEST_CASE("junit: what XML cannot hold is written as its bytes") {
  CHECK(xml_text(std::string_view("nul \0 bell \a", 12)) == "nul \\x00 bell \\x07");
  CHECK(xml_text("half \xC3 of one") == "half \\xc3 of one");
  CHECK(xml_text("surrogate \xED\xA0\x80") == "surrogate \\xed\\xa0\\x80");
  CHECK(xml_text("noncharacter \xEF\xBF\xBF!") == "noncharacter \\xef\\xbf\\xbf!");
  CHECK(xml_text("R\xC3\xA9my \xE2\x86\x92 \xF0\x9F\x98\x80") ==
        "R\xC3\xA9my \xE2\x86\x92 \xF0\x9F\x98\x80");
}
