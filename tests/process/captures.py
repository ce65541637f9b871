"""Captures (moe-capture/1) for the tests of moebius verify: read, written, and made from nothing.

What a right capture holds is computed here once more in numpy, after formats.md 3 and numerics.md 3
and 5, and shares nothing with the judge.
"""

import copy
import json
import struct

import numpy

DTYPES = {"I64": "<i8", "I32": "<i4", "F32": "<f4", "BF16": "<u2", "F16": "<f2", "F8_E4M3": "u1"}
GATHERING = ("allgather_reducescatter", "naive", "no_ep")  # every row goes to every rank


def bf16(values):
    """float32 rounded to bf16, as its bits."""
    bits = numpy.ascontiguousarray(values, "<f4").view("<u4")
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
    return numpy.where(numpy.isnan(values), ((bits >> 16) | 0x40).astype("<u2"), rounded)


def stored(values, dtype):
    with numpy.errstate(over="ignore"):
        return bf16(values) if dtype == "BF16" else values.astype(DTYPES[dtype])


def floats(array, dtype):
    if dtype == "BF16":
        return (array.astype("<u4") << 16).view("<f4")
    return array.astype("<f4")


def e4m3(values):
    """Codes nearest to float32 values of at most 448, ties to even."""
    codes = numpy.arange(0x7F, dtype="u1")
    exponent, mantissa = codes >> 3, (codes & 7).astype("f8")
    table = numpy.where(exponent == 0, mantissa / 512, (8 + mantissa) * 2.0 ** (exponent - 10.0))
    size = numpy.abs(values.astype("f8"))
    above = numpy.clip(numpy.searchsorted(table, size), 1, len(table) - 1)
    low, high = table[above - 1], table[above]
    up = (size - low > high - size) | ((size - low == high - size) & (above % 2 == 0))
    code = numpy.where(up, above, above - 1).astype("u1")
    return code | numpy.where(numpy.signbit(values), 0x80, 0).astype("u1")


def quantised(rows):
    """Codes and scales of float32 rows whose width is a multiple of 128."""
    groups = rows.reshape(len(rows), rows.shape[1] // 128, 128)
    most = numpy.maximum(numpy.abs(groups).max(axis=2), numpy.float32(1e-4))
    factor = numpy.float32(448) / most
    codes = e4m3((groups * factor[..., None]).reshape(rows.shape))
    return codes, most * numpy.float32(1 / numpy.float32(448))


def fma(row, weight, total):
    wide = numpy.longdouble
    return (row.astype(wide) * wide(weight) + total.astype(wide)).astype("<f4")


class Rank:
    """One file: metadata and tensors by name, each with its dtype's word."""

    def __init__(self, metadata, tensors=None):
        self.metadata, self.tensors = metadata, dict(tensors or {})

    def __getitem__(self, name):
        return self.tensors[name][1]

    def __setitem__(self, name, value):
        self.tensors[name] = value if isinstance(value, tuple) else (self.tensors[name][0], value)

    def floats(self, name):
        return floats(self[name], self.tensors[name][0])

    def data(self):
        header, body = {"__metadata__": self.metadata}, []
        offset = 0
        for name, (dtype, values) in self.tensors.items():
            raw = numpy.ascontiguousarray(values).tobytes()
            header[name] = {"dtype": dtype, "shape": list(values.shape),
                            "data_offsets": [offset, offset + len(raw)]}
            offset += len(raw)
            body.append(raw)
        words = json.dumps(header).encode()
        return struct.pack("<Q", len(words)) + words + b"".join(body)


def read_rank(path):
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + length])
    rank = Rank(header.pop("__metadata__"))
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        values = numpy.frombuffer(raw[begin:end], DTYPES[entry["dtype"]])
        rank[name] = (entry["dtype"], values.reshape(entry["shape"]).copy())
    return rank


