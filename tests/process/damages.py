"""Ways to damage a capture, each with what moebius verify must say: tensor, rank, place, fault."""

import numpy

ROWS = "dispatched_hidden_states"


class Damage:
    """A changed copy of a capture. place: the finding's row, expert, slot, column where known."""

    def __init__(self, capture, label, tensor, rank, faults, **place):
        self.capture, self.label = capture.with_own(rank, tensor), label
        self.tensor, self.rank, self.faults, self.place = tensor, rank, faults.split(", "), place

    def __getitem__(self, name):
        return self.capture[self.rank][name]

    def is_harmless(self):
        """A flipped bit that no contract forbids: where a source without rows has begun."""
        if self.tensor == "source_range" and self.bit >= 32:
            rank = self.capture[self.rank]
            expert, source = self.index
            ranges = rank["source_range"][expert]
            begin, count = int(ranges[source]) >> 32, int(ranges[source]) & 0xFFFFFFFF
            others = [(int(r) >> 32, int(r) & 0xFFFFFFFF) for r in ranges]
            edges = {0} | {b for b, c in others if c} | {b + c for b, c in others if c}
            return count == 0 and begin in edges
        return False

    def relative_change(self):
        before = self.before.astype("<f4") if self.before.dtype != "<u2" else \
            (self.before.astype("<u4") << 16).view("<f4")
        after = self.after.astype("<f4") if self.after.dtype != "<u2" else \
            (self.after.astype("<u4") << 16).view("<f4")
        return float(abs(after - before)[0] / max(abs(before)[0], 1e-30))

    def is_named(self, finding):
        return (finding["tensor"] == self.tensor and finding["rank"] == self.rank
                and finding["fault"] in self.faults
                and all(finding[key] == value for key, value in self.place.items()))


def at(capture, index):
    """Where a finding says that a dispatched row is."""
    if capture.is_batched:
        return {"expert": int(index[0]), "slot": int(index[1])}
    return {"row": int(index[0])}


def key(rank, index):
    return rank[ROWS][index].tobytes()


def distinct_pairs(capture, number, draw, count):
    """Pairs of valid rows of a rank (batched: of one expert and of two) with other contents."""
    valid = capture.valid(number)
    rank = capture[number]
    pairs = [(i, j) for i in valid for j in valid if i < j and key(rank, i) != key(rank, j)]
    near = [pair for pair in pairs if capture.is_batched and pair[0][0] == pair[1][0]]
    chosen = []
    for some in (near, pairs):
        if some:
            chosen += [some[i] for i in draw.permutation(len(some))[:count]]
    return chosen


def swap(array, one, other):
    array[one], array[other] = array[other].copy(), array[one].copy()


