#!/usr/bin/python3
"""Every rule of tests/tidy_cpp.py has its bad example here, and a good twin beside it.

EXAMPLES are small changes of the house of tidy_test.py. The tables below them hold the scanner
against modern C++: function heads, statements that nest, comments that only look like code.
Where the scanner cannot tell it must be silent, so most of the examples are good ones.
"""

import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import tidy_test  # noqa: E402  (it lives beside this file)
from tidy_test import cpp, header, tidy, tidy_cpp  # noqa: E402

SAMPLE, DOOR, GLOO = "kernels/sample.cc", "kernels/kernels.h", "comm/gloo_communicator.cc"
GLOO_LIST = "# Comm.\nadd_library(comm gloo_communicator.cc)\n"


def at(*lines, path=SAMPLE):
    return [f"{path}:{line}" for line in lines]


def body(count):
    return count * ["  step();"]


EXAMPLES = [  # (rule, bad change of the house, path:line of each finding, good change)
    ("limit-function", {SAMPLE: cpp("", "int f() {", *body(61), "}")}, at(5),
     {SAMPLE: cpp("", "int f() {", *body(60), "}", "class Row {", *body(70), "};")}),
    ("limit-function", {"tests/unit/one_test.cc": cpp('TEST_CASE("one") {', *body(61), "}")},
     at(4, path="tests/unit/one_test.cc"),
     {"tests/unit/one_test.cc": cpp('TEST_CASE("one") {', *body(60), "}")}),
    ("limit-function", {SAMPLE: cpp("const Table table = {", '    {"sum", [](Row row) {',
                                    *body(61), "    }},", "};")}, at(5),
     {SAMPLE: cpp("const Table table = {", *(70 * ['    {"sum", 1},']), "};")}),
    ("limit-parameters", {DOOR: header("Row f(int a, int b, int c,", "      D d, E e, F f);")},
     at(6, path=DOOR), {DOOR: header("Row f(int a, int b, int c,", "      D d, E e = g(1, 2));")}),
    ("limit-parameters", {SAMPLE: cpp("Row::Row(A a, B b, C c, D d, E e, F f) : a_(a) {}")}, at(4),
     {SAMPLE: cpp("Row::Row(A a, B b, C c, D d, E e) : a_(a), f_(a, b, c, d, e, 6) {}",
                  "const Row row(a, b, c, d, e, f);", "MOE_ROW(int a, int b, c, d, e, f)")}),
    ("limit-nesting", {SAMPLE: cpp("void f() {", "  for (;;) {", "    while (a) {",
                                   "      if (b) {", "        if (c) {", *(5 * "}"))}, at(8),
     {SAMPLE: cpp("void f() {", "  for (;;) {", "    while (a) {",
                  "      if (b) {", "        if (c) return;", *(4 * "}"))}),
    ("no-conditionals", {SAMPLE: cpp("#ifdef MOE_CUDA", "int cuda;", " # else", "int cpu;",
                                     "/* */ #endif")}, at(4, 6, 8),
     {SAMPLE: cpp("#define MOE_ROW(name) name,", "#undef MOE_ROW", "// the #if of others",
                  'auto text = R"(', "#ifdef MOE_CUDA", ')";', "int a = sizeof(int) == 4;")}),
    ("no-conditionals", {"backends/registry.def": cpp(
        "MOE_BACKEND(no_ep)", "#ifndef MOE_SMALL", "MOE_BACKEND(naive)", "#elifdef X", "#endif")},
     at(5, 7, 8, path="backends/registry.def"), {}),
    ("pragma-once", {DOOR: cpp("#include <vector>", "#pragma once")}, at(4, path=DOOR),
     {DOOR: cpp("", "/* words */", "#pragma once  // words", "int a;")}),
    ("pragma-once", {"kernels/rows.cuh": cpp("int rows;")}, at(4, path="kernels/rows.cuh"),
     {"kernels/rows.cuh": header("int rows;")}),
    ("using-namespace", {DOOR: header("void f() {", "  using namespace std::literals;", "}")},
     at(7, path=DOOR),
     {DOOR: header("using std::span;", "namespace rows = moe::rows;"),
      SAMPLE: cpp("using namespace std::literals;")}),
    ("ownership", {SAMPLE: cpp("auto a = new Row[3];", "void f() { delete[] a; }",
                               "auto b =", "    new (place) Row;", "void* operator new(Count n);")},
     at(4, 5, 7, 8),
     {SAMPLE: cpp("Row(const Row&) = delete;", "Row& operator=(const Row&) =", "    delete;",
                  "#include <new>", "// a new row, delete it", 'auto s = "new";', "int renew;")}),
    ("ownership", {SAMPLE: cpp("auto a = malloc(3);", "auto b = std::calloc(3, 4);",
                               "void f() { if (c) ::free(c); }", "bool e = posix_memalign(&c);")},
     at(4, 5, 6, 7),
     {SAMPLE: cpp("void free(Row row);", "auto a = pool.malloc(3);", "auto b = pool->free(a);",
                  "auto c = slab::free(a);", "using Closer = decltype(&std::free);")}),
    ("ownership", {SAMPLE: cpp("std::shared_ptr<Row> a;", "auto b = std::make_shared<Row>();",
                               "std::weak_ptr<Row> c;")}, at(4, 5, 6),
     {GLOO: cpp("std::shared_ptr<gloo::Context> a;"), "comm/CMakeLists.txt": GLOO_LIST}),
    ("ownership", {GLOO: cpp("auto a = new Row;"), "comm/CMakeLists.txt": GLOO_LIST},
     at(4, path=GLOO), {SAMPLE: cpp("std::unique_ptr<Row> shared;")}),
    ("output", {SAMPLE: cpp("void f() {", '  std::cout << "a";', '  printf("b");', "  if (c)",
                            '    std::fprintf(out, "c");', '  fmt::print("d");', "}")},
     at(5, 6, 8, 9),
     {"sim/registry.cc": cpp("void f() { std::cerr << getenv(word); exit(3); }"),
      "tests/unit/one_test.cc": cpp('void f() { printf("a"); }'),
      SAMPLE: cpp("void f() {", '  snprintf(to, n, "a");', "  page.puts(row);", "  log << a;",
                  '  // std::cout << "a"', '  auto s = "printf(a)";', "}", "void print(Row);")}),
    ("output", {SAMPLE: cpp("auto a = std::getenv(word);", "void f() { return ::abort(); }",
                            "void g() { b ? exit(1) : std::_Exit(2); }")}, at(4, 5, 6, 6),
     {SAMPLE: cpp("int exit(Door door);", "auto a = plan.exit(door);", "int b = door::abort(a);",
                  "auto c = environment.getenv(word);", "bool exit_code(int exit);")}),
    ("dead-code", {SAMPLE: cpp("// Row row = rows[0];", "int a;", "  // copy(row);",
                               "/* a = 3; */")}, at(4, 6, 7),
     {SAMPLE: cpp("// The row, then its copy.", "int a;  // a = 3;", "f(/*a=*/3);")}),
]

