#!/usr/bin/env python3
"""tests/tidy.py [ROOT]: the house rules of the tree, one pass, `file:line: error: text [rule]`.

Here live the tree (files git tracks or would track), the rules that need it, and the table RULES.
tests/tidy_cpp.py scans C++; every rule has its own bad example in tests/unit/tidy*_test.py.
A rule takes the tree and yields (path, line, text); the text names the value and what to do.
"""

import functools
import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from posixpath import basename, dirname, join, splitext

sys.dont_write_bytecode = True
import tidy_cpp  # noqa: E402  (bytecode must not land beside the sources)

COLUMNS_MAX = 100
FILE_LINES_MAX = 400
REGISTRY = "backends/registry.def"
REGISTRY_READER = "sim/registry.cc"
BACKENDS_PAGE = "backends/README.md"

MAY_INCLUDE = {
    "kernels/base": {"kernels/base"},
    "kernels": {"kernels/base", "kernels"},
    "comm": {"kernels/base", "comm"},
    "golden": {"kernels/base", "golden"},
    "backends": {"kernels/base", "kernels", "comm", "backends"},
    "backends/legacy": {"kernels/base", "kernels", "comm", "backends", "backends/legacy"},
    "sim": {"kernels/base", "kernels", "comm", "golden", "backends", "sim"},
}
MAY_INCLUDE["tests"] = set(MAY_INCLUDE) | {"tests"}

STANDARD = re.compile(r"[a-z_0-9]+")  # no ending, no folder
POSIX = re.compile(r"(?:sys|netinet|net|linux)/.*\.h|arpa/inet\.h|(?:unistd|fcntl|poll|signal|spawn"
                   r"|pthread|sched|time|errno|netdb|dlfcn|ifaddrs|termios|glob|ucontext)\.h")
POSIX_ROOMS = ("sim/", "comm/", "tests/", "kernels/base/")
FOREIGN = [(start, files) for starts, files in (  # header prefixes, the files that may include them
    ("gloo/", ["comm/gloo_communicator.cc"]),
    ("boost/asio", ["comm/store.cc"]),
    ("boost/program_options", ["sim/given_options.cc"]),
    ("yaml-cpp/", ["sim/yaml_document.cc"]),
    ("nlohmann/", ["sim/json_document.cc"]),
    ("fmt/", ["kernels/base/text.cc"]),
    ("xxhash.h openssl/", ["kernels/base/digest.cc"]),
    ("oneapi/dnnl dnnl omp.h", ["kernels/cpu/gemm_onednn.cc"]),
    ("cblas.h", ["kernels/cpu/gemm_openblas.cc"]),
    ("catch2/", ["tests/catch.h", "tests/catch_main.cc"]),
    ("nccl.h nccl_device.h", ["comm/nccl_*"]),
    ("cuda cub/ cublas", ["*.cu", "*.cuh", "comm/nccl_*"]),
    ("CL/", ["kernels/xpu/*"]),
    ("immintrin.h", ["kernels/cpu/*"]),
) for start in starts.split()]
TOP_LEVEL = set("CMakeLists.txt CMakePresets.json README.md run.sh test.sh "
                "sim comm backends kernels scenarios golden tests".split())
AS_GIVEN = ("tests/bench/peer_torch_gloo.py",)  # a peer as its times were taken, not rewrapped
BANNED_WORDS = {"utils", "util", "helpers", "helper", "common", "misc", "impl2"}
BANNED_TYPE = (r"\b(?:class|struct)\s+(?:\[\[.*?\]\]\s*)?(\w*(?:Manager|Handler|Base|Helper|Utils"
               r"|Context2))\s*(?:final\b\s*)?(?:\{|:(?!:))")
BANNED_NAME = (r"\b((?:new|my)_\w+|\w+_(?:utils?|helpers?|misc|impl2))\b"
               r"|\bnamespace\s+(?:\w+::)*(utils?|helpers?|common|misc)\b")
