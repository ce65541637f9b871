#!/usr/bin/python3
"""scenarios/README.md against the files: every pack is described, every scenario that an axis names
exists and leaves the comfortable value, every key of the schema is in the table of keys.
"""

import json
import re
import sys
import unittest
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = ROOT / "scenarios"
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "golden"))
from routing_trace import read_trace  # noqa: E402

NAMED = re.compile(r"`([a-z]+/(?![a-z_]+\.py)[A-Za-z0-9._-]+)`")


def loaded(name):
    return yaml.safe_load((SCENARIOS / f"{name}.yaml").read_text(encoding="utf-8"))


def rows_of(text):
    """The cells of a table's rows, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def between(text, word):
    return text.split(f"<!-- {word} -->")[1].split(f"<!-- /{word} -->")[0]


def section(scenario, name):
    return scenario.get(name) or {}


def size(scenario, key, default=1):
    return section(scenario, "world").get(key, default)


def model(scenario, key, default=None):
    return section(scenario, "model").get(key, default)


def widths(scenario):
    layers = model(scenario, "layers", 1)
    if isinstance(layers, int):
        return [model(scenario, "hidden", 64)] * layers
    return [layer.get("hidden", model(scenario, "hidden", 64)) for layer in layers]


def counts(scenario):
    """The rows of `steps`; a trace's range of steps has none."""
    steps = scenario.get("steps") or []
    return [step for step in steps if isinstance(step, list)]


def logits(scenario):
    return section(scenario, "routing").get("logits") or {}


def trace_cut(scenario):
    """(tokens [steps, ranks], phases that occur) of a recorded scenario's steps. The reader of
    golden/ has no use for phases: one byte a token, 0 prefill, 1 decode."""
    path = SCENARIOS / scenario["routing"]["trace"]
    num_tokens = read_trace(path).num_tokens
    first, last = scenario["steps"]
    data = path.read_bytes()
    base = 8 + int.from_bytes(data[:8], "little")
    offset = base + json.loads(data[8:base])["phase"]["data_offsets"][0]
    begin, end = int(num_tokens[:first].sum()), int(num_tokens[:last].sum())
    return num_tokens[first:last], set(data[offset + begin:offset + end])


def split_over_sp(scenario):
    """(tokens, ranks of the group) under sequence parallelism."""
    if not section(scenario, "world").get("sequence_parallel"):
        return set()
    return {(tokens, size(scenario, "tp")) for step in counts(scenario) for tokens in step}


def all_of(*wanted):
    """What the scenarios of a row show together must contain all of these."""
    return lambda seen: set(wanted) <= seen


# By axis: what one scenario shows of it, and what all of the row must show together. A row without
# an entry has scenarios to look at, but nothing that could be read off the file.
SHOWN = {
    "tokens of the ranks": (lambda s: {tuple(step) for step in counts(s)},
                            all_of((7, 3), (0, 5), (1, 0, 0, 9))),
    "tokens in decode": (lambda s: {n for step in counts(s) for n in step}, all_of(1, 2)),
    "tokens under sequence parallelism": (
        split_over_sp, all_of(*[(n, 4) for n in (1, 2, 3, 4, 5)], *[(n, 2) for n in (1, 2, 3)])),
    "combinations that cannot run": (lambda s: set(section(s, "expect")), {"error"}.__eq__),
    "steps": (lambda s: {len(counts(s)) >= 3 and counts(s)[0] != counts(s)[1]}, {True}.__eq__),
    "layers": (lambda s: {len(set(widths(s))) > 1}, {True}.__eq__),
    "ranks": (lambda s: {size(s, "dp") * size(s, "tp")}, lambda seen: max(seen) > 16),
    "groups": (lambda s: {tuple(size(s, key) > 1 for key in ("dp", "tp", "pp", "pcp"))},
               all_of((True, True, False, False), (True, True, True, False),
                      (False, True, False, True))),
    "experts over ranks": (lambda s: {model(s, "experts") % (size(s, "dp") * size(s, "tp")) > 0},
                           {True}.__eq__),
    "logits": (lambda s: {key for key in logits(s) if logits(s)[key]} - {"spread"},
               all_of("shift", "ties", "nan")),
    "top-k": (lambda s: {model(s, "top_k")}, all_of(1, 3, 5, 6, 8)),
    "hidden size": (lambda s: {model(s, "hidden")}, all_of(96, 200)),
    "factor and bias": (
        lambda s: {model(s, "scale"), model(s, "bias"), model(s, "correction_bias")} - {None},
        all_of(2.5, True)),
    "rows of one expert": (
        lambda s: {sum(step) for step in counts(s)} if "one_hot_expert" in s["routing"] else set(),
        all_of(257, 1025)),
    "redundant experts": (lambda s: {model(s, "redundant_experts")}, all_of(2, 4, 6, 9)),
    "tolerance": (lambda s: {s["values"]}, {"real"}.__eq__),
}