# Heads of functions with five parameters or fewer: 61 lines are found at line N, 60 are not.
HEADS = [  # (line of the name, head as lines)
    (1, "int f() {"), (1, "int f()\n{"), (1, "auto f() -> std::vector<int> {"),
    (1, "[[nodiscard]] constexpr int f(int a) noexcept(noexcept(a)) {"),
    (2, "template <class T, int N = (3 > 2)>\nvoid f(T a) {"),
    (3, "template <class T>\n  requires std::integral<T> && (sizeof(T) == 4)\nT f(T a) {"),
    (2, "template <class T>\nT f(T a) requires requires { a.x; } {"),
    (2, "template <class T>\nauto f(T a) -> decltype(a(1)) {"),
    (1, "void f(std::integral auto a, auto&&... b) {"),
    (1, "Row::Row(int a) : a_(a), b_{a, 2}, c_([&] { return a; }()) {"),
    (2, "template <class T>\nRow<T>::Row(T a) noexcept\n    : Base<T>{a}, b_{} {"),
    (1, "Row::Row(int a) requires C<int> : a_{a} {"), (1, "Row::Row() try : a_(1) {"),
    (1, "Row::~Row() {"), (1, "Row& Row::operator=(const Row& a) && {"),
    (1, "auto operator<=>(const Row& a, const Row& b) {"), (1, "Row::operator bool() const {"),
    (1, "int Row::operator()(int a) const {"), (1, "int Row::operator[](int a) {"),
    (1, 'Count operator""_rows(unsigned long long a) {'), (1, "const auto f = [](int a) {"),
    (1, "const auto f = [x = y[1]]<class T>(T a) mutable -> std::vector<T> {"),
    (1, 'extern "C" int f(int a) {'), (1, "static struct sockaddr_in f(int port) {"),
    (1, "__global__ void __launch_bounds__(256, 1) f(float* a) {"),
    (2, "class alignas(64) [[nodiscard]] Row final : public Base<int> {\nint f() const override {"),
    (2, 'namespace moe::kernels {\nTEST_CASE("a (b", "[c]") {'), (2, 'extern "C" {\nint f() {'),
    (2, "const int a = 3;\nint f() {"), (4, "class A {\n private:\nstruct B { B();\nint f() {"),
    (1, 'int f(std::string_view a = R"x(){)x", char b = \'{\') {'),
]

