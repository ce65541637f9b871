#!/usr/bin/python3
"""Every rule of tests/tidy.py over the tree has its bad example here, and a good twin beside it.

An example is a small change of HOUSE, a tree with nothing wrong: the bad change must be found at
its path:line by its rule and by no other, the good one must be silent. A rule without an example
fails. The rules that read one C++ file have theirs in tidy_cpp_test.py, which uses findings().
"""

import atexit
import contextlib
import functools
import io
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import tidy  # noqa: E402  (it lives one folder up)
import tidy_cpp  # noqa: E402


def cpp(*lines):
    """A source file; the given lines start at line 4."""
    return "\n".join(("// What lives here: one example.", "// Nobody calls it.", "", *lines, ""))


def header(*lines):
    """A header; the given lines start at line 6."""
    return cpp("#pragma once", "", *lines)


TABLE = "# Backends\n<!-- registry -->\n| name |\n|---|\n{}<!-- /registry -->\n"
HOUSE = {
    "CMakeLists.txt": "# The tree.\nadd_compile_options(-ffp-contract=off --fmad=false)\n"
                      "add_library(moe kernels/sample.cc sim/registry.cc)\n",
    "README.md": "# Moebius\n",
    "backends/README.md": TABLE.format("| `no_ep` |\n| `naive` |\n"),
    "backends/legacy/naive.h": header("namespace moe::legacy {}"),
    "backends/moe_layer.h": header('#include "comm/communicator.h"'),
    "backends/registry.def": cpp("MOE_BACKEND(no_ep, main)", "MOE_CALL_FORM(naive, legacy)"),
    "comm/communicator.h": header("#include <vector>"),
    "golden/data/idle/one.golden.json": "{}\n",
    "golden/oracle.h": header('#include "kernels/base/tensor.h"'),
    "kernels/base/tensor.h": header("namespace moe {}"),
    "kernels/kernels.h": header('#include "kernels/base/tensor.h"'),
    "kernels/sample.cc": cpp('#include "kernels/kernels.h"'),
    "scenarios/idle/one.yaml": "name: idle/one\nvalues: integers\n",
    "sim/registry.cc": cpp('#include "backends/legacy/naive.h"', '#include "backends/registry.def"',
                           'bool same = name == "naive";', "auto made = legacy::make();"),
    "sim/run.h": header('#include "golden/oracle.h"'),
    "tests/CMakeLists.txt": "# The tests.\nadd_executable(unit unit/one_test.cc)\n",
    "tests/catch.h": header("#include <catch2/catch.hpp>"),
    "tests/unit/one_test.cc": cpp('#include "sim/run.h"', '#include "backends/legacy/naive.h"'),
}

SAMPLE, PURPOSE = "kernels/sample.cc", "// One.\n// Two.\n"
REAL, SILENT = "values: real\n", {}
IN_ROOT = "# The tree.\nadd_library(moe {})\nadd_compile_options(-ffp-contract=off --fmad=false)\n"