CPP_ELSEWHERE = (".cpp", ".cxx", ".c", ".hpp", ".hh", ".hxx", ".inl", ".ipp", ".inc")


class Tree:
    """The files under a root, read once each."""

    def __init__(self, root):
        self.root = Path(root)
        self.files = sorted(path for path in self._list() if (self.root / path).is_file())
        self.present = set(self.files)
        self.cpp_files = self.named(".h", ".cc", ".cu", ".cuh", ".def")
        self.cmake_files = [p for p in self.files if basename(p) == "CMakeLists.txt"]
        self.script_files = self.named(*".py .sh .cmake .js .css .cl".split()) + self.cmake_files

    def named(self, *endings):
        return [path for path in self.files if path.endswith(endings)]

    @functools.cache
    def text(self, path):
        return (self.root / path).read_text(encoding="utf-8", errors="replace")

    def lines(self, path):
        return self.text(path).splitlines()

    @functools.cache
    def cpp(self, path):
        return tidy_cpp.CppFile(path, self.text(path))

    def _list(self):
        listed = self._git("ls-files", "-coz", "--exclude-standard")
        if self._git("rev-parse", "--show-prefix") == "\n" and listed is not None:
            return set(listed.split("\0")) - {""}
        return self._walk()

    def _git(self, *words):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        try:
            done = subprocess.run(["git", "-C", str(self.root), *words], env=environment,
                                  capture_output=True, text=True, check=False)
        except OSError:
            return None
        return done.stdout if done.returncode == 0 else None

    def _walk(self):
        skipped = re.compile(r"(?:^|/)(?:build[^/]*|__pycache__|\.(?!ci/)[^/]*)/")
        below = (path.relative_to(self.root).as_posix() for path in self.root.rglob("*"))
        return {path for path in below if not skipped.search(path)}


def room_of(path):
    rooms = [room for room in MAY_INCLUDE if path.startswith(room + "/")]
    return max(rooms, key=len, default=None)


@functools.cache
def registry_rows(tree):
    """The name of each row of registry.def, [] if there is none."""
    row = r'^[ \t]*MOE_(?:BACKEND|CALL_FORM)\s*\(\s*"?(\w+)'
    return re.findall(row, tree.cpp(REGISTRY).plain, re.M) if REGISTRY in tree.present else []


@functools.cache
def cmake_text(tree, path):
    """A CMake file with its comments blanked."""
    return re.sub(r"#[^\n]*", "", tree.text(path))


def named_in_cmake(tree, path, lists):
    """Whether one of the CMake files names the source by its path or the end of it."""
    pattern = r"[\w./+${}-]*" + re.escape(basename(path)) + r"(?!\w)"
    found = (word for cmake in lists for word in re.findall(pattern, cmake_text(tree, cmake)))
    tails = (re.sub(r"^(?:\$\{\w+\}|\.\.?)?/", "", word) for word in found)
    return any(("/" + path).endswith("/" + tail) for tail in tails)


def include_table(tree):
    for path in tree.cpp_files:
        room = room_of(path)
        for line, mark, name in tree.cpp(path).includes():
            target, allowed = room_of(name), MAY_INCLUDE.get(room, ())
            if mark == '"' and name not in tree.present:
                yield path, line, (f'include "{name}" is no file of the tree: write its path from '
                                   "the root, \"room/file.h\"")
            elif mark == '"' and target not in allowed \
                    and (path, target) != (REGISTRY_READER, "backends/legacy"):
                may = ", ".join(sorted(allowed)) or "nothing"
                yield path, line, (f"{room or 'a file in no room'} must not include '{name}', it "
                                   f"may include {may}: turn the arrow round")


def registry_reader(tree):
    for path in tree.cpp_files:
        for line, _, name in tree.cpp(path).includes():
            if basename(name) == basename(REGISTRY) and path != REGISTRY_READER:
                yield path, line, f"'{name}' is read by {REGISTRY_READER} only: ask the registry"