PARAMETERS = [  # (parameters that are counted, a declaration or the head of a definition)
    (6, "void f(int, Row b, int, int, int, int);"), (6, "explicit Row(int a, B b, C, D, E, F);"),
    (6, "static void f(A a, B b, C c, D d, E e, F f) {}"),
    (6, "Row(A a, B b, C c, D d, E e, F f);"),
    (6, "struct B final : A<1> { B(A a, B b, C c, D d, E e, F f); };"),
    (0, "make(a * 2, b, c, d, e, f);"), (0, "moe::make(a * 2, b, c, d, e, f);"),
    (0, "const Row row = make(a * 2, b, c, d, e, f);"),
    (3, "void f(A a, M<B, C> b, int (*c)(D, E));"),
    (6, "template <class... T> auto f(A a, B b, C c, D d, E e, T&&... rest) -> T;"),
    (6, "Row operator()(A a, B b, C c, D d, E e, F f) const = 0;"),
    (6, "friend void f(A a, B b, C c, D d, E e, F f) {}"),
    (5, "void f(A a = {1, 2}, B b = g(1, 2), C c = [](int x, int y) { return x; }, D d, E e);"),
    (1, "void f(std::array<std::pair<A, B>, 3> a);"), (0, "using F = void(A a, B b, C c, D d);"),
    (0, "std::function<Row(A a, B b, C c, D d, E e, F f)> a;"), (0, "Row row{1, 2, 3, 4, 5, 6};"),
    (0, "constexpr Row row = make(a, b, c, d, e, f);"), (0, "Row row(1 + 2, b, c, d, e, f);"),
    (0, "static_assert(same<A, B>(a * 2, b, c, d, e, f));"), (0, "#define MOE_F(a, b, c, d, e, f)"),
    (0, "template void f<int>(A a, B b, C c, D d, E e, F f);"),
]

NESTED = [  # (lines that nest too deep, statements of a function)
    ([], "for (;;) { for (;;) { if (a) { b(); } else if (c) { d(); } else { e(); } } }"),
    ([1], "for (;;) for (;;) for (;;) for (;;) a();"), ([], "for (;;) for (;;) for (;;) a();"),
    ([], "for (;;) for (;;) for (;;)\nif (a) continue;"),
    ([2], "for (;;) for (;;) for (;;)\nif (a) { b(); }"),
    ([4], "for (;;) {\nif (a) {\ntry {\ndo { b(); } while (c); } catch (...) { d(); } } }"),
    ([4], "switch (a) {\ncase 1: {\nfor (;;) { if (b) {\nif constexpr (c) { d(); } } } } }"),
    ([2], "for (;;) { if (a) { run([&] { if (b) { e(); }\nfor (;;) { if (c) { d(); } } }); } }"),
    ([], "if (a) { b = Row{1}; } if (a) { b = {{{{1}}}}; } { { { { c(); } } } }"),
    ([], "if (a) { while (b) { struct R { void g() { if (a) { if (b) { c(); } } } }; } }"),
    ([], "if (auto r = f({.a = {1}}); r) [[likely]] { for (auto& [k, v] : m) { if (k) { c(); }}}"),
    ([2], "for (;;) for (;;) for (;;)\nif (a) [[unlikely]] { b(); }"),
    ([], "for (;;) { { a(); } struct R { void g() { for (;;) for (;;) for (;;) { b(); } } }; }"),
    ([3], "if (a) {} else if (b) {} else { while (c) { if (d) {\n\nif (e) {} else if (f) {} } } }"),
]

PROSE = [  # lines of comments that are sentences, or half of one
    "ORDER: rank 0 first (deterministic);", "REQUIRES: rows >= 0;", "with top_k == 1 (no sum);",
    "see finish() below;", "[num_tokens, hidden_size]", "capacity = num_tokens * ranks", "a (b);",
    "the #if of the other side", "{rank, expert} pairs, one per row;", "if (and only if) idle,",
    "int, then rank:", "return the handle to combine;", "https://github.com/vllm/pull/33728",
    "expert_map[expert] = -1 where the expert lives elsewhere;", "copy (row by row), then add;",
]
DEAD = [
    "return rows;", "return;", "rows = 3;", "rows += top_k * 2;", "++rows;", "rows++;", "};", "}",
    "});", "if (idle) {", "} else if (rows == 0) {", "for (int i = 0; i < n; ++i) sum(i);",
    "using Row = int;", "combine(rows, top_k);", "const auto send = plan([](int a) { return a; });",
    "#include <vector>", "#ifdef MOE_CUDA", "#endif", "void finish() override;",
    'log << "rows of this rank " << rows;', "static int rows(Row row) {",
    'throw ScenarioError(text(where, ": the words of a long sentence"));',
]