EXAMPLES = [  # (rule, bad change of the house, path:line of each finding, good change)
    ("include-table", {SAMPLE: cpp('#include "comm/communicator.h"')}, [SAMPLE + ":4"],
     {SAMPLE: cpp('#include "kernels/base/tensor.h"')}),
    ("include-table", {SAMPLE: cpp("", ' #  include "tensor.h"')}, [SAMPLE + ":5"],
     {SAMPLE: cpp('// #include "rows.h" in words', 'auto s = R"(', '#include "tensor.h"', ')";')}),
    ("include-table", {SAMPLE: cpp('#include "kernels/../kernels/kernels.h"')}, [SAMPLE + ":4"],
     {SAMPLE: cpp('#include "kernels/kernels.h"  // why')}),
    ("include-table", {"sim/list.h": header('#include "backends/legacy/naive.h"')},
     ["sim/list.h:6"], {"sim/list.h": header('#include "backends/moe_layer.h"')}),
    ("include-table", {"scenarios/world.h": header('#include "sim/run.h"')},
     ["scenarios/world.h:6"], {"tests/world.h": header('#include "sim/run.h"')}),
    ("registry-reader", {"backends/choice.h": header('#include "backends/registry.def"')},
     ["backends/choice.h:6"], SILENT),
    ("limit-line", {SAMPLE: cpp("", "// " + 98 * "x")}, [SAMPLE + ":5"],
     {SAMPLE: cpp("", "// " + 97 * "ö")}),
    ("limit-line", {"run.sh": "# Runs.\n" + 101 * "x"}, ["run.sh:2"],
     {"run.sh": "# Runs.\n" + 100 * "x", "README.md": "# Moebius\n" + 200 * "x"}),
    ("limit-file", {SAMPLE: PURPOSE + 399 * "\n"}, [SAMPLE + ":401"],
     {SAMPLE: PURPOSE + 398 * "\n"}),
    ("limit-file", {"golden/make.py": '"""Makes."""\n' + 400 * "\n"}, ["golden/make.py:401"],
     {"golden/make.py": '"""Makes."""\n' + 399 * "\n"}),
    ("purpose", {SAMPLE: "// One line.\n\n// Two.\n"}, [SAMPLE + ":1"], {SAMPLE: PURPOSE}),
    ("purpose", {SAMPLE: 7 * "// More.\n"}, [SAMPLE + ":1"], {SAMPLE: 6 * "// More.\n"}),
    ("purpose", {SAMPLE: "\n" + PURPOSE}, [SAMPLE + ":1"], {SAMPLE: PURPOSE + "\nint rows;\n"}),
    ("purpose", {"backends/registry.def": "MOE_BACKEND(no_ep)\nMOE_BACKEND(naive)\n"},
     ["backends/registry.def:1"], SILENT),
    ("purpose", {"golden/make.py": "#!/usr/bin/python3\nimport sys\n"}, ["golden/make.py:1"],
     {"golden/make.py": '#!/usr/bin/python3\n"""Makes goldens."""\n'}),
    ("purpose", {"run.sh": "#!/bin/sh\nset -e\n"}, ["run.sh:1"],
     {"run.sh": "#!/bin/sh\n# Runs.\n"}),
    ("purpose", {"sim/page.js": "let page;\n"}, ["sim/page.js:1"], {"sim/page.js": "// Page.\n"}),
    ("words", {"kernels/row_utils.h": header()}, ["kernels/row_utils.h:1"],
     {"kernels/row_copy.h": header()}),
    ("words", {"sim/common/rows.h": header()}, ["sim/common/rows.h:1"],
     {"sim/commons/rows.h": header()}),
    ("words", {"kernels/new_rows.h": header()}, ["kernels/new_rows.h:1"],
     {"kernels/renew_rows.h": header()}),
    ("words", {"kernels/rows.cpp": "int rows;\n"}, ["kernels/rows.cpp:1"], SILENT),
    ("words", {SAMPLE: cpp("class RowManager final {", "};", "struct RowBase : Rows {", "};")},
     [SAMPLE + ":4", SAMPLE + ":6"],
     {SAMPLE: cpp("class All2AllManager {", "};", "class Database {", "};", "RowBase::Row row;")}),
    ("words", {SAMPLE: cpp("int my_rank = 0;", "namespace moe::utils {", "}",
                           "void copy_helper();")},
     [SAMPLE + f":{line}" for line in (4, 5, 7)],
     {SAMPLE: cpp("std::common_type_t<A, B> renew_rows;", 'auto text = "my_rank";',
                  "// my_rank in words", "namespace moe::kernels {}")}),
    ("todo", {SAMPLE: cpp("int rows;  // TODO faster", "/* so", "TODO */")},
     [SAMPLE + ":4", SAMPLE + ":6"],
     {SAMPLE: cpp('auto s = "// TODO";', "int rows;  // TODO issue 12: faster", "// TODO #7")}),
    ("todo", {"run.sh": "# Runs.\n# TODO all of it\n"}, ["run.sh:2"],
     {"run.sh": "# Runs.\n# TODO issue 3: the rest\n"}),
    ("todo", {"sim/page.js": "// Page.\nlet a;  // TODO all of it\n"}, ["sim/page.js:2"],
     {"sim/page.js": "// Page.\nlet a;  // TODO issue 3\n",
      "golden/make.py": '"""Makes."""\nx = "a; // TODO"\n'}),
    ("foreign", {"comm/store.h": header("#include <gloo/context.h>")}, ["comm/store.h:6"],
     {"comm/gloo_communicator.h": header("#include <chrono>")}),
    ("foreign", {"golden/oracle.h": header("#include <vector>", "#include <unistd.h>")},
     ["golden/oracle.h:7"], {"comm/store.h": header("#include <unistd.h>", "#include <sys/un.h>")}),
    ("foreign", {SAMPLE: cpp("#include <math.h>", "#include <zlib.h>", "#include <Eigen/Dense>")},
     [SAMPLE + f":{line}" for line in (4, 5, 6)],
     {SAMPLE: cpp("#include <cmath>", "#include <memory_resource>")}),
    ("foreign", {SAMPLE: cpp("#include <kernels/kernels.h>")}, [SAMPLE + ":4"], SILENT),
    ("in-target", {"kernels/lost.cc": cpp()}, ["kernels/lost.cc:1"],
     {"backends/legacy/naive.cc": cpp("namespace moe::legacy {}")}),
    ("in-target", {"kernels/naive.cc": cpp()}, ["kernels/naive.cc:1"],
     {"backends/no_ep.cc": cpp()}),
    ("in-target", {"kernels/CMakeLists.txt": "# rows.cu is here\nset(x many_rows.cu rows.cuh)\n",
                   "kernels/rows.cu": cpp()}, ["kernels/rows.cu:1"],
     {"kernels/CMakeLists.txt": "# Rows.\nset(x ${here}/rows.cu)\n", "kernels/rows.cu": cpp()}),
    ("in-target", {"kernels/CMakeLists.txt": "# Rows.\nadd_library(\n  k\n  gone.cc)\n"},
     ["kernels/CMakeLists.txt:4"], {"sim/CMakeLists.txt": "# Sim.\nadd_library(s registry.cc)\n"}),
    ("tests-compiled", {"tests/unit/two_test.cc": cpp(), "CMakeLists.txt": IN_ROOT.format(
        SAMPLE + " sim/registry.cc tests/unit/two_test.cc")}, ["tests/unit/two_test.cc:1"],
     {"tests/unit/two_test.cc": cpp(), "tests/unit/CMakeLists.txt": "# Unit.\nset(t two_test.cc)"}),
    ("tests-compiled", {"tests/unit/two_test.py": '"""Two."""\n'}, ["tests/unit/two_test.py:1"],
     {"golden/two_test.py": '"""No test of tests/."""\n'}),
    ("scenarios-judged", {"scenarios/two.yaml": "name: two\nwhy: 'values: real'\n"},
     ["scenarios/two.yaml:1"], {"scenarios/two.yaml": "name: two\nvalues: real\n"}),
    ("scenarios-judged", {"scenarios/two.yaml": "expect: same_bytes\n# error: none\n"},
     ["scenarios/two.yaml:1"],
     {"scenarios/two.yaml": "expect: {error: {kind: ScenarioError}}\n",
      "scenarios/three.yaml": "expect:\n  error:\n    kind: ScenarioError\nruns: []\n"}),
    ("scenarios-judged", {"golden/data/two.golden.json": "{}\n"}, ["golden/data/two.golden.json:1"],
     {"golden/data/two.golden.json": "{}\n", "scenarios/two.yaml": REAL}),
    ("same-name", {"comm/tensor.h": header()}, ["kernels/base/tensor.h:1"],
     {"tests/fault/catch.h": header()}),
    ("legacy-sealed", {"backends/legacy/pplx.h": header("namespace moe {}")},
     ["backends/legacy/pplx.h:1"], {"backends/legacy/pplx.h": header("namespace moe::legacy {}")}),
    ("legacy-sealed", {"backends/choice.h": header("", "auto naive = legacy::naive();")},
     ["backends/choice.h:7"],
     {"tests/wing.h": header("auto naive = legacy::naive();"),
      "backends/choice.h": header("// legacy::naive in words", "Wing wing = Wing::legacy;")}),
    ("registry-table", {"backends/README.md": TABLE.format("| `naive` |\n| `no_ep` |\n")},
     ["backends/README.md:5"], SILENT),
    ("registry-table", {"backends/README.md": TABLE.format("| `no_ep` |\n")},
     ["backends/README.md:6"], SILENT),
    ("registry-table", {"backends/registry.def": cpp("MOE_BACKEND(no_ep)", "// MOE_BACKEND(naive)")
                        }, ["backends/README.md:6"],
     {"backends/registry.def": cpp("MOE_BACKEND(no_ep)", 'MOE_BACKEND("naive", x)')}),
    ("registry-table", {"backends/README.md": "# Backends\n"}, ["backends/README.md:1"], SILENT),
    ("one-title", {"README.md": "# One\n\n## Part\n\n# Two\n# Three\n"}, ["README.md:5"],
     {"README.md": "# One\n```sh\n# no title\n```\n  ~~~\n# no title\n~~~\n## Part\n"}),
    ("one-title", {"tests/README.md": "Words.\n"}, ["tests/README.md:1"],
     {"tests/README.md": "Words.\n# Title\n"}),
    ("backend-names", {SAMPLE: cpp("bool a = name == \"naive\";", 'bool b = "no_ep" != name;',
                                   'bool c = name ==', '    std::string("naive");')},
     [SAMPLE + f":{line}" for line in (4, 5, 6)],
     {SAMPLE: cpp('bool a = name == "naively";', "// if (name == \"naive\") in words",
                  'auto b = R"(x == "naive")";', 'std::string c = "naive";'),
      "tests/unit/one_test.cc": cpp('bool a = name == "naive";'),
      "backends/no_ep.cc": cpp('bool own = name == "no_ep";')}),
    ("top-level", {"tools/draw.sh": "# Draws.\n"}, ["tools:1"], {"sim/draw.sh": "# Draws.\n"}),
    ("fp-flags", {"CMakeLists.txt": IN_ROOT.format(SAMPLE + " sim/registry.cc").replace(
        "add_compile", "# add_compile")}, ["CMakeLists.txt:1"], SILENT),
    ("fp-flags", {"kernels/rows.cu": cpp(), "CMakeLists.txt": IN_ROOT.format(
        SAMPLE + " sim/registry.cc kernels/rows.cu").replace(" --fmad=false", "")},
     ["CMakeLists.txt:1"],
     {"CMakeLists.txt": IN_ROOT.format(SAMPLE + " sim/registry.cc").replace(" --fmad=false", "")}),
]

