#!/usr/bin/python3
"""golden/make_golden.py [--check] [SCENARIO.yaml …]: writes golden/data/<scenario>.golden.json.

The only writer of goldens (formats.md, 4). Without scenarios: all under scenarios/ that do
not expect an error. --check recomputes, compares with the files, prints what differs and exits
1. Bad input is exit 2. What is true is said in oracle.py.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # bytecode must not land beside the sources
import numpy  # noqa: E402
import oracle  # noqa: E402
import real  # noqa: E402
import world as worlds  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
FORMAT = "moe-golden/1"
BYTES_MAX = 200_000
STORED_CELLS_MAX, STORED_ROWS_MAX, STORED_COLUMNS_MAX = 8, 16, 64
REAL_CELLS_MAX, REAL_ROWS_MAX, REAL_COLUMNS_MAX = 16, 64, 16
DIFFERENCES_MAX = 20


def spread(count, picks_max):
    """At most picks_max of range(count), the first and the last included, the others between."""
    if count <= picks_max:
        return list(range(count))
    return [i * (count - 1) // (picks_max - 1) for i in range(picks_max)]


def cells_with_rows(tokens, layers):
    return [(step, layer, rank) for step in range(len(tokens)) for layer in range(layers)
            for rank in range(tokens.shape[1]) if tokens[step, rank]]


def stored_cells(tokens, layers):
    """The (step, layer, rank) that are kept in full; only such as have rows."""
    cells = cells_with_rows(tokens, layers)
    return {cells[i] for i in spread(len(cells), STORED_CELLS_MAX)}


def sampled_rows(tokens, layers):
    """[(step, layer, rank, token)] of a real world: first and last tokens of some cells, the first
    and last cell and one of every rank among them."""
    cells = cells_with_rows(tokens, layers)
    chosen = {cells[i] for i in spread(len(cells), REAL_CELLS_MAX)}
    for rank in range(tokens.shape[1]):
        chosen.update([cell for cell in cells if cell[2] == rank][:1])
    rows = [(*cell, token) for cell in sorted(chosen)
            for token in sorted({0, int(tokens[cell[0], cell[2]]) - 1})]
    return [rows[i] for i in spread(len(rows), REAL_ROWS_MAX)]


def choices_of(world, experts, number, tokens):
    weights = world.weights(number, tokens) if world.weights else real.topk_weights(
        experts, number, tokens, world.top_k)
    return real.Choices(world.routing(number, tokens), weights)


def scaled_experts(world, layer, step):
    """As real.with_tensor_scales says, None where no scale is a whole tensor's. step: its tokens,
    numbered over the whole scenario."""
    experts = world.experts.of_layer(layer)
    if not real.has_tensor_scale(experts):
        return None
    number = world.layers[layer]
    choices = choices_of(world, experts, number, step)
    return real.with_tensor_scales(experts, number, step, choices, world.homes)


def sampled_cell(world, layer, tokens, of_expert):
    """The rows of one cell's sampled tokens: their numbers over the whole scenario."""
    number = world.layers[layer]
    experts = world.experts.of_layer(layer)
    columns = spread(experts.hidden_size, REAL_COLUMNS_MAX)
    values, bounds = real.expected(experts, number, tokens,
                                   choices_of(world, experts, number, tokens), columns, of_expert)
    return columns, values, bounds


def real_golden(world, golden):
    """Fills steps and stored of a world that is sampled."""
    first = world.first_token
    begins = []
    for counts in world.tokens:
        begins.append(first + numpy.concatenate(([0], numpy.cumsum(counts))))
        entry = {"tokens": counts.tolist()}
        tokens = first + numpy.arange(counts.sum())
        if world.traced:
            choices = [world.routing(number, tokens) for number in world.layers]
            entry["routing"] = oracle.digest(numpy.stack(choices, axis=1).astype("<i2"))
        golden["steps"].append(entry)
        first += int(counts.sum())
    cells, scaled = {}, {}
    for step, layer, rank, token in sampled_rows(world.tokens, len(world.layers)):
        cells.setdefault((step, layer, rank), []).append(token)
    for (step, layer, rank), tokens in cells.items():
        if (step, layer) not in scaled:
            whole_step = numpy.arange(begins[step][0], begins[step][-1])
            scaled = {(step, layer): scaled_experts(world, layer, whole_step)}
        columns, values, bounds = sampled_cell(world, layer,
                                               int(begins[step][rank]) + numpy.asarray(tokens),
                                               scaled[step, layer])
        rows = [{"token": token, "columns": columns,
                 "values": [float(numpy.float32(x)).hex() for x in value],
                 "bounds": [float(f"{x:.6g}") for x in bound]}
                for token, value, bound in zip(tokens, values, bounds)]
        golden["stored"].append({"step": step, "layer": layer, "rank": rank, "rows": rows})


def stored_rows(rows):
    def plain(x):
        return int(x) if x == int(x) else x
    return [{"token": token,
             "values": [plain(x) for x in rows[token, :STORED_COLUMNS_MAX].tolist()]}
            for token in spread(len(rows), STORED_ROWS_MAX)]


