"""LAWS.md names what is there: every invariant and trap once, in order, each with a test, scenario,
fault or check that exists, or with why there is none; every test named after a law is in its row.
Run from the root of the sources."""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "tests/property/LAWS.md"
OTHER_WORDS = {"moebius list checks", "moebius oracle"}


def test_names():
    """Every Catch case; a name may be written as several adjacent strings."""
    names = set()
    for path in (ROOT / "tests").rglob("*_test.cc"):
        for found in re.finditer(r'TEST_CASE\(\s*((?:"(?:[^"\\]|\\.)*"\s*)+)', path.read_text()):
            parts = re.findall(r'"((?:[^"\\]|\\.)*)"', found[1])
            names.add("".join(parts).replace('\\"', '"'))
    return names


def table_words(path, pattern):
    return set(re.findall(pattern, (ROOT / path).read_text()))


def rows(text):
    """(label, third cell) of each row of both tables."""
    lines = [line for line in text.splitlines() if re.match(r"\| [IT]\d", line)]
    cells = [line.strip("|").split("|") for line in lines]
    return [(row[0].strip(), "|".join(row[2:]).strip()) for row in cells]


class Laws(unittest.TestCase):
    def setUp(self):
        self.rows = rows(PAGE.read_text())
        self.tests = test_names()
        self.faults = table_words("sim/fault_table.cc", r'"(MF-\d+|[a-z]+_[a-z]+)"')
        self.checks = table_words("sim/check_ledger.cc", r'"([A-Z]+(?:-[A-Z]+)?)"')
        self.scenarios = {str(path.relative_to(ROOT / "scenarios").with_suffix(""))
                          for path in (ROOT / "scenarios").rglob("*.yaml")}

    def test_every_law_and_trap_has_one_row(self):
        expected = [f"I{i}" for i in range(1, 32)] + [f"T{i}" for i in range(1, 41)]
        self.assertEqual([label for label, _ in self.rows], expected)

    def test_what_is_named_exists(self):
        known = self.tests | self.faults | self.checks | self.scenarios | OTHER_WORDS
        for label, held_by in self.rows:
            with self.subTest(label):
                named = re.findall(r"`([^`]+)`", held_by)
                self.assertEqual([word for word in named if word not in known], [])

    def test_each_row_is_held_or_says_why_not(self):
        for label, held_by in self.rows:
            with self.subTest(label):
                says_why = re.search(r"(waits for|cannot be expressed because) \w+", held_by)
                named = set(re.findall(r"`([^`]+)`", held_by)) - OTHER_WORDS
                self.assertTrue(named or says_why, held_by)

    def test_tests_named_after_a_law_are_in_its_row(self):
        held_by = dict(self.rows)
        for name in sorted(self.tests):
            for label in re.findall(r"\b[IT]\d+\b", re.match(r"(?:[IT]\d+(?:, )?)*", name)[0]):
                self.assertIn(f"`{name}`", held_by[label])

    def test_invariants_that_do_not_wait_have_a_test_of_their_name(self):
        for label, held_by in self.rows:
            if label[0] == "I" and not held_by.startswith("waits for"):
                self.assertRegex(held_by, rf"`[^`]*\b{label}\b[^`]*: ")


if __name__ == "__main__":
    unittest.main()