class PacksTest(unittest.TestCase):
    page = (SCENARIOS / "README.md").read_text(encoding="utf-8")

    def test_every_pack_is_described_and_no_other(self):
        packs = {path.name for path in SCENARIOS.iterdir() if path.is_dir()}
        table = self.page.split("<!-- axes -->")[0]
        described = {re.sub(r"[`\[\]]|\(.*", "", row[0]) for row in rows_of(table)}
        self.assertEqual(described, packs)

    def test_every_scenario_that_is_named_exists(self):
        names = set(NAMED.findall(self.page))
        self.assertGreater(len(names), 40)
        for name in names:
            self.assertTrue((SCENARIOS / f"{name}.yaml").is_file(), f"scenarios/README.md: {name}")

    def test_every_axis_is_left(self):
        rows = rows_of(between(self.page, "axes"))
        self.assertEqual(len(rows), 22)  # as many as the catalogue of faults has
        self.assertLessEqual(set(SHOWN), {row[0] for row in rows})
        for axis, _, left_by in rows:
            names = NAMED.findall(left_by)
            said = names or "every scenario" in left_by or "not yet" in left_by
            self.assertTrue(said, f"{axis}: no scenario, and no word that it is not yet left")
            if axis not in SHOWN:
                continue
            shown_by, enough = SHOWN[axis]
            seen = set().union(*(shown_by(loaded(name)) for name in names))
            self.assertTrue(enough(seen), f"{axis}: {', '.join(names)} show {seen}")

    def test_every_key_of_the_schema_is_in_the_table(self):
        schema = json.loads((SCENARIOS / "scenario.schema.json").read_text(encoding="utf-8"))
        sections = [schema] + [schema["definitions"][name]
                               for name in ("world", "model", "routing", "expect", "expect.error",
                                            "runs", "eplb")]
        keys = {key for part in sections for key in part["properties"]}
        table = between(self.page, "keys")
        for key in sorted(keys):
            self.assertRegex(table, rf"[`{{ ]{key}[`:,}}]", f"no row tells of the key {key}")


class RecordedTest(unittest.TestCase):
    def test_cuts_have_what_they_say(self):
        cuts = sorted((SCENARIOS / "recorded").glob("*-cut.yaml"))
        self.assertEqual(len(cuts), 5)
        for path in cuts:
            tokens, phases = trace_cut(loaded(f"recorded/{path.stem}"))
            self.assertTrue((tokens == 0).any(), f"{path.stem}: no rank is idle")
            self.assertEqual(phases, {0, 1}, f"{path.stem}: prefill and decode")


class TeachingTest(unittest.TestCase):
    def test_rungs_are_numbered_and_told(self):
        page = (SCENARIOS / "teaching/README.md").read_text(encoding="utf-8")
        rungs = sorted(path.stem for path in (SCENARIOS / "teaching").glob("*.yaml"))
        self.assertGreaterEqual(len(rungs), 5)
        for number, rung in enumerate(rungs, 1):
            self.assertTrue(rung.startswith(f"{number:02}-"), rung)
            self.assertIn(f"./run.sh explain teaching/{rung}" if number < 6 else rung, page)
            self.assertIn(f"### {number}. ", page)


if __name__ == "__main__":
    unittest.main()