def step_of(world, step, first_token, keep):
    """One step's entry and its stored cells; keep says which."""
    counts = world.tokens[step]
    ends = numpy.cumsum(counts)
    tokens = first_token + numpy.arange(ends[-1])
    entry = {"tokens": counts.tolist(), "digests": []}
    stored, choices = [], []
    for layer, number in enumerate(world.layers):
        topk_ids = world.routing(number, tokens)
        rows = oracle.expected_rows(world.experts.of_layer(layer), number, tokens, topk_ids)
        out = oracle.encoded(rows, world.dtype)
        spans = [slice(end - count, end) for count, end in zip(counts, ends)]
        entry["digests"].append([oracle.digest(out[span]) for span in spans])
        stored += [{"step": step, "layer": layer, "rank": rank, "rows": stored_rows(rows[span])}
                   for rank, span in enumerate(spans) if (step, layer, rank) in keep]
        choices.append(topk_ids)
    if world.traced:
        entry["routing"] = oracle.digest(numpy.stack(choices, axis=1).astype("<i2"))
    return entry, stored


def golden_of(path, scenarios):
    """The golden of a scenario file as the value that its JSON has."""
    world = worlds.read_world(path, scenarios)
    golden = {"format": FORMAT,
              "scenario": path.relative_to(scenarios).with_suffix("").as_posix(),
              "scenario_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
              "generator": oracle.VERSION}
    if world.experts.kernel == "real":
        golden |= {"values": "real", "steps": [], "stored": []}
        real_golden(world, golden)
        return golden
    golden |= {"steps": [], "stored": []}
    keep = stored_cells(world.tokens, len(world.layers))
    first_token = world.first_token
    for step in range(len(world.tokens)):
        try:
            entry, stored = step_of(world, step, first_token, keep)
        except ValueError as error:
            raise worlds.ScenarioError(f"{path}: step {step}: {error}") from error
        first_token += sum(entry["tokens"])
        golden["steps"].append(entry)
        golden["stored"] += stored
    return golden


def text_of(golden):
    """JSON without blanks, a line for each step and stored cell."""
    def compact(value):
        return json.dumps(value, separators=(",", ":"))
    parts = []
    for key, value in golden.items():
        lines = "[\n" + ",\n".join(map(compact, value)) + "]" if isinstance(value, list) else None
        parts.append(f"{compact(key)}:{lines or compact(value)}")
    text = "{" + ",\n".join(parts) + "}\n"
    if len(text) > BYTES_MAX:
        raise worlds.ScenarioError(f"the golden of {golden['scenario']} has {len(text)} bytes, the "
                                   f"limit is {BYTES_MAX}: fewer steps, layers or ranks")
    return text


def differences(there, due, where=""):
    """(place, what stands there, what is due) of each leaf that differs."""
    if type(there) is not type(due):
        yield where, there, due
    elif isinstance(due, dict):
        for key in [*due, *(key for key in there if key not in due)]:
            place = f"{where}.{key}" if where else key
            yield from differences(there.get(key), due.get(key), place)
    elif isinstance(due, list):
        if len(there) != len(due):
            yield f"length of {where}", len(there), len(due)
        for i, (one, other) in enumerate(zip(there, due)):
            yield from differences(one, other, f"{where}[{i}]")
    elif there != due:
        yield where, there, due


def check(target, golden, text):
    """What --check has to say of one golden, line by line; nothing when it is right."""
    try:
        there_text = target.read_text(encoding="utf-8")
        there = json.loads(there_text)
    except (OSError, ValueError) as error:
        return [f"{target}: cannot be read: {error}"]
    found = [f"{target}: {place} is {one!r}, must be {other!r}"
             for place, one, other in differences(there, golden)]
    if len(found) > DIFFERENCES_MAX:
        found[DIFFERENCES_MAX:] = [f"{target}: and {len(found) - DIFFERENCES_MAX} more differences"]
    if not found and there_text != text:
        found = [f"{target}: same values, other text: not written by golden/make_golden.py"]
    return found


def chosen_scenarios(given, scenarios):
    paths = [Path(name).resolve() for name in given] or sorted(scenarios.rglob("*.yaml"))
    for path in paths:
        if path.suffix != ".yaml" or scenarios not in path.parents:
            raise worlds.ScenarioError(f"{path} is no .yaml file under {scenarios}")
        if worlds.judged(worlds.read_yaml(path)):
            yield path
        elif given:
            print(f"{path}: no golden: it expects an error")


def run(options, root):
    scenarios, wrong, count = root / "scenarios", [], 0
    for path in chosen_scenarios(options.scenarios, scenarios):
        count += 1
        golden = golden_of(path, scenarios)
        text = text_of(golden)
        target = root / "golden/data" / f"{golden['scenario']}.golden.json"
        if options.check:
            wrong += check(target, golden, text)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    for line in wrong:
        print(line)
    print(f"goldens: {count} {'checked' if options.check else 'written'}, {len(wrong)} differences")
    return 1 if wrong else 0


def main(arguments, root=ROOT):
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO.yaml")
    try:
        return run(parser.parse_args(arguments), root)
    except worlds.ScenarioError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