def limit_line(tree):
    for path in tree.cpp_files + tree.script_files:
        if path in AS_GIVEN:
            continue
        for line, words in enumerate(tree.lines(path), 1):
            if len(words) > COLUMNS_MAX:
                yield path, line, f"{len(words)} columns, the limit is {COLUMNS_MAX}: break it"


def limit_file(tree):
    for path in tree.cpp_files + tree.script_files:
        count = len(tree.lines(path))
        if count > FILE_LINES_MAX:
            yield path, FILE_LINES_MAX + 1, (f"the file has {count} lines, the limit is "
                                             f"{FILE_LINES_MAX}: split it by what it is about")


def purpose(tree):
    advice = "say what lives here, what must not, who calls it"
    for path in tree.cpp_files:
        count = tidy_cpp.purpose_lines(tree.cpp(path))
        if not 2 <= count <= 6:
            yield path, 1, f"the file opens with {count} '//' lines, 2 to 6 are wanted: {advice}"
    for path in tree.script_files:
        text = re.sub(r"\A#![^\n]*\n", "", tree.text(path)).lstrip()
        opening = {".py": r"r?(\"{1,3}|'{1,3})\s*\w", ".js": r"/[/*]\W*\w", ".css": r"/\*\W*\w",
                   ".cl": r"//\W*\w"}
        comment = opening.get(splitext(path)[1], r"(?:#\W*\n)*#[^\n]*\w")
        if not re.match(comment, text):
            yield path, 1, f"the file has no purpose comment at its top: {advice}"


def words(tree):
    for path in tree.files:
        for part in path.split("/"):
            pieces = BANNED_WORDS & set(re.split(r"[_.-]", part))
            if pieces or re.match(r"(?:new|my)_", part):
                name = min(pieces, default=part.split("_")[0] + "_")
                yield path, 1, f"'{name}' in the name '{part}' says nothing: name what it holds"
        if path.endswith(CPP_ELSEWHERE):
            yield path, 1, f"'{path}' is C++ that no rule reads: end it in .cc, .h, .cu or .cuh"
    for path in tree.cpp_files:
        for line, found in tree.cpp(path).matches(BANNED_TYPE):
            if found[1] != "All2AllManager":
                yield path, line, f"type '{found[1]}': name what the thing is, not that it acts"
        for line, found in tree.cpp(path).matches(BANNED_NAME):
            yield path, line, f"name '{found[1] or found[2]}' says nothing: name what it holds"


def todo(tree):
    for path in tree.cpp_files + tree.script_files:
        if path in tree.cpp_files:
            comments = [(line + i, text) for line, comment, _ in tree.cpp(path).comments
                        for i, text in enumerate(comment.split("\n"))]
        else:
            mark = r"(?:^|\s)/[/*].*" if path.endswith((".js", ".css", ".cl")) else r"(?:^|\s)#.*"
            comments = [(line, "".join(re.findall(mark, text)))
                        for line, text in enumerate(tree.lines(path), 1)]
        for line, text in comments:
            if re.search(r"\bTODO\b(?!.*(?:\bissue\s+|#)\d)", text):
                yield path, line, "TODO without an issue: write 'issue N' after it, or do it"


def foreign(tree):
    for path in tree.cpp_files:
        for line, mark, name in tree.cpp(path).includes():
            allowed = [file for start, files in FOREIGN if name.startswith(start) for file in files]
            system = POSIX.fullmatch(name)
            if mark != "<" or STANDARD.fullmatch(name) \
                    or (system and path.startswith(POSIX_ROOMS)) \
                    or any(fnmatch(path, file) for file in allowed):
                continue
            if system:
                advice = f"only {', '.join(POSIX_ROOMS)} may: call the operating system there"
            elif allowed:
                advice = f"only {', '.join(dict.fromkeys(allowed))} may: go through it"
            else:
                advice = "write <cNAME> for <NAME.h>, give a library one file and a row in FOREIGN"
            yield path, line, f"foreign header <{name}>: {advice}"


