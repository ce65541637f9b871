"""The light C++ scanner of tests/tidy.py and the rules that need one C++ file and nothing else.

It blanks comments and literals, follows brackets, and finds function heads, bodies and nesting.
It is no compiler: where it cannot tell it stays silent, since a false alarm costs more than a miss.
tests/tidy.py is the only caller; rules over the whole tree live there.
"""

import bisect
import functools
import re
from typing import NamedTuple

BODY_LINES_MAX = 60
PARAMETERS_MAX = 5
NESTING_MAX = 3
HEADERS = (".h", ".cuh")

LEX = re.compile(
    r"(?P<comment>//(?:\\\n|[^\n])*|/\*.*?(?:\*/|\Z))"
    r'|(?P<literal>(?:u8|[uUL])?R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)"'
    r'|"(?:[^"\\\n]|\\.)*"|' r"'(?:[^'\\\n]|\\.)+')"
    r"|\d(?:'?[\w.])*|\w+", re.S)
TOKEN = re.compile(r'"\s*"|' r"'\s*'" r"|[\w']+|::|->|&&|\|\||<=>|[=!<>+\-*/%&|^]=|\S")
DIRECTIVE = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*", re.M)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include\s*(?:"([^"\n]*)"|<([^>\n]*)>)', re.M)
DEAD = re.compile(  # a comment's line that is a statement and no sentence
    r"[{}]|\}[);]+|#\s*(?:include ?[\"<]\S*[\">]|(?:define|pragma|ifn?def) \w+|if \w+|else|endif)"
    r"|using (?:namespace .*|\w+ = .*);|[\w():, ]+ << .*;"
    r"|(?:return|co_return|throw|break|continue|\S+(?:\+\+|--)|(?:\+\+|--)\w+)(?!.*\w [a-z]).*;"
    r"|[\w:<>,*&.()\[\] -]+ (?:[-+*/%|&^]|<<|>>)?= "
    r"(?:(?!.*\w [A-Za-z]).*|[\w:<>.-]*[({\[].*[)}\]]) ?[;{]"
    r"|(?:\} )?(?:else )?(?:if|for|while|switch) (?:constexpr )?\(.*\).*[;{]"
    r"|[\w:<>,*&.~\[\] -]*[\w>]\(.*\)(?: const| noexcept| override)*(?:;| \{)")

CONTROL = {"if", "for", "while", "switch", "catch"}
SCOPES = {"namespace", "class", "struct", "union", "enum", "extern"}
BEFORE_SCOPE = {"inline", "static", "const", "constexpr", "typedef", "export", "friend", "["}
NOT_NAMES = CONTROL | {
    "alignas", "decltype", "noexcept", "explicit", "requires", "sizeof", "alignof", "typeof",
    "static_assert", "__attribute__", "__launch_bounds__", "__declspec", "asm", "return",
    "void", "int", "char", "bool", "float", "double", "long", "short", "auto", "unsigned", "signed"}
QUALIFIERS = {"const", "volatile", "override", "final", "&", "&&", "try", "noexcept"}
NOT_DECLARATIONS = {"using", "typedef", "return", "static_assert", "throw", "goto", "friend"}
BEFORE_CALL = {"return", "else", "do", "co_return", "co_await", "co_yield", "throw", "case", "and",
               "or", "not"}


def blank(text):
    return re.sub(r"[^\n]", " ", text)


class Function(NamedTuple):
    """One function: where its name stands, lines between its braces (None: no body), parameters."""
    name: str
    line: int
    body_lines: int | None
    parameters: int


class CppFile:
    """One C++ source: its text, the same text blanked, its comments.

    A comment is (line, text, alone): alone means that only blanks stand before it on its line.
    """

    def __init__(self, path, text):
        self.path, self.lines = path, text.split("\n")
        self.starts = [0] + [found.end() for found in re.finditer("\n", text)]
        self.comments = []
        for found in LEX.finditer(text):
            if found["comment"]:
                line = self.line_of(found.start())
                before = text[self.starts[line - 1]:found.start()]
                self.comments.append((line, found[0], not before.strip()))
        self.plain = LEX.sub(lambda m: blank(m[0]) if m["comment"] else m[0], text)
        self.code = LEX.sub(self._hollow, self.plain)  # without comments and insides of literals

    @staticmethod
    def _hollow(found):
        word = found[0]
        return word[-1] + blank(word[1:-1]) + word[-1] if found["literal"] else word

    @functools.cached_property
    def structure(self):
        return Structure(self)

    def line_of(self, offset):
        return bisect.bisect_right(self.starts, offset)

    def includes(self):
        """(line, opening mark, name) of each include directive."""
        for found in INCLUDE.finditer(self.plain):
            if "include" in self.code[found.start():found.end()]:
                mark = '"' if found[1] is not None else "<"
                yield self.line_of(found.start()), mark, found[1] or found[2] or ""

    def matches(self, pattern):
        """(line, match) of a pattern in the code, include directives left out."""
        code = re.sub(r"(?m)^[ \t]*#[ \t]*include\b[^\n]*", lambda m: blank(m[0]), self.code)
        for found in re.finditer(pattern, code, re.M):
            yield self.line_of(found.start()), found

    def calls(self, *names):
        """(line, name) of each call of one of the global or std functions in names."""
        pattern = r"(\w*)\s*(?<![\w.:])(?<!->)(?:(?:std\s*)?::\s*)?\b(%s)\s*\("
        for found in re.finditer(pattern % "|".join(names), self.code):
            if not found[1] or found[1] in BEFORE_CALL:
                yield self.line_of(found.start(2)), found[2]


class Frame:
    """An open bracket at a token: what it is, where its statement starts, the controls in that."""

    def __init__(self, kind, opened, name="", head=None):
        self.kind, self.opened, self.name = kind, opened, name
        self.head = head  # of a function: (its name, the line of it, parameters)
        self.restart(opened + 1)

    def restart(self, start):
        self.start, self.controls, self.capture = start, 0, False


class Structure:
    """Function heads, bodies and nesting of one C++ file, as functions and too_deep."""

    def __init__(self, cpp):
        code = DIRECTIVE.sub(lambda found: blank(found[0]), cpp.code)
        tokens = list(TOKEN.finditer(code))
        self.words = [token[0] for token in tokens]
        self.lines = [cpp.line_of(token.start()) for token in tokens]
        self.match = {}      # index of a bracket -> index of its partner
        self.functions, self.too_deep = [], {}
        self.stack = [Frame("file", -1)]
        for i, word in enumerate(self.words):
            self._step(i, word, self.stack[-1])

    def word(self, i):
        return self.words[i] if 0 <= i < len(self.words) else ""

    def _step(self, i, word, top):
        if word in ("(", "["):
            self.stack.append(Frame(word, i))
        elif word == "{":
            self.stack.append(self._classify(i, top))
        elif word in (")", "]", "}"):
            self._close(i, {")": "(", "]": "[", "}": "{"}[word])
        elif word == ";" and top.kind != "(":
            if top.kind in ("file", "scope"):
                self._declaration(top, i)
            top.restart(i + 1)
        elif word == ":" and self.word(i - 1) in ("public", "private", "protected"):
            top.restart(i + 1)
        elif word in CONTROL | {"else", "do", "try"} and self._depth() is not None:
            top.controls += word != "if" or self.word(i - 1) != "else"
            if word not in ("if", "else"):  # those may be a guard without braces
                self._limit(i, top)

    def _depth(self):
        """How many control statements are open here, None outside of a function."""
        depth = 0
        for frame in reversed(self.stack):
            depth += frame.controls
            if frame.kind in ("function", "scope", "file"):
                return depth if frame.kind == "function" else None

    def _limit(self, i, top):
        depth = self._depth()
        if depth > NESTING_MAX >= depth - top.controls:  # the statement that goes too deep
            self.too_deep.setdefault(top.start, self.lines[i])

    def _close(self, i, opener):
        depth = len(self.stack) - 1
        while depth > 0 and self.word(self.stack[depth].opened) != opener:
            depth -= 1
        if depth == 0:
            return
        closed = self.stack[depth]
        del self.stack[depth:]
        top = self.stack[-1]
        self.match[i], self.match[closed.opened] = closed.opened, i
        if closed.kind == "function":
            name, line, parameters = closed.head
            body_lines = max(self.lines[i] - self.lines[closed.opened] - 1, 0)
            self.functions.append(Function(name, line, body_lines, parameters))
        if closed.kind in ("function", "control", "scope", "block"):
            top.restart(i + 1)
        elif opener == "[" and self.word(closed.opened + 1) != "[":  # not an attribute
            before = self.word(closed.opened - 1)
            top.capture = before in BEFORE_CALL or not re.match(r"[\w\])]", before)

    def _classify(self, i, top):
        """The frame that the brace at token i opens."""
        end = i
        if self.word(i - 1) == "]" and self.word(i - 2) == "]" and i - 1 in self.match:
            end = self.match[i - 1]  # an attribute: if (x) [[likely]] {
        previous = self.word(end - 1)
        inside = self._depth() is not None
        opened = self.match.get(end - 1, 0) if previous == ")" else 0
        before = self.word(opened - 1)
        if inside and (previous in ("else", "do", "try", "consteval")
                       or before in CONTROL | {"constexpr"}):
            self._limit(i, top)
            return Frame("control", i)
        if "requires" in (before, previous) or (inside and top.capture):
            return Frame("init", i)
        if top.capture:
            return Frame("function", i, head=("lambda", self.lines[i], 0))
        scope = self._scope(top.start, end)
        if scope is not None:
            return Frame("scope", i, scope)
        if not inside and top.kind in ("file", "scope"):
            opened, close = self._signature(top.start, end) or (0, 0)
            member = ":" in self.words[close:end] and re.match(r"\w|>", self.word(end - 1))
            if not opened or member:
                return Frame("init", i)
            count = len(self._parameters(opened, close))
            return Frame("function", i, head=(self._name(opened), self.lines[opened - 1], count))
        block = previous in (";", "{", "}", ":", ")") or i == top.start
        return Frame("block" if block and top.kind not in ("(", "[") else "init", i)

    def _scope(self, start, end):
        """The name of the class, namespace or enum whose head is tokens [start, end), or None."""
        start = self._after_templates(start, end)
        while start < end and self.word(start) in BEFORE_SCOPE:
            start = self.match.get(start, start) + 1
        kind, head = self.word(start), self.words[start + 1:end]
        if start >= end or kind not in SCOPES or self._signature(start, end) \
                or (kind == "extern" and not self.word(start + 1).startswith('"')):
            return None
        head = re.split(r" [:<] ", " ".join(head))[0]
        names = [word for word in re.findall(r"[A-Za-z_]\w*", head) if word != "final"]
        return names[-1] if names else ""

    def _after_templates(self, start, end):
        while start < end and self.word(start) == "template" and self.word(start + 1) == "<":
            depth, start = 1, start + 2
            while start < end and depth:
                depth += {"<": 1, ">": -1}.get(self.word(start), 0)
                start = max(self.match.get(start, start), start) + 1
        return start

    def _signature(self, start, end):
        """(opening, closing) of the parameters in the head that is tokens [start, end), or None."""
        i = self._after_templates(start, end)
        while i < end:
            word, close = self.word(i), self.match.get(i, 0)
            if word == "=" and self.word(i - 1) != "operator":
                return None
            if word == "(" and close and self._name(i) and self._goes_on(close + 1, end):
                return i, close
            i = close + 1 if word in ("(", "[", "{") and close > i else i + 1
        return None

    def _name(self, opened):
        """The name of the function whose parameters open at a token, '' if it cannot be one."""
        for i in range(max(0, opened - 3), opened):
            if self.word(i) == "operator" and i < opened - 1:
                return "".join(self.words[i:opened])
        name = self.word(opened - 1)
        return name if re.match(r"[A-Za-z_]", name) and name not in NOT_NAMES | {"operator"} else ""

    def _goes_on(self, at, end):
        """Whether a head goes on after its parameters as a function's does."""
        while at < end:
            word = self.word(at)
            if word in ("->", ":", "requires"):
                return True
            if word == "=":
                return self.word(at + 1) in ("0", "default", "delete")
            if word not in QUALIFIERS and not word.isupper():
                return False
            at += 1
            if self.word(at) == "(":
                at = self.match.get(at, at) + 1
        return True

    def _parameters(self, opened, close):
        """The parameters between two parentheses, each a list of words."""
        found, angle, i = [[]], 0, opened + 1
        while i < close:
            word = self.word(i)
            if word == "<" and re.match(r"[A-Za-z_]", self.word(i - 1)):
                angle += 1
            elif word == ">":
                angle = max(angle - 1, 0)
            if word == "," and angle == 0:
                found.append([])
            else:
                found[-1].append(word)
            i = max(self.match.get(i, i), i) + 1
        return found if found[-1] else found[:-1]

    def _declaration(self, top, end):
        """Notes the function declared by the statement that ends at token end, if it is one."""
        start = self._after_templates(top.start, end)
        head = self._signature(start, end)
        if head is None or self.word(start) in NOT_DECLARATIONS:
            return
        first = head[0] - 1
        while self.word(first - 1) in ("::", "~"):
            first -= 2 if self.word(first - 1) == "::" else 1
        parameters = [words for words in self._parameters(*head) if words]
        typed = first > start or self.word(first) == top.name
        if typed and all(re.match(r"[A-Za-z_:\[]", words[0]) for words in parameters) \
                and any(len(words) > 1 for words in parameters):
            self.functions.append(
                Function(self._name(head[0]), self.lines[head[0] - 1], None, len(parameters)))


def limit_function(cpp):
    for name, line, count, _ in cpp.structure.functions:
        if (count or 0) > BODY_LINES_MAX:
            yield line, f"the body of '{name}' has {count} lines, over {BODY_LINES_MAX}: split it"


def limit_parameters(cpp):
    for name, line, _, count in cpp.structure.functions:
        if count > PARAMETERS_MAX and not (name.isupper() and "_" in name):  # a macro is none
            yield line, (f"'{name}' has {count} parameters, the limit is {PARAMETERS_MAX}: "
                         "make them a struct with defaults")


def limit_nesting(cpp):
    for line in sorted(set(cpp.structure.too_deep.values())):
        yield line, f"control flow nests deeper than {NESTING_MAX}: move the inside into a function"


def no_conditionals(cpp):
    for line, found in cpp.matches(r"^[ \t]*#[ \t]*((?:el)?if(?:n?def)?|else|endif)\b"):
        yield line, f"'#{found[1]}', the budget is zero: make the variants files chosen in CMake"


def pragma_once(cpp):
    code = re.search(r"\S[^\n]*|\Z", cpp.code)
    if cpp.path.endswith(HEADERS) and code[0].split() != ["#pragma", "once"]:
        yield cpp.line_of(code.start()), (
            "no '#pragma once' before the code of a header: put it right after the purpose comment")


def using_namespace(cpp):
    if cpp.path.endswith(HEADERS):
        for line, _ in cpp.matches(r"\busing\s+namespace\b"):
            yield line, "'using namespace' in a header: write the names in full"


def ownership(cpp):
    found = [(line, m[0]) for line, m in cpp.matches(r"\b(?:new|delete)\b")
             if m[0] == "new" or not cpp.code[:m.start()].rstrip().endswith("=")]
    found += cpp.calls("malloc", "calloc", "realloc", "aligned_alloc", "posix_memalign", "free")
    for line, word in found:
        yield line, f"'{word}': let Buffer, unique_ptr or a container own the memory"
    if cpp.path != "comm/gloo_communicator.cc":
        for line, m in cpp.matches(r"\b(?:shared_ptr|make_shared|weak_ptr"
                                   r"|allocate_shared|enable_shared_from_this)\b"):
            yield line, (f"'{m[0]}' is only for comm/gloo_communicator.cc: "
                         "decide who owns, and use unique_ptr or a reference")


def output(cpp):
    if cpp.path.startswith(("sim/", "tests/")):
        return
    streams = (r"\bstd::(?:cout|cerr|clog)\b|\b(?:cout|cerr|clog)\s*<<"
               r"|\b(?:std|fmt)::print(?:ln)?\b")
    printed = [(line, m[0]) for line, m in cpp.matches(streams)]
    printed += cpp.calls("printf", "fprintf", "vprintf", "vfprintf", "dprintf", "puts", "fputs",
                         "putchar", "fwrite", "perror")
    for line, word in printed:
        yield line, f"'{word}' outside sim/: return the value, sim prints it"
    for line, word in cpp.calls("getenv", "secure_getenv"):
        yield line, f"'{word}' outside sim/: take the value as an argument"
    for line, word in cpp.calls("exit", "_exit", "_Exit", "quick_exit", "abort"):
        yield line, f"'{word}' outside sim/: throw, the program ends in sim/main.cc"


def purpose_lines(cpp):
    """How many `//` lines the file opens with."""
    return next((i for i, line in enumerate(cpp.lines) if not line.startswith("//")), 0)


def looks_like_code(text):
    text = re.sub(r'"[^"]*"', '""', text)
    return DEAD.fullmatch(text) and not re.search(r"\b[a-z]+ [a-z]+ [a-z]+ [a-z]+\b", text)


def dead_code(cpp):
    purpose = purpose_lines(cpp)
    for first, comment, alone in cpp.comments:
        for line, part in enumerate(comment.split("\n"), first):
            text = re.sub(r"\A\s*(?:/[/*]+!?|\*(?!/))|\*/\s*\Z", "", part).strip()
            if alone and line > purpose and looks_like_code(text):
                yield line, f"commented-out code '{text[:40]}': delete it, git remembers"


RULES = {rule.__name__.replace("_", "-"): rule for rule in (
    limit_function, limit_parameters, limit_nesting, no_conditionals, pragma_once, using_namespace,
    ownership, output, dead_code)}
