#!/usr/bin/python3
"""Holds scenarios/scenario.schema.json against every scenario, and against good and bad documents.

A small validator of the keywords that the schema uses; one it does not know is an error. That the
schema has the reader's own keys is scenario_schema_test.cc's affair.
"""

import json
import re
import unittest
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "scenarios/scenario.schema.json").read_text(encoding="utf-8"))
NOTES = {"$schema", "title", "description", "definitions"}
TYPES = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "null": lambda value: value is None,
}


def same(a, b):
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def listed(value):
    return value if isinstance(value, list) else [value]


SIMPLE = {  # keyword: (values it speaks of, test)
    "type": (object, lambda v, names: any(TYPES[name](v) for name in listed(names))),
    "enum": (object, lambda v, words: any(same(v, word) for word in words)),
    "const": (object, same),
    "minimum": ((int, float), lambda v, least: v >= least),
    "maximum": ((int, float), lambda v, most: v <= most),
    "minLength": (str, lambda v, least: len(v) >= least),
    "pattern": (str, lambda v, pattern: re.search(pattern, v) is not None),
    "minItems": (list, lambda v, least: len(v) >= least),
    "maxItems": (list, lambda v, most: len(v) <= most),
    "uniqueItems": (list, lambda v, _: all(v.count(item) == 1 for item in v)),
    "minProperties": (dict, lambda v, least: len(v) >= least),
    "maxProperties": (dict, lambda v, most: len(v) <= most),
    "required": (dict, lambda v, names: all(name in v for name in names)),
}


def errors(value, schema, where=""):
    """Yields what is wrong with a value, one sentence each."""
    if isinstance(schema, bool):
        if not schema:
            yield f"{where}: must not be there"
        return
    for keyword, argument in schema.items():
        if keyword in NOTES:
            continue
        if keyword in SIMPLE:
            kind, holds = SIMPLE[keyword]
            if isinstance(value, kind) and not holds(value, argument):
                yield f"{where}: {value!r} breaks {keyword} {argument!r}"
        elif keyword == "$ref":
            name = argument.removeprefix("#/definitions/")
            yield from errors(value, SCHEMA["definitions"][name], where)
        elif keyword == "anyOf":
            if all(list(errors(value, branch, where)) for branch in argument):
                yield f"{where}: {value!r} fits none of {len(argument)} forms"
        elif keyword == "items":
            for i, item in enumerate(listed(value) if isinstance(value, list) else []):
                yield from errors(item, argument, f"{where}[{i}]")
        elif keyword in ("properties", "additionalProperties"):
            yield from member_errors(value, schema, keyword, where)
        else:
            raise KeyError(f"schema_test.py does not know the keyword {keyword}")


def member_errors(value, schema, keyword, where):
    properties = schema.get("properties", {})
    for name, member in value.items() if isinstance(value, dict) else ():
        if keyword == "properties" and name in properties:
            yield from errors(member, properties[name], f"{where}.{name}")
        if keyword == "additionalProperties" and name not in properties:
            yield from errors(member, schema[keyword], f"{where}.{name}")


GOOD = [
    "name: a",
    "{name: a/b, why: because, tags: [fast, own], seed: 3, steps: [[1, 0], [0, 2]]}",
    "{name: a, world: {dp: 2, tp: 1, ep: false}, model: {experts: 8, dtype: f16, scale: 1.0}}",
    "{name: a, world: {dp: 2, tp: 2, pp: 2, sequence_parallel: true}}",
    "{name: a, routing: uniform}",
    "{name: a, routing: {skewed: {exponent: 1.2}, seed: 7}}",
    "{name: a, routing: {uniform: }}",
    "{name: a, routing: {logits: {}}}",
    "{name: a, routing: {logits: {spread: 2.5, shift: -50, ties: 0.5, nan: 0.1}, seed: 2}}",
    "{name: a, routing: {ids: [[0, -1]]}, capacity: {deadline_ms: 9}}",
    "{name: a, routing: {trace: traces/x, layers: [0, 1]}, steps: [0, 9]}",
    "{name: a, faults: [{name: MF-07, rank: 1}], defects: [], eplb: {}}",
    "{name: a, eplb: {window_size: 3, step_interval: 4, nodes: 2}, model: {redundant_experts: 2}}",
    "{name: a, expect: {error: {kind: scenario, text: no gather}}}",
    "{name: a, expect: {fallback: allgather_reducescatter}}",
    "{name: a, expect: {differs: because}, defects: [naive-dp-tp]}",
    "{name: a, runs: [{backend: naive, profile: v0.9}, {device: cuda, ranks: processes}]}",
]
BAD = [
    "why: no name",
    "[a]",
    "{name: 3}",
    "{name: a, experts: 8}",
    "{name: a, tags: fast}",
    "{name: a, tags: [a, a]}",
    "{name: a, seed: -1}",
    "{name: a, world: {dp: 0}}",
    "{name: a, world: {dp: true}}",
    "{name: a, world: {tp: 0}}",
    "{name: a, world: {sequence_parallel: 1}}",
    "{name: a, world: {tp: true}}",
    "{name: a, world: {ep: 1}}",
    "{name: a, model: {exprets: 8}}",
    "{name: a, model: {experts: 8.5}}",
    "{name: a, model: {dtype: fp16}}",
    "{name: a, model: {kernel: unreal}}",
    "{name: a, model: {scale: -2.5}}",
    "{name: a, model: {layers: [{top_k: 2}]}}",
    "{name: a, model: {layers: []}}",
    "{name: a, routing: skewed}",
    "{name: a, routing: {skewed: {exponent: -1}}}",
    "{name: a, routing: {masked: {share: 1.5}}}",
    "{name: a, routing: {logits: {spread: 0}}}",
    "{name: a, routing: {logits: {shift: 65}}}",
    "{name: a, routing: {ids: []}}",
    "{name: a, steps: [[-1]]}",
    "{name: a, steps: []}",
    "{name: a, values: rael}",
    "{name: a, expect: derive}",
    "{name: a, expect: {}}",
    "{name: a, expect: {fallback: a, differs: b}}",
    "{name: a, expect: {error: {kind: scenario}}}",
    "{name: a, expect: {error: {kind: usage, text: b}}}",
    "{name: a, defects: [naive-dp-tp, naive-dp-tp]}",
    "{name: a, capacity: {max_num_batched_tokens: 0}}",
    "{name: a, faults: [{name: drop}]}",
    "{name: a, faults: [MF-07]}",
    "{name: a, defects: [x]}",
    "{name: a, eplb: {window: 3}}",
    "{name: a, eplb: {window_size: 0}}",
    "{name: a, model: {redundant_experts: -1}}",
    "{name: a, runs: []}",
    "{name: a, runs: [{path: device}]}",
    "{name: a, runs: [{profile: v1}]}",
]


class Schema(unittest.TestCase):
    def test_every_scenario(self):
        for path in sorted((ROOT / "scenarios").rglob("*.yaml")):
            with self.subTest(path.name):
                document = yaml.safe_load(path.read_text(encoding="utf-8"))
                self.assertEqual(list(errors(document, SCHEMA)), [])

    def test_good_documents(self):
        for document in GOOD:
            with self.subTest(document):
                self.assertEqual(list(errors(yaml.safe_load(document), SCHEMA)), [])

    def test_bad_documents(self):
        for document in BAD:
            with self.subTest(document):
                self.assertNotEqual(list(errors(yaml.safe_load(document), SCHEMA)), [])

    def test_unknown_keyword(self):
        with self.assertRaises(KeyError):
            list(errors(1, {"multipleOf": 2}))


if __name__ == "__main__":
    unittest.main()