def in_target(tree):
    rows = registry_rows(tree)
    for path in tree.named(".cc", ".cu"):
        in_registry = path.startswith("backends/") and path.endswith(".cc") \
            and basename(path)[:-3] in rows
        if not in_registry and not named_in_cmake(tree, path, tree.cmake_files):
            yield path, 1, (f"'{path}' is in no target: name it in a CMakeLists.txt (a backend: "
                            f"give it a row in {REGISTRY}) or delete it")
    command = r"\b(?:add_library|add_executable|target_sources|set)\s*\(([^()]*)"
    for cmake in tree.cmake_files:
        text = cmake_text(tree, cmake)
        for found in re.finditer(command, text, re.I):
            for word in re.finditer(r"(?<![^\s\"])[\w./+-]+\.cc(?![^\s\"])", found[1]):
                if not any((tree.root / base / word[0]).is_file() for base in (dirname(cmake), "")):
                    line = text.count("\n", 0, found.start(1) + word.start()) + 1
                    yield cmake, line, f"'{word[0]}' does not exist: correct the path or drop it"


def tests_compiled(tree):
    lists = [path for path in tree.cmake_files if path.startswith("tests/")]
    for path in tree.named("_test.cc", "_test.cu", "_test.py", "_test.sh"):
        if path.startswith("tests/") and not named_in_cmake(tree, path, lists):
            yield path, 1, f"no CMakeLists.txt of tests/ names '{path}', so it never runs: add it"


def needs_golden(scenario):
    text = re.sub(r"(?:^|\s)#[^\n]*", "", scenario)
    expect = re.search(r"^expect:[^\n]*(?:\n[ \t]+[^\n]*)*", text, re.M)
    refused = expect and re.search(r"\berror:", expect[0])
    return not refused and not re.search(r"^values:\s*real\b", text, re.M)


def scenarios_judged(tree):
    goldens = {p for p in tree.named(".golden.json") if p.startswith("golden/data/")}
    scenarios = [p for p in tree.named(".yaml") if p.startswith("scenarios/")]
    twins = {join("golden/data", p[len("scenarios/"):-len(".yaml")] + ".golden.json"): p
             for p in scenarios}
    for golden, path in twins.items():
        if golden not in goldens and needs_golden(tree.text(path)):
            yield path, 1, f"nothing judges it: write '{golden}' with golden/make_golden.py"
    for path in sorted(goldens - set(twins)):
        yield path, 1, "the golden has no scenario of its name in scenarios/: delete or rename it"


def same_name(tree):
    first = {}
    for path in tree.cpp_files:
        other = first.setdefault(basename(path), path)
        if other != path and basename(path) != "catch.h":
            yield path, 1, f"'{basename(path)}' is also the name of {other}: rename one of them"


def legacy_sealed(tree):
    for path in tree.cpp_files:
        cpp = tree.cpp(path)
        if path.startswith("backends/legacy/"):
            if not re.search(r"\bnamespace\s+moe::legacy\b", cpp.code):
                yield path, 1, "a file of the legacy wing without 'namespace moe::legacy': add it"
        elif path not in (REGISTRY, REGISTRY_READER) and not path.startswith("tests/"):
            for line, found in cpp.matches(r"\blegacy\s*::|\bmoe\s*::\s*legacy\b"):
                yield path, line, (f"'{found[0]}' outside the wing: only {REGISTRY_READER} and "
                                   "tests know it; ask the registry")