def rows(capture, number, draw):
    """Whole rows that went wrong."""
    for one, other in distinct_pairs(capture, number, draw, 2):
        damage = Damage(capture, f"swap {one} {other}", ROWS, number, "row swapped",
                        **at(capture, one))
        swap(damage[ROWS], one, other)
        yield damage
        damage = Damage(capture, f"{other} lost, {one} twice", ROWS, number,
                        "row doubled, row not due here, row from the wrong rank",
                        **at(capture, other))
        damage[ROWS][other] = damage[ROWS][one]
        yield damage
    valid = capture.valid(number)
    for index in [valid[i] for i in draw.permutation(len(valid))[:2]]:
        place = at(capture, index)
        damage = Damage(capture, f"zero {index}", ROWS, number, "row never written", **place)
        damage[ROWS][index] = 0
        yield damage
        beside = (number + 1) % len(capture.ranks)
        other = capture[beside]
        here = {key(capture[number], j) for j in valid
                if not capture.is_batched or j[0] == index[0]}
        foreign = [i for i in capture.valid(beside) if key(other, i) not in here]
        if foreign:
            damage = Damage(capture, f"{foreign[0]} of another rank in {index}", ROWS, number,
                            "row from the wrong rank, row not due here", **place)
            damage[ROWS][index] = other[ROWS][foreign[0]]
            yield damage
        row = capture[number][ROWS][index]
        for shift in (1, -2, len(row) // 4):
            damage = Damage(capture, f"{index} moved by {shift}", ROWS, number,
                            "row shifted, value changed, row not due here", **place)
            damage[ROWS][index] = numpy.roll(row, shift)
            yield damage
        damage = Damage(capture, f"{index} half of another", ROWS, number,
                        "value changed, row not due here", **place)
        half = len(row) // 2
        damage[ROWS][index][:half] = numpy.roll(row, 3)[:half]
        yield damage


def ids_and_weights(capture, number, draw):
    if capture.is_batched:
        return
    ids, weights = "dispatched_topk_ids", "dispatched_topk_weights"
    valid = capture.valid(number)
    for index in [valid[i] for i in draw.permutation(len(valid))[:3]]:
        for slot in range(capture.number("top_k")):
            place = {"row": index[0], "slot": slot}
            for label, change in (("+1", lambda v: v + 1), ("-2", lambda v: v - 2),
                                  ("high bit", lambda v: v ^ (1 << 40)),
                                  ("masked", lambda v: -1 if v >= 0 else 0)):
                damage = Damage(capture, f"id {index} {slot} {label}", ids, number,
                                "id changed, id shifted, row swapped", **place)
                damage[ids][index[0], slot] = change(int(damage[ids][index[0], slot]))
                yield damage
            for label, change in (("twice", lambda v: v * v + (v == 0) * 0.5),
                                  ("lost", lambda v: 0 if v else 1),
                                  ("last bit", lambda v: numpy.nextafter(v, numpy.float32(9)))):
                damage = Damage(capture, f"weight {index} {slot} {label}", weights, number,
                                "weight changed", **place)
                value = damage[weights][index[0], slot]
                damage[weights][index[0], slot] = change(value)
                yield damage
    for tensor in (ids, weights):
        table = capture[number][tensor]
        pairs = [(i[0], j[0]) for i in valid for j in valid
                 if i < j and (table[i] != table[j]).any()]
        for one, other in [pairs[i] for i in draw.permutation(len(pairs))[:3]]:
            damage = Damage(capture, f"{tensor} {one} {other} swapped", tensor, number,
                            "row swapped", row=one)
            swap(damage[tensor], one, other)
            yield damage


def source_order(capture, number, draw):
    """Two whole rows, labels and results with them, change places: nothing but the order is wrong.
    A row whose content is there twice has no source that could be told."""
    if capture.is_batched or not capture.meta("backend").startswith("flashinfer"):
        return
    in_parts = capture.is_padded and len(capture[number][ROWS]) % len(capture.ranks) == 0
    valid = capture.valid(number)
    if len({key(capture[number], index) for index in valid}) < len(valid):
        return
    sources = [source for source, _ in capture.due(number)]
    pairs = []
    for i in range(len(valid)):
        for j in range(i):
            order = list(sources)
            order[i], order[j] = order[j], order[i]
            blocks = 1 + sum(a != b for a, b in zip(order, order[1:]))
            if sources[i] != sources[j] and (in_parts or blocks > len(set(sources))):
                pairs.append((valid[j][0], valid[i][0]))
    for one, other in [pairs[i] for i in draw.permutation(len(pairs))[:4]]:
        damage = Damage(capture, f"{one} {other} swapped with all they have", ROWS, number,
                        "order broken")
        swap(damage[ROWS], one, other)
        rank = damage.capture[number]
        for name in ("dispatched_topk_ids", "dispatched_topk_weights", "dispatched_scales",
                     "expert_output"):
            if name in rank.tensors:
                rank[name] = rank[name].copy()
                swap(rank[name], one, other)
        yield damage


def counts(capture, number, draw):
    name = "expert_num_tokens"
    if name not in capture[number].tensors:
        return
    values = capture[number][name]
    for expert in range(len(values)):
        for by in (1, -1, 1 << 20):
            damage = Damage(capture, f"count {expert} {by:+}", name, number,
                            "count changed, count shifted", expert=expert)
            damage[name][expert] += by
            yield damage
    pairs = [(i, j) for i in range(len(values)) for j in range(i) if values[i] != values[j]]
    for one, other in [pairs[i] for i in draw.permutation(len(pairs))[:3]]:
        damage = Damage(capture, f"counts {one} {other} swapped", name, number, "count shifted",
                        expert=one)
        swap(damage[name], one, other)
        yield damage


def scales(capture, number, draw):
    name = "dispatched_scales"
    if name not in capture[number].tensors:
        return
    valid = capture.valid(number)
    for index in [valid[i] for i in draw.permutation(len(valid))[:4]]:
        group = int(draw.integers(capture[number][name].shape[-1]))
        for factor in (2, 1 + 2.0 ** -22, 0, -1):
            damage = Damage(capture, f"scale {index} {group} x{factor}", name, number,
                            "scale changed", column=group, **at(capture, index))
            damage[name][index][group] *= numpy.float32(factor)
            yield damage
    for one, other in distinct_pairs(capture, number, draw, 2):
        damage = Damage(capture, f"scales {one} {other} swapped", name, number, "scale changed",
                        **at(capture, one))
        swap(damage[name], one, other)
        yield damage


def sources(capture, number, draw):
    if "source_row" not in capture[number].tensors:
        return
    for index in capture.valid(number):
        damage = Damage(capture, f"source row {index}", "source_row", number,
                        "source row changed", **at(capture, index))
        damage["source_row"][index] += int(draw.choice([1, -1, 1 << 16]))
        yield damage
    for one, other in distinct_pairs(capture, number, draw, 2):
        if capture[number]["source_row"][one] == capture[number]["source_row"][other]:
            continue
        damage = Damage(capture, f"source rows {one} {other} swapped", "source_row", number,
                        "source row changed", **at(capture, one))
        swap(damage["source_row"], one, other)
        yield damage
    ranges = capture[number]["source_range"]
    for expert, source in numpy.ndindex(ranges.shape):
        damage = Damage(capture, f"range count {expert} {source}", "source_range", number,
                        "source range changed", expert=expert, source_rank=source)
        damage["source_range"][expert, source] += 1
        yield damage
        if ranges[expert, source] & 0xFFFFFFFF:
            damage = Damage(capture, f"range begin {expert} {source}", "source_range", number,
                            "source range changed", expert=expert, source_rank=source)
            damage["source_range"][expert, source] += 1 << 32
            yield damage


def combined(capture, number, draw):
    name = "combined"
    total = capture[number][name]
    pairs = [(i, j) for i in range(len(total)) for j in range(i) if (total[i] != total[j]).any()]
    for one, other in [pairs[i] for i in draw.permutation(len(pairs))[:3]]:
        damage = Damage(capture, f"combined {one} {other} swapped", name, number, "row swapped",
                        row=one)
        swap(damage[name], one, other)
        yield damage
        damage = Damage(capture, f"combined {one} of {other}", name, number,
                        "row doubled" if total[other].any() else "row never written", row=one)
        damage[name][one] = damage[name][other]
        yield damage
    for row in [i for i in draw.permutation(len(total)) if total[i].any()][:2]:
        row = int(row)
        damage = Damage(capture, f"combined {row} zero", name, number, "row never written",
                        row=row)
        damage[name][row] = 0
        yield damage
        others = [(r, t) for r, rank in enumerate(capture.ranks) for t in range(len(rank[name]))
                  if r != number and (rank[name][t] != total[row]).any() and rank[name][t].any()]
        if others:
            damage = Damage(capture, f"combined {row} of another rank", name, number,
                            "row from the wrong rank, row doubled, row swapped", row=row)
            damage[name][row] = capture[others[0][0]][name][others[0][1]]
            yield damage


def all_of(capture, number, seed):
    draw = numpy.random.default_rng(seed)
    if not capture.valid(number):
        return
    for kind in (rows, ids_and_weights, counts, scales, sources, source_order, combined):
        yield from kind(capture, number, draw)


def flips(capture, number, draw, count):
    """Single bits of what nobody trusts, in rows that count."""
    names = [name for name in capture[number].tensors if name not in
             ("hidden_states", "topk_ids", "topk_weights", "expert_output")]
    valid = capture.valid(number)
    for i in range(count):
        name = names[i % len(names)]
        table = capture[number][name]
        if name in ("combined", "expert_num_tokens", "source_range"):
            index = tuple(int(draw.integers(extent)) for extent in table.shape) \
                if table.size else None
        else:
            index = valid[int(draw.integers(len(valid)))] if valid else None
            if index is not None:
                index += tuple(int(draw.integers(e)) for e in table.shape[len(index):])
        if index is None:
            continue
        bit = int(draw.integers(8 * table.itemsize))
        place = flipped_place(capture, name, index)
        damage = Damage(capture, f"{name}{index} bit {bit}", name, number, "any", **place)
        damage.index, damage.bit = index, bit
        raw = numpy.array(damage[name][index]).reshape(1).view(f"u{table.itemsize}")
        raw ^= numpy.array(1 << bit, raw.dtype)
        damage.before, damage.after = table[index].reshape(1), raw.view(table.dtype)
        damage[name][index] = damage.after[0]
        yield damage


def flipped_place(capture, name, index):
    if name in ("dispatched_topk_ids", "dispatched_topk_weights"):
        return {"row": index[0], "slot": index[1]}
    if name == "combined":
        return {"row": index[0], "column": index[1]}
    if name == "expert_num_tokens":
        return {"expert": index[0]}
    if name == "source_row":
        return {"expert": index[0], "slot": index[1]}
    if name == "source_range":
        return {"expert": index[0], "source_rank": index[1]}
    return {**at(capture, index), "column": index[-1]}
