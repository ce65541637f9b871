#!/usr/bin/python3
"""golden/engine.py: the tokens of each step that the engines of DP ranks run for some requests.

Written from the rules of formats.md, 5 and vLLM's engine loop, apart from sim/engine_scenario.cc:
what differs between the two is a wrong golden. Called by world.py. A rank without tokens runs a
dummy batch of one; every 32nd step of a wave all ranks ask whether any has work left.
"""

STEPS_BETWEEN_VOTES = 32
BATCHED_DP = ("deepep_low_latency", "nixl_ep")
WITHOUT_CHUNKS = ("post-39107", "post-33728", "post-40412", "late-2026")
MODES = ("none", "piecewise", "full")


def is_count(value):
    return type(value) is int and value > 0


def is_index(value):
    return type(value) is int and value >= 0


def read_engine(section, dp):
    """The engine's settings with their defaults."""
    def flag(key):
        return section.take(key, False, lambda value: isinstance(value, bool), "true, false")
    def ascends(sizes):
        return (isinstance(sizes, list) and all(map(is_count, sizes))
                and sizes == sorted(set(sizes)))
    engine = {"dbo": flag("dbo")}
    for key, usual in (("dbo_decode_token_threshold", 32), ("dbo_prefill_token_threshold", 512)):
        engine[key] = section.take(key, usual, is_count, "a number above 0")
    engine["graph_mode"] = section.take("graph_mode", "none", MODES.__contains__,
                                        ", ".join(MODES))
    engine["capture_sizes"] = section.take("capture_sizes", [1, 2, 4, 8, 16, 24, 32], ascends,
                                           "token counts that ascend")
    given = section.take("requests", None, lambda v: isinstance(v, list) and v, "a list of maps")
    engine["requests"] = []
    for number, value in enumerate(given or []):
        one = type(section)(f"{section.where}: requests[{number}]", value)
        engine["requests"].append(
            {"rank": one.take("rank", 0, lambda r: is_index(r) and r < dp, f"a rank below {dp}"),
             "arrives": one.take("arrives", 0, is_index, "a number from 0"),
             "prompt": one.take("prompt", 1, is_count, "a number above 0"),
             "output": one.take("output", 1, is_count, "a number above 0")})
        one.done()
    section.done()
    return engine


class Rank:
    """The requests of one rank: [arrives, tokens left of the prompt, tokens left to decode]."""

    def __init__(self, requests, budget):
        self.requests = sorted(([r["arrives"], r["prompt"], r["output"] - 1] for r in requests),
                               key=lambda request: request[0])
        self.budget = budget

    def batch(self, tick):
        """(tokens, whether each is a request's one decoded token)."""
        tokens, decodes = 0, True
        for request in self.requests:
            arrives, prompt, output = request
            if arrives > tick or not prompt + output:
                continue
            given = min(prompt or 1, self.budget - tokens)
            if not given:
                break
            request[1 if prompt else 2] -= given
            decodes = decodes and not prompt
            tokens += given
        return tokens, decodes

    def has_work(self, tick):
        return any(prompt + output for arrives, prompt, output in self.requests if arrives <= tick)


def proposal(engine, tokens, decodes):
    """(tokens, padded tokens, wants micro-batches, graph mode)."""
    least = engine["dbo_decode_token_threshold" if decodes else "dbo_prefill_token_threshold"]
    wants = engine["dbo"] and tokens >= least
    fitting = [size for size in engine["capture_sizes"] if size >= tokens]
    mode = MODES.index(engine["graph_mode"])
    if not mode or not fitting:
        return tokens, tokens, wants, 0
    return tokens, min(fitting), wants, mode if decodes else min(mode, 1)


def agreed(proposals):
    """The tokens that each rank runs."""
    if len(proposals) == 1:
        return [proposals[0][1]]
    most = max(padded for _, padded, _, _ in proposals)
    least = min(tokens for tokens, _, _, _ in proposals)
    split = all(wants for _, _, wants, _ in proposals) and most // 2 < least
    graphed = min(mode for *_, mode in proposals) > 0
    return [most if split or graphed else padded for _, padded, _, _ in proposals]


def settled(engine, runs, ranks, budget):
    """The engine and the tokens of a step under the run lines, which all run the same steps.

    ranks: (DP ranks, expert parallel). Low latency and NIXL get 256 where nobody says how many
    (#39107); high throughput waits for counts on the host, which allows no graphs (V11).
    """
    dp, is_ep = ranks
    lines = [run for run in runs or [] if isinstance(run, dict)] or [{}]
    backends = [(line.get("backend", ""), line.get("profile", "post-40412")) for line in lines]
    is_batched = [name in BATCHED_DP and profile in WITHOUT_CHUNKS for name, profile in backends]
    usual = 256 if dp > 1 and is_ep and any(is_batched) else 2048
    graphs_off = dp > 1 and all(name == "deepep_high_throughput" for name, _ in backends)
    return ({**engine, "graph_mode": "none"} if graphs_off else engine), budget or usual


def steps_of(engine, dp, budget):
    """[steps][rank] tokens, pads and dummies included."""
    arrivals = sorted(request["arrives"] for request in engine["requests"])
    ranks = [Rank([r for r in engine["requests"] if r["rank"] == number], budget)
             for number in range(dp)]
    steps, tick = [], -1
    while any(arrival > tick for arrival in arrivals):
        tick = min(arrival for arrival in arrivals if arrival > tick) - 1
        in_wave, running = 0, True
        while running:
            tick, in_wave = tick + 1, in_wave + 1
            batches = [rank.batch(tick) for rank in ranks]
            steps.append(agreed([proposal(engine, *batch) if batch[0] else proposal(engine, 1, True)
                                 for batch in batches]))
            if dp == 1 or in_wave % STEPS_BETWEEN_VOTES == 0:
                running = any(rank.has_work(tick) for rank in ranks)
    return steps