class Examples(unittest.TestCase):
    def test_bad_ones_are_found_and_good_ones_are_silent(self):
        tidy_test.check_examples(self, EXAMPLES)

    def test_every_rule_has_one(self):
        self.assertEqual({rule for rule, *_ in EXAMPLES}, set(tidy_cpp.RULES))


def found(rule, text, path="kernels/sample.h"):
    """The lines where a rule of one file finds something in a text."""
    return [line for line, _ in tidy_cpp.RULES[rule](tidy_cpp.CppFile(path, text))]


class Functions(unittest.TestCase):
    def test_the_body_of_each_head_is_measured(self):
        for line, head in HEADS:
            for count, lines in ((61, [line]), (60, [])):
                text = "\n".join([head, *body(count), "}"])
                with self.subTest(head=head, count=count):
                    self.assertEqual(found("limit-function", text), lines)

    def test_lines_of_initialisers_and_after_the_body_do_not_count(self):
        text = "Row::Row()\n    : a_{1},\n" + 80 * "      b_(2),\n" + "      c_{3} {\n  f();\n}\n"
        functions = tidy_cpp.CppFile("a.cc", text).structure.functions
        self.assertEqual([f.body_lines for f in functions], [1])

    def test_parameters_are_counted(self):
        for count, declaration in PARAMETERS:
            with self.subTest(declaration=declaration):
                text = "struct Row {\n" + declaration + "\n};\n"
                functions = tidy_cpp.CppFile("kernels/row.h", text).structure.functions
                self.assertEqual(max((f.parameters for f in functions), default=0), count)
                self.assertEqual(found("limit-parameters", text), [2] * (count > 5))

    def test_names_are_what_a_reader_calls_them(self):
        text = ("struct R {\nbool operator()(int a) {}\nvoid operator=(R a) {}\n~R() {}\n};\n"
                "auto f = [] {};\n[[nodiscard]] int g() {}\nint t[2]{1};\nint u = t[1] + R{}[2];\n")
        functions = tidy_cpp.CppFile("a.cc", text).structure.functions
        names = [function.name for function in functions]
        self.assertEqual(names, ["operator()", "operator=", "R", "lambda", "g"])

    def test_nesting_is_counted(self):
        for lines, statements in NESTED:
            with self.subTest(statements=statements):
                text = "void f() {\n" + statements + "\n}\n"
                self.assertEqual(found("limit-nesting", text), [line + 1 for line in lines])


class Comments(unittest.TestCase):
    def test_sentences_are_no_code(self):
        for line in PROSE:
            for form in (f"// {line}", f"/* Words.\n * {line}\n */", f"/** {line} */"):
                with self.subTest(comment=form):
                    self.assertEqual(found("dead-code", "int a;\n" + form + "\n"), [])

    def test_code_is_found_in_every_kind_of_comment(self):
        for line in DEAD:
            for form, place in ((f"// {line}", 2), (f"/// {line}", 2), (f"/*\n * {line}\n */", 3)):
                with self.subTest(comment=form):
                    self.assertEqual(found("dead-code", "int a;\n" + form + "\n"), [place])

    def test_the_purpose_may_show_code(self):
        self.assertEqual(found("dead-code", "// MOE_CHECK:\n// check(rows == 3);\n\nint a;\n"), [])


class Scanner(unittest.TestCase):
    def test_literals_are_hollow_and_lines_stay(self):
        text = ('auto a = R"x(new {\n)" delete)x"; /* new\n'
                " */ char b = '\"'; int c = 1'000; // new\n")
        file = tidy_cpp.CppFile("kernels/a.cc", text)
        self.assertEqual(len(file.code), len(text))
        self.assertEqual(file.code.count("\n"), text.count("\n"))
        self.assertEqual(" ".join(file.code.split()),
                         """auto a = " "; char b = ' '; int c = 1'000;""")
        self.assertEqual([line for line, _, _ in file.comments], [2, 3])

    def test_unbalanced_text_ends_in_silence(self):
        for text in ("", "}", "({[", ")]}\n", "({)}", "[(]", '"', 'R"(', "/*", "template <",
                     "void f() { if (",
                     "[[", "operator", "#", "// \\", "class", "= {", "void f(int a", "x::~", "do{"):
            with self.subTest(text=text):
                file = tidy_cpp.CppFile("kernels/a.cc", text)
                for name, rule in tidy_cpp.RULES.items():
                    self.assertIn(name, tidy.RULES)
                    self.assertLessEqual(len(list(rule(file))), 1)


if __name__ == "__main__":
    unittest.main()