class Capture:
    def __init__(self, ranks, is_padded=False):
        self.ranks, self.is_padded = ranks, is_padded

    def __getitem__(self, rank):
        return self.ranks[rank]

    def copy(self):
        return copy.deepcopy(self)

    def with_own(self, rank, tensor):
        """A capture that shares all but one rank's tensor, which may be changed."""
        ranks = list(self.ranks)
        own = Rank(self.ranks[rank].metadata, self.ranks[rank].tensors)
        own[tensor] = own[tensor].copy()
        ranks[rank] = own
        return Capture(ranks, self.is_padded)

    def write(self, folder, name):
        for number, rank in enumerate(self.ranks):
            (folder / f"{name}.rank{number}.safetensors").write_bytes(rank.data())
        return str(folder / name)

    def meta(self, key):
        return self.ranks[0].metadata[key]

    def number(self, key):
        return int(self.meta(key))

    @property
    def is_batched(self):
        return self.meta("activation_format") == "batched_experts"

    def owner(self, expert):
        """(rank, local expert)"""
        count, ranks = self.number("num_experts"), len(self.ranks)
        if self.meta("placement") == "round_robin":
            return expert % ranks, expert // ranks
        base, more = divmod(count, ranks)
        starts = [r * base + min(r, more) for r in range(ranks + 1)]
        rank = max(r for r in range(ranks) if starts[r] <= expert)
        return rank, expert - starts[rank]

    def choices(self):
        """(source rank, row, slot, expert) of every choice that is not masked."""
        return [(s, t, k, int(e)) for s, rank in enumerate(self.ranks)
                for t, row in enumerate(rank["topk_ids"]) for k, e in enumerate(row) if e >= 0]

    def due(self, rank):
        """Standard format: (source rank, row) of each row of a rank, in order."""
        everything = self.meta("backend") in GATHERING
        wanted = {(s, t) for s, t, _, e in self.choices() if self.owner(e)[0] == rank}
        return [(s, t) for s, source in enumerate(self.ranks)
                for t in range(len(source["topk_ids"])) if everything or (s, t) in wanted]

    def slots(self, rank, expert):
        """Batched format: (source rank, row, choice) of each slot of a local expert, in order."""
        return [(s, t, k) for s, t, k, e in self.choices() if self.owner(e) == (rank, expert)]

    def valid(self, rank):
        """Index of every dispatched row that counts."""
        if not self.is_batched:
            rows = range(len(self[rank]["dispatched_hidden_states"]))
            ids = self[rank]["dispatched_topk_ids"]
            return [(i,) for i in rows if not self.is_padded or (ids[i] >= 0).any()]
        return [(e, c) for e, count in enumerate(self[rank]["expert_num_tokens"])
                for c in range(count)]


def metadata(rank, **world):
    batched = world["format"] == "batched_experts"
    words = {"format": "moe-capture/1", "backend": world["backend"], "rank": rank,
             "dp_size": len(world["tokens"]) // world.get("tp", 1), "tp_size": world.get("tp", 1),
             "ep_size": len(world["tokens"]), "num_experts": world["experts"],
             "top_k": world["top_k"], "hidden_size": world["hidden"],
             "placement": world.get("placement", "linear"), "activation_format": world["format"],
             "topk_ids_space": "none" if batched else world.get("space", "global"),
             "weights_applied_by": "expert_rank" if not batched or world.get("weighted")
             else "source_rank",
             "num_tokens": json.dumps(world["tokens"]), "producer": "made by a test"}
    if batched:
        words["max_num_tokens_per_rank"] = max(1, *world["tokens"]) + world.get("more_room", 0)
    if world.get("quantised"):
        words["quantization"] = "fp8_block128"
    return {key: str(value) for key, value in words.items()}