INCLUDES = {  # the table of the design, columns as ROOMS: x may be included, r by sim/registry.cc
    "kernels/base": "x......",
    "kernels": "xx.....",
    "comm": "x.x....",
    "golden": "x..x...",
    "backends": "xxx.x..",
    "backends/legacy": "xxx.xx.",
    "sim": "xxxxxrx",
    "tests": "xxxxxxx",
}
ROOMS = [room for room in INCLUDES if room != "tests"]


def write(root, files):
    for path, text in files.items():
        place = Path(root, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def tree(files):
    """A folder that holds the files, path -> text, for as long as it is looked at."""
    with tempfile.TemporaryDirectory() as root:
        write(root, files)
        yield root


@functools.cache
def house():
    """The folder of HOUSE, written once and removed when the program ends."""
    root = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, root)
    write(root, HOUSE)
    return root


def findings(change):
    """(path:line, rule) of each finding in HOUSE with a change, in order."""
    root = house()
    write(root, change)
    try:
        with mock.patch.object(tidy.Tree, "_git", return_value=None):
            found = tidy.check(root)[1]
    finally:
        for path in change.keys() - HOUSE.keys():
            Path(root, path).unlink()
        write(root, {path: HOUSE[path] for path in change.keys() & HOUSE.keys()})
    return [(f"{path}:{line}", rule) for path, line, _, rule in found]