def registry_table(tree):
    if REGISTRY not in tree.present:
        return
    page = tree.lines(BACKENDS_PAGE) if BACKENDS_PAGE in tree.present else []
    marks = [i for i, text in enumerate(page) if re.search(r"<!--\s*/?registry\s*-->", text)]
    if len(marks) != 2:
        yield BACKENDS_PAGE, 1, ("no table between '<!-- registry -->' and '<!-- /registry -->': "
                                 f"list the names of {REGISTRY} there")
        return
    table = [(i + 1, name) for i in range(*marks) if page[i].startswith("|")
             for name in re.findall(r"`([^`]+)`", page[i].split("|")[1])]
    end = "nothing"
    for (line, name), row in zip(table + [(marks[1] + 1, end)], registry_rows(tree) + [end]):
        if name != row:
            yield BACKENDS_PAGE, line, (f"the table says '{name}' where {REGISTRY} says '{row}': "
                                        "same names, same order")
            return


def one_title(tree):
    fenced = r"(?ms)^[ \t]*(```|~~~).*?(?:^[ \t]*\1|\Z)"
    for path in tree.named(".md"):
        text = re.sub(fenced, lambda found: tidy_cpp.blank(found[0]), tree.text(path))
        titles = [i for i, words in enumerate(text.split("\n"), 1) if words.startswith("# ")]
        if len(titles) != 1:
            yield path, titles[1] if titles else 1, (
                f"{len(titles)} lines start with '# ', a document has one title: correct them")


def backend_names(tree):
    names = "|".join(dict.fromkeys(registry_rows(tree)))
    for path in tree.cpp_files if names else []:
        if path.startswith("tests/") or path in (REGISTRY, REGISTRY_READER):
            continue
        cpp = tree.cpp(path)
        quoted = rf'"(?P<{{}}>{names})"(?:sv|s)?'
        compared = (r"[=!]=\s*(?:[\w:]+[({]\s*)?" + quoted.format("right")
                    + "|" + quoted.format("left") + r"\s*[)}]?\s*[=!]=")
        for found in re.finditer(compared, cpp.plain):
            name = found["right"] or found["left"]
            if "=" in cpp.code[found.start():found.end()] and name != splitext(basename(path))[0]:
                yield path, cpp.line_of(found.start()), (
                    f"compares with the backend name '{name}': ask a capability instead")


def top_level(tree):
    for name in sorted({path.split("/")[0] for path in tree.files}):
        if name not in TOP_LEVEL and not name.startswith("."):
            yield name, 1, f"top-level name '{name}', only {' '.join(sorted(TOP_LEVEL))}: move it"


def fp_flags(tree):
    path = "CMakeLists.txt"
    for flag in ["-ffp-contract=off"] + (["--fmad=false"] if tree.named(".cu") else []):
        if path in tree.present and flag not in cmake_text(tree, path):
            yield path, 1, f"no '{flag}': add it, results must not depend on fma"


def over_cpp(rule):
    """A rule over one C++ file as a rule over the tree."""
    return lambda tree: ((path, *found) for path in tree.cpp_files
                         for found in rule(tree.cpp(path)))


RULES = {rule.__name__.replace("_", "-"): rule for rule in (
    include_table, registry_reader, limit_line, limit_file, purpose, words, todo, foreign,
    in_target, tests_compiled, scenarios_judged, same_name, legacy_sealed, registry_table,
    one_title, backend_names, top_level, fp_flags)}
RULES.update((name, over_cpp(rule)) for name, rule in tidy_cpp.RULES.items())


def check(root):
    """(files, findings): every finding is (path, line, text, rule), in order."""
    tree = Tree(root)
    found = [(path, line, text, name) for name, rule in RULES.items()
             for path, line, text in rule(tree)]
    return tree.files, sorted(found)


def main(arguments):
    root = arguments[0] if arguments else Path(__file__).resolve().parent.parent
    if len(arguments) > 1 or not Path(root).is_dir():
        print("usage: tests/tidy.py [ROOT], a folder", file=sys.stderr)
        return 2
    files, findings = check(root)
    for path, line, text, rule in findings:
        print(f"{path}:{line}: error: {text} [{rule}]")
    print(f"tidy: {len(files)} files, {len(findings)} errors")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