def made(seed, **world):
    """A right capture: backend, format, tokens (of each rank), experts, top_k, hidden, dtype; also
    placement, space, tp, quantised, masked (a share), labels (source_row and source_range),
    own_outputs (batched: equal rows have different ones), amax (of every 128 columns)."""
    draw = numpy.random.default_rng(seed)
    dtype, hidden = world.get("dtype", "BF16"), world["hidden"]
    ranks = []
    for number, tokens in enumerate(world["tokens"]):
        rank = Rank(metadata(number, **world))
        rows = draw.standard_normal((tokens, hidden)).astype("<f4")
        if "amax" in world:
            rows = numpy.clip(rows, -world["amax"], world["amax"])
            rows[:, ::128] = world["amax"]
        ids = numpy.argsort(draw.random((tokens, world["experts"])), axis=1)[:, :world["top_k"]]
        ids[draw.random(ids.shape) < world.get("masked", 0.1)] = -1
        rank["hidden_states"] = (dtype, stored(rows, dtype))
        rank["topk_ids"] = ("I64", ids.astype("<i8"))
        rank["topk_weights"] = ("F32", draw.random(ids.shape).astype("<f4") * 2)
        ranks.append(rank)
    capture = Capture(ranks, world.get("padded", False))
    if world.get("rows_equal"):
        for rank in ranks:
            rank["hidden_states"][:] = rank["hidden_states"][:1]
    if world.get("first_equal"):
        for rank in ranks:
            for name in ("hidden_states", "topk_ids", "topk_weights"):
                rank[name][0] = ranks[0][name][0]
    if world.get("tp_equal") or world.get("peers_equal"):
        for number, rank in enumerate(ranks):
            first = ranks[number - number % world["tp"]]
            for name in ("hidden_states", "topk_ids", "topk_weights"):
                rank[name] = (first.tensors[name][0], first[name].copy())
    (fill_batched if capture.is_batched else fill_standard)(capture, draw, world)
    return capture


def local_experts(capture, rank):
    count = capture.number("num_experts")
    return [e for e in range(count) if capture.owner(e)[0] == rank]


def fill_standard(capture, draw, world):
    dtype, top_k = world.get("dtype", "BF16"), world["top_k"]
    to = world.get("output", dtype)
    sums = [numpy.zeros((len(rank["topk_ids"]), world["hidden"]), "<f4") for rank in capture.ranks]
    for number, rank in enumerate(capture.ranks):
        due = world["due"](capture, number) if "due" in world else capture.due(number)
        rows = numpy.array([capture[s].floats("hidden_states")[t] for s, t in due], "<f4")
        rows = rows.reshape(len(due), world["hidden"])
        far = capture.number("num_experts") - 1 if capture.owner(0)[0] == number else 0
        ids = numpy.full((len(due), top_k), far if world.get("foreign") == "remapped" else -1,
                         "<i8")
        weights = numpy.zeros((len(due), top_k), "<f4")
        output = numpy.zeros_like(rows)
        for i, (s, t) in enumerate(due):
            for k, expert in enumerate(capture[s]["topk_ids"][t]):
                weight = capture[s]["topk_weights"][t, k]
                owner, local = capture.owner(expert) if expert >= 0 else (-1, -1)
                given = world["backend"] in GATHERING
                if given or (world.get("foreign") == "as_given" and owner != number):
                    ids[i, k], weights[i, k] = expert, weight
                if owner != number:
                    continue
                ids[i, k] = local if world.get("space") == "local" else expert
                weights[i, k] = weight
                output[i] += weight * rows[i] * numpy.float32((expert + 3) / 8)
        output = stored(output, to)
        for i, (s, t) in enumerate(due):
            sums[s][t] += floats(output[i], to)
        if world.get("padded"):  # a part for each source, then rows that nobody wrote
            room = max(world["tokens"]) + 1
            begun = [0] * len(capture.ranks)
            places = []
            for s, _ in due:
                part = len(begun) - 1 - s if world.get("last_first") else s
                places.append(part * room + begun[s])
                begun[s] += 1
            rows, output, ids, weights = (
                spread(table, places, room * len(begun) + world.get("more_rows", 0), draw)
                for table in (rows, output, ids, weights))
        rank["expert_output"] = (to, output)
        put_rows(rank, rows, dtype, world)
        rank["dispatched_topk_ids"] = ("I64", ids)
        rank["dispatched_topk_weights"] = ("F32", weights)
        if world.get("counts"):
            counts = [int((capture_ids(capture, due) == e).sum())
                      for e in local_experts(capture, number)]
            rank["expert_num_tokens"] = ("I32", numpy.array(counts, "<i4"))
    for rank, total in zip(capture.ranks, sums):
        rank["combined"] = (dtype, stored(total, dtype))