def run(*arguments):
    """(exit status, what it printed) of the program."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        return tidy.main(list(arguments)), printed.getvalue()


def check_examples(test, examples):
    """Asserts that each bad example is found by its rule alone, and that its good twin is not."""
    for number, (rule, bad, places, good) in enumerate(examples):
        with test.subTest(rule=rule, example=number, bad=bad):
            test.assertTrue(places)
            test.assertEqual(findings(bad), [(place, rule) for place in places])
        with test.subTest(rule=rule, example=number, good=good):
            test.assertEqual(findings(good), [])


class Examples(unittest.TestCase):
    def test_the_house_is_in_order(self):
        self.assertEqual(findings({}), [])

    def test_bad_ones_are_found_and_good_ones_are_silent(self):
        check_examples(self, EXAMPLES)

    def test_every_rule_has_one(self):
        self.assertEqual({rule for rule, *_ in EXAMPLES}, set(tidy.RULES) - set(tidy_cpp.RULES))

    def test_rules_of_one_file_are_rules_of_the_tree(self):
        self.assertLessEqual(set(tidy_cpp.RULES), set(tidy.RULES))


class IncludeTable(unittest.TestCase):
    def test_it_is_the_table_of_the_design(self):
        files = {f"{room}/door_{i}.h": header() for i, room in enumerate(ROOMS)}
        expected = []
        for row, (room, may) in enumerate(INCLUDES.items()):
            for column, mark in enumerate(may):
                path = f"{room}/from_{row}_to_{column}.h"
                files[path] = header(f'#include "{ROOMS[column]}/door_{column}.h"')
                expected += [path + ":6"] if mark != "x" else []
        files["sim/registry.cc"] = cpp('#include "backends/legacy/door_5.h"')
        found = [place for place, rule in findings(files) if rule == "include-table"]
        self.assertEqual(found, sorted(expected))

    def test_the_rows_are_the_rooms(self):
        self.assertEqual(set(tidy.MAY_INCLUDE), set(INCLUDES))


class Foreign(unittest.TestCase):
    def found(self, path, name):
        with tree({path: cpp(f"#include <{name}>")}) as root:
            return list(tidy.RULES["foreign"](tidy.Tree(root)))

    def test_each_library_has_its_files(self):
        for prefix, places in tidy.FOREIGN:
            name = prefix if prefix.endswith(".h") else prefix + "x.h"
            for place in places:
                with self.subTest(header=name, place=place):
                    self.assertEqual(self.found(place.replace("*", "kernels/xpu/x", 1), name), [])
            with self.subTest(header=name):
                self.assertEqual(len(self.found("golden/elsewhere.cc", name)), 1)

    def test_a_prefix_is_no_licence_for_others(self):
        self.assertEqual(len(self.found("comm/gloo_communicator.cc", "yaml-cpp/yaml.h")), 1)


class Words(unittest.TestCase):
    def test_each_banned_word_is_found_in_file_names_and_in_code(self):
        files = {f"sim/{word}_{ending[1:]}/row{ending}": header("int a;") for word in (
            "util", "utils", "helper", "helpers", "common", "misc", "impl2", "new", "my")
            for ending in (".cpp", ".cxx", ".c", ".hpp", ".hh", ".hxx", ".inl", ".ipp", ".inc")}
        names = ["namespace common {}", "namespace a::b::misc {}", "int row_misc;", "int new_row;",
                 "int row_impl2;", "void row_utils();", "class RowHandler : A {};",
                 "struct Utils {};", "class [[nodiscard]] RowHelper {};", "class Context2 {};",
                 "struct Manager {};"]
        with tree({**files, "sim/rows.h": header(*names)}) as root:
            found = [path for path, _, _ in tidy.RULES["words"](tidy.Tree(root))]
        self.assertEqual(sorted(found), sorted([*files, *files, *(len(names) * ["sim/rows.h"])]))


class Files(unittest.TestCase):
    EXTRA = {"sim/run.h": header(), ".gitignore": "*.txt\n", "sim/out.txt": "",
             "sim/build-gcc/made.cc": "", "sim/__pycache__/x.py": "", ".cache/x.cc": ""}

    def test_without_git_folders_of_builds_are_left_out(self):
        with tree(self.EXTRA) as root:
            self.assertEqual(tidy.Tree(root).files, [".gitignore", "sim/out.txt", "sim/run.h"])

    def test_with_git_what_it_would_track_counts(self):
        with tree({**self.EXTRA, "sim/gone.h": header()}) as root:
            git = ["git", "-C", root]
            subprocess.run([*git, "init", "-q"], check=True)
            subprocess.run([*git, "add", "sim/run.h", "sim/gone.h"], check=True)
            Path(root, "sim/gone.h").unlink()
            seen = tidy.Tree(root).files
            self.assertIn("sim/build-gcc/made.cc", seen)
            self.assertNotIn("sim/out.txt", seen)
            self.assertNotIn("sim/gone.h", seen)

    def test_a_folder_inside_a_checkout_is_walked(self):
        with tree(self.EXTRA) as root:
            subprocess.run(["git", "-C", root, "init", "-q"], check=True)
            self.assertEqual(tidy.Tree(Path(root, "sim")).files, ["out.txt", "run.h"])


class Program(unittest.TestCase):
    def test_a_clean_tree(self):
        with tree(HOUSE) as root:
            self.assertEqual(run(root), (0, f"tidy: {len(HOUSE)} files, 0 errors\n"))

    def test_an_error_says_file_line_and_rule(self):
        with tree({**HOUSE, "kernels/base/tensor.h": header("using namespace std;")}) as root:
            status, printed = run(root)
        self.assertEqual(status, 1)
        self.assertRegex(printed, r"\Akernels/base/tensor\.h:6: error: \S.*\S \[using-namespace\]\n"
                                  r"tidy: \d+ files, 1 errors\n\Z")

    def test_a_tree_without_registry_and_sources(self):
        with tree({"README.md": "# Moebius\n"}) as root:
            self.assertEqual(run(root)[0], 0)

    def test_wrong_usage(self):
        self.assertEqual(run("/no/such/folder")[0], 2)
        self.assertEqual(run("/", "/")[0], 2)


if __name__ == "__main__":
    unittest.main()