def spread(table, places, count, draw):
    """The rows at those places of a larger table; ids -1, other values arbitrary elsewhere."""
    larger = draw.integers(1, 99, (count, *table.shape[1:])).astype(table.dtype)
    if table.dtype == "<i8":
        larger[:] = -1
    larger[places] = table
    return larger


def capture_ids(capture, due):
    return numpy.array([capture[s]["topk_ids"][t] for s, t in due])


def put_rows(rank, rows, dtype, world):
    if world.get("quantised"):
        codes, scales = quantised(rows.reshape(-1, world["hidden"]))
        rank["dispatched_hidden_states"] = ("F8_E4M3", codes.reshape(rows.shape))
        rank["dispatched_scales"] = ("F32", scales.reshape(*rows.shape[:-1], scales.shape[1]))
        return
    rank["dispatched_hidden_states"] = (dtype, stored(rows, dtype))


def fill_batched(capture, draw, world):
    dtype, hidden = world.get("dtype", "BF16"), world["hidden"]
    senders = len(capture.ranks) // (world["tp"] if world.get("tp_equal") else 1)
    room = int(capture.meta("max_num_tokens_per_rank")) * senders
    place = {}
    for number, rank in enumerate(capture.ranks):
        experts = local_experts(capture, number)
        rows = draw.standard_normal((len(experts), room, hidden)).astype("<f4")
        from_row = draw.integers(-9, 9, (len(experts), room)).astype("<i4")
        ranges = numpy.zeros((len(experts), len(capture.ranks)), "<i8")
        counts = numpy.zeros(len(experts), "<i4")
        for local in range(len(experts)):
            due = capture.slots(number, local)
            if world.get("tp_equal"):
                due = [one for one in due if one[0] % world["tp"] == 0]
            for source in draw.permutation(len(capture.ranks)):
                block = [one for one in due if one[0] == source]
                ranges[local, source] = (int(counts[local]) << 32) | len(block)
                for at in draw.permutation(len(block)):
                    s, t, k = block[at]
                    slot = counts[local]
                    rows[local, slot] = capture[s].floats("hidden_states")[t]
                    from_row[local, slot] = t
                    place[s, t, k] = (number, local, slot)
                    counts[local] += 1
        factor = (numpy.array(experts, "<f4").reshape(-1, 1, 1) + 1) / 8
        outputs = rows * factor
        if world.get("own_outputs"):
            outputs = draw.standard_normal(rows.shape).astype("<f4")
        rank["expert_output"] = (dtype, stored(outputs, dtype))
        put_rows(rank, rows, dtype, world)
        rank["expert_num_tokens"] = ("I32", counts)
        if world.get("labels"):
            rank["source_row"], rank["source_range"] = ("I32", from_row), ("I64", ranges)
    for rank, total in zip(capture.ranks, replayed(capture, place, world)):
        rank["combined"] = (dtype, stored(total, dtype))


def replayed(capture, place, world):
    """The sums of low latency: fma in top-k order."""
    sums = []
    for number, rank in enumerate(capture.ranks):
        total = numpy.zeros((len(rank["topk_ids"]), world["hidden"]), "<f4")
        sender = number - number % world["tp"] if world.get("tp_equal") else number
        for t, row in enumerate(rank["topk_ids"]):
            for k, expert in enumerate(row):
                if expert < 0:
                    continue
                owner, local, slot = place[sender, t, k]
                output = floats(capture[owner]["expert_output"][local, slot],
                                capture[owner].tensors["expert_output"][0])
                weight = 1 if world.get("weighted") else rank["topk_weights"][t, k]
                total[t] = fma(output, weight, total[t])
        sums.append(total)
    return sums
