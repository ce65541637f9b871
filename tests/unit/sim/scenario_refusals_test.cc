// Unit tests of sim/scenario_reader: every refusal, at its line and column, with what to write.
// Each case is a whole file; traces have a file of their own.

#include "sim/scenario_reader.h"

#include "tests/catch.h"
#include "tests/unit/sim/input_files.h"

using namespace moe;
using namespace moe::sim;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

struct Case {
  std::string lines;    // after "name: s" and, unless they say it, steps of two ranks
  std::string message;  // after the file's name
};

void check_refusals(const std::vector<Case>& cases) {
  const TemporaryFolder root;
  for (const Case& one : cases) {
    CAPTURE(one.lines);
    const std::string content =
        one.lines.starts_with("name:") ? one.lines : "name: s\nworld: {dp: 2}\n" + one.lines;
    const std::string path = root.write("s.yaml", content);
    CHECK_THAT(error_of([&] { read_scenario(path, root.path()); }), StartsWith(path + one.message));
  }
}

std::string with_steps(const std::string& lines) { return "steps: [[1, 1]]\n" + lines; }

}  // namespace

TEST_CASE("scenario: the file as a whole") {
  check_refusals({
      {"name: other\nsteps: [[1]]",
       ":1:7: name: 'other' is not the file's path without extension, 's'"},
      {"name: \nsteps: [[1]]", ":1:1: name: an empty value is not a text"},
      {"name: [s]", ":1:7: name: a list is not a text"},
      {"name: s", ":1:1: steps: is missing: list the tokens"},
      {"name: s\nstpes: [[1]]",
       ":2:1: unknown key 'stpes'; known: name, why, tags, seed, world, model, "
       "routing, steps, engine, values, capacity, expect, faults, defects, same_under, "
       "eplb, micro_batches, dp_chunking, runs; did you mean 'steps'?"},
      {"name: s\nexperts: 4", ":2:1: unknown key 'experts'; known: name"},
      {"name: s\nname: s", ":2:1: the key 'name' is given twice"},
      {"name: s\nsteps: [[1]", ":2:"},
  });
  const TemporaryFolder root;
  const auto refusal = [&](const std::string& content) {
    return error_of([&] { read_scenario(root.write("s.yaml", content), root.path()); });
  };
  CHECK_THAT(refusal("why: no name\n"), Contains(":1:1: name: is missing; write name: s"));
  CHECK_THAT(refusal("just words\n"),
             Contains(":1:1: the file holds 'just words', not a scenario"));
  CHECK_THAT(refusal("[1]\n"), Contains("the file holds a list"));
  CHECK_THAT(refusal(""), Contains(":1:1: the file is empty"));
  CHECK_THAT(refusal("name: \x01\n"), Contains(":1:7: the byte 0x01"));
  CHECK_THAT(refusal("name: s\nexperts: 4\n"), Contains("'experts' belongs under model"));
  CHECK_THAT(error_of([&] { read_scenario(root.path() / "none.yaml", root.path()); }),
             Contains("there is no such file"));
}

TEST_CASE("scenario: quantisation that a world's cuts do not go with") {
  check_refusals(
      {{"name: s\nworld: {tp: 2, ep: false}\nsteps: [[1]]\nvalues: real\n"
        "model: {quantization: int4_w4a16, intermediate: 128}",
        ":5:49: model.intermediate: 128 over 2 ranks is 64, which would cut groups of 128 weights "
        "that share a scale in int4_w4a16"},
       {with_steps("values: real\nmodel: {quantization: fp8_dynamic}\neplb: {}"),
        ":6:7: eplb: fp8_dynamic has one scale for all rows that a rank has at once"},
       {with_steps("values: real\nmodel: {quantization: fp8_dynamic}\ndp_chunking: {}"),
        ":6:14: dp_chunking: fp8_dynamic has one scale for all rows"}});
}

TEST_CASE("scenario: top-level values") {
  check_refusals({
      {with_steps("why: {a: b}"), ":4:6: why: a map is not a text"},
      {with_steps("tags: fast"), ":4:7: tags: 'fast' is not a list of words"},
      {with_steps("tags: [a, [b]]"), ":4:11: tags: a list is not a word"},
      {with_steps("tags: [a, a]"), ":4:11: tags: 'a' is given twice"},
      {with_steps("seed: -1"), ":4:7: seed: '-1' is not an integer from 0 to"},
      {with_steps("seed: 9223372036854775808"), ":4:7: seed: '9223372036854775808' is not"},
      {with_steps("values: real\nmodel: {kernel: probe}"),
       ":5:17: model.kernel: probe and exact_gemm belong to values: integers"},
      {with_steps("values: real\nexpect: same_bytes"),
       ":5:9: expect: real worlds are judged by derived bounds: say derived"},
      {with_steps("values: integer"),
       ":4:9: values: 'integer' is not one of integers, real; did you mean 'integers'?"},
      {with_steps("expect: derived"),
       ":4:9: expect: derived belongs to values: real; exact worlds are same_bytes"},
      {with_steps("expect: {error: {kind: a}}"), ":4:17: expect.error: text is missing"},
      {with_steps("capacity: {deadline_ms: 0}"), ":4:25: capacity.deadline_ms: '0' is not"},
      {with_steps("capacity: {max_num_batched_tokens: 0}"),
       ":4:36: capacity.max_num_batched_tokens: '0' is not an integer from 1 to"},
      {with_steps("capacity: {dedline_ms: 5}"),
       ":4:12: capacity: unknown key 'dedline_ms'; known: "
       "max_num_batched_tokens, deadline_ms; did you"},
      {with_steps("defects: [a]"), ":4:11: defects[0]: 'a' is not one of naive-dp-tp"},
      {with_steps("defects: {}"), ":4:10: defects: a map is not a list of names"},
      {with_steps("defects: [naive-dp-tp, naive-dp-tp]"),
       ":4:24: defects[1]: 'naive-dp-tp' is given"},
      {with_steps("expect: same"), ":4:9: expect: 'same' is not one of same_bytes, derived"},
      {with_steps("expect: {}"), ":4:9: expect: one of error, fallback, differs is needed"},
      {with_steps("expect: {fails: 1}"), ":4:10: expect: unknown key 'fails'"},
      {with_steps("expect: {fallback: naiv}"), ":4:20: expect.fallback: unknown backend: 'naiv'"},
      {with_steps("expect: {error: {kind: usage, text: a}}"),
       ":4:24: expect.error.kind: 'usage' is not one of scenario, system, contract"},
      {with_steps("expect: {error: {kind: system}}"), ":4:17: expect.error: text is missing"},
      {with_steps("expect: {differs: a}\nfaults: [{name: MF-07}]"),
       ":1:1: expect: seeded faults expect their own end: one of the two"},
      {with_steps("same_under: [placement, rank]"),
       ":4:25: same_under[1]: 'rank' is not one of factoring, placement, token_order, rank_order"},
      {with_steps("same_under: [placement, placement]"),
       ":4:25: same_under[1]: 'placement' is given twice"},
      {with_steps("same_under: placement"), ":4:13: same_under: 'placement' is not a list"},
      {with_steps("values: real\nsame_under: [placement]"),
       ":5:13: same_under: only exact worlds promise equal bytes (values)"},
      {with_steps("eplb: {window: 3}"), ":4:8: eplb: unknown key 'window'; known: window_size"},
      {with_steps("eplb: {use_async: true}"),
       ":4:19: eplb.use_async: true is not supported yet (only false)"},
      {with_steps("eplb: {window_size: 0}"),
       ":4:21: eplb.window_size: '0' is not an integer from 1"},
      {with_steps("model: {redundant_experts: 2}"),
       ":4:28: model.redundant_experts: 2 need a load balancer: write eplb: {}"},
      {with_steps("model: {redundant_experts: 1}\neplb: {}"),
       ":4:28: model.redundant_experts: 8 experts and 1 redundant ones do not divide by the 2 "
       "ranks"},
      {"name: s\nsteps: [[1]]\neplb: {}",
       ":3:7: eplb: one rank has nobody to share with: it needs dp x pcp x tp above 1"},
      {"name: s\nsteps: [[1, 1]]\nworld: {dp: 2, ep: false}\neplb: {}",
       ":4:7: eplb: balances experts that are dealt out: it needs world.ep true"},
      {with_steps("micro_batches: {on: 3}"), ":4:16: micro_batches: a map is not"},
      {with_steps("dp_chunking: {rows: 3}"),
       ":4:15: dp_chunking: unknown key 'rows'; known: rows_max, store"},
  });
}

TEST_CASE("scenario: world") {
  check_refusals({
      {"name: s\nworld: 3", ":2:8: world: '3' is not a map of keys"},
      {"name: s\nworld: {dp: 0}", ":2:13: world.dp: '0' is not an integer from 1 to 1024"},
      {"name: s\nworld: {dp: 1025}", ":2:13: world.dp: '1025' is not"},
      {"name: s\nworld: {dp: two}", ":2:13: world.dp: 'two' is not an integer"},
      {"name: s\nworld: {dp: '2'}", ":2:13: world.dp: '2' is not an integer"},
      {"name: s\nworld: {dp: 2.0}", ":2:13: world.dp: '2.0' is not an integer"},
      {"name: s\nworld: {dp: 010}", ":2:13: world.dp: '010' is not an integer"},
      {"name: s\nworld: {dp: +2}", ":2:13: world.dp: '+2' is not an integer"},
      {"name: s\nworld: {dp: 0x2}", ":2:13: world.dp: '0x2' is not an integer"},
      {"name: s\nworld: {dp: [2]}", ":2:13: world.dp: a list is not an integer"},
      {"name: s\nworld: {tp: 0}", ":2:13: world.tp: '0' is not an integer from 1 to 1024"},
      {"name: s\nworld: {pp: two}", ":2:13: world.pp: 'two' is not an integer"},
      {"name: s\nworld: {pcp: 2000}", ":2:14: world.pcp: '2000' is not an integer"},
      {"name: s\nworld: {sequence_parallel: 1}",
       ":2:28: world.sequence_parallel: '1' is not true or false"},
      {"name: s\nworld: {ep: yes}", ":2:13: world.ep: 'yes' is not true or false"},
      {"name: s\nworld: {dq: 2}",
       ":2:9: world: unknown key 'dq'; known: dp, tp, pp, pcp, ep, "
       "sequence_parallel, masked_ranks; did you mean 'dp'?"},
      {"name: s\nworld: {dp: 2, masked_ranks: 1}",
       ":2:30: world.masked_ranks: '1' is not a list of ranks"},
      {"name: s\nworld: {dp: 2, masked_ranks: [2]}",
       ":2:31: world.masked_ranks: '2' is not an integer from 0 to 1"},
      {"name: s\nworld: {dp: 3, masked_ranks: [1, 1]}",
       ":2:34: world.masked_ranks: 1 is given twice"},
  });
}

TEST_CASE("scenario: worlds that cannot be") {
  const auto world = [](const std::string& keys, const std::string& more = "") {
    return "name: s\nsteps: [[1, 1]]\nworld: {dp: 2, " + keys + "}\n" + more;
  };
  check_refusals({
      {world("tp: 64, pp: 64"), ":3:8: world: dp 2, tp 64, pp 64, pcp 1 are 8192 ranks, more than"},
      {world("pcp: 2"), ":3:21: world.pcp: pcp 2 and dp 2: PCP beside data parallelism"},
      {world("sequence_parallel: true"),
       ":3:35: world.sequence_parallel: needs ep, tp above 1 and dp above 1, here ep true, dp 2, "
       "tp 1"},
      {world("tp: 2, ep: false, sequence_parallel: true"),
       ":3:53: world.sequence_parallel: needs ep, tp above 1 and dp above 1, here ep false"},
      {world("masked_ranks: [1]"), ":3:30: world.masked_ranks: rank 1 is dead and has tokens"},
      {world("masked_ranks: [0, 1]"), ":3:30: world.masked_ranks: leaves no rank alive"},
      {world("tp: 2, masked_ranks: [1]"), ":3:37: world.masked_ranks: needs ep, and tp and pcp 1"},
      {world("masked_ranks: [1]", "model: {placement: round_robin}"),
       ":3:30: world.masked_ranks: needs linear placement and no eplb"},
      {world("pp: 2"), ":3:20: world.pp: 2 stages for 1 layers: a stage would have none"},
      {world("tp: 2, ep: false", "model: {intermediate: 6}"),
       ":4:23: model.intermediate: without ep the 4 ranks of dp x pcp x tp share every expert, and "
       "6 does not divide by them"},
  });
}

TEST_CASE("scenario: model") {
  check_refusals({
      {"model: {experts: 0}", ":3:18: model.experts: '0' is not an integer from 1 to 32767"},
      {"model: {experts: 40000}", ":3:18: model.experts: '40000' is not"},
      {"model: {top_k: 0}", ":3:16: model.top_k: '0' is not"},
      {"model: {hidden: 0}", ":3:17: model.hidden: '0' is not an integer from 1 to 1048576"},
      {"model: {hidden: 2000000}", ":3:17: model.hidden: '2000000' is not"},
      {"model: {intermediate: -4}", ":3:23: model.intermediate: '-4' is not"},
      {"model: {layers: 0}", ":3:17: model.layers: '0' is not"},
      {"model: {layers: [1, 2]}", ":3:18: model.layers[0]: '1' is not a map of keys"},
      {"model: {layers: []}", ":3:17: model.layers: no layers"},
      {"model: {layers: [{hidden: 8}, {hidden: 0}]}",
       ":3:40: model.layers[1].hidden: '0' is not an integer from 1"},
      {"model: {layers: [{top_k: 2}]}", ":3:19: model.layers[0]: unknown key 'top_k'"},
      {"model: {dtype: fp16}",
       ":3:16: model.dtype: 'fp16' is not one of bf16, f32, f16; did you "
       "mean 'f16'?"},
      {"model: {dtype: f64}", ":3:16: model.dtype: 'f64' is not one of bf16, f32, f16"},
      {with_steps("model: {kernel: real}"),
       ":4:17: model.kernel: real belongs to values: real; choose probe or exact_gemm"},
      {"model: {kernel: prob}", ":3:17: model.kernel: 'prob' is not one of probe, exact_gemm"},
      {"model: {kernel: [probe]}", ":3:17: model.kernel: a list is not one of probe"},
      {"model: {placement: lin}",
       ":3:20: model.placement: 'lin' is not one of linear, round_robin"},
      {"model: {placement: [lin]}", ":3:20: model.placement: a list is not one of linear"},
      {with_steps("model: {scale: 0}"), ":4:16: model.scale: must be above 0"},
      {with_steps("model: {scale: 2.3}"),
       ":4:16: model.scale: 2.3 has no power of two as its unit"},
      {with_steps("model: {experts: 32, scale: 2.5, top_k: 13}"),
       ":4:41: model.top_k: with 13 choices partial sums reach 130 in units of 0.5, bf16 is exact "
       "only up to 128"},
      {"model: {scale: -1}", ":3:16: model.scale: '-1' is not a number from 0"},
      {with_steps("model: {activation: gelu}"),
       ":4:21: model.activation: an exact world's experts have their own form"},
      {with_steps("model: {bias: true}"), ":4:15: model.bias: an exact world's experts"},
      {"model: {activation: gelo}", ":3:21: model.activation: 'gelo' is not one of silu, gelu"},
      {"model: {quantization: fp8}", ":3:23: model.quantization: 'fp8' is not one of none, fp8_s"},
      {with_steps("model: {quantization: int8_per_token}"),
       ":4:23: model.quantization: int8_per_token has no world whose numbers survive it"},
      {with_steps("model: {quantization: int4_w4a16}"),
       ":4:23: model.quantization: int4_w4a16 changes weights alone, which exact experts do not"},
      {with_steps("model: {quantization: nvfp4, kernel: exact_gemm}"),
       ":4:38: model.kernel: exact_gemm's numbers do not survive nvfp4: choose probe"},
      {with_steps("model: {quantization: fp8_static, kernel: exact_gemm, dtype: f32}"),
       ":4:62: model.dtype: f32 keeps what scales like 1/448 round off"},
      {"model: {redundant_experts: 1024}",
       ":3:28: model.redundant_experts: '1024' is not an integer from 0 to 1023"},
      {with_steps("model: {router_weight_on_input: true}"),
       ":4:33: model.router_weight_on_input: a weight on the input needs top_k 1, not 2"},
      {"model: {exprets: 4}", ":3:9: model: unknown key 'exprets'; known: experts, top_k, hidden"},
  });
}

TEST_CASE("scenario: model, what does not fit together") {
  check_refusals({
      {with_steps("model: {scoring: sigmoid}"),
       ":4:18: model.scoring: 'sigmoid' decides nothing without routing: {logits: …}"},
      {with_steps("model: {correction_bias: true}"),
       ":4:26: model.correction_bias: 'true' decides nothing"},
      {with_steps("model: {topk_group: 2}\nrouting: {logits: {}}"),
       ":4:21: model.topk_group: 2 of 1 groups"},
      {with_steps("model: {groups: 4, topk_group: 1, top_k: 3}\nrouting: {logits: {}}"),
       ":4:32: model.topk_group: 1 groups hold 2 experts, a token chooses 3"},
      {with_steps("model: {renormalize: false}"), ":4:22: model.renormalize: 'false' decides"},
      {with_steps("model: {groups: 4}"), ":4:17: model.groups: '4' decides nothing without"},
      {with_steps("model: {topk_group: 2}"), ":4:21: model.topk_group: '2' decides nothing"},
      {with_steps("values: real\nrouting: {logits: {}}"),
       ":5:19: routing.logits: a router's own weights are not bounded yet"},
      {"model: {shared_experts: -1}", ":3:25: model.shared_experts: '-1' is not an integer from 0"},
      {with_steps("model: {top_k: 9}"), ":4:16: model.top_k: a token cannot choose 9 of 8 experts"},
      {with_steps("model: {experts: 1}"),
       ":4:18: model.experts: a token cannot choose 2 of 1 experts"},
      {with_steps("model: {experts: 32, top_k: 17}"),
       ":4:29: model.top_k: with 17 choices partial sums reach 272, bf16 is exact only up to 256"},
      {with_steps("model: {experts: 300, top_k: 129, dtype: f16}"),
       ":4:30: model.top_k: with 129 choices partial sums reach 2064, f16 is exact only up to "
       "2048"},
      {with_steps("model: {experts: 64, top_k: 33, kernel: exact_gemm}"),
       ":4:29: model.top_k: with 33 choices partial sums reach 264, bf16 is exact only up to 256"},
  });
}

TEST_CASE("scenario: routing") {
  check_refusals({
      {"routing: unifrom",
       ":3:10: routing: 'unifrom' is not one of uniform, skewed, one_hot_expert, "
       "hot_rank, masked, ids, logits, trace; did you mean 'uniform'?"},
      {"routing: skewed", ":3:10: routing: skewed needs a value: {skewed: …}"},
      {"routing: [1]", ":3:10: routing: a list is not a map of keys"},
      {"routing: {skewed: {}, masked: {}}", ":3:10: routing: both skewed and masked: choose one"},
      {"routing: {skewd: {}}", ":3:11: routing: unknown key 'skewd'; known: uniform, skewed"},
      {"routing: {uniform: 3}", ":3:20: routing.uniform: '3' is not a map of keys"},
      {"routing: {uniform: {a: 3}}", ":3:21: routing.uniform: unknown key 'a'; known: "},
      {"routing: {seed: x}", ":3:17: routing.seed: 'x' is not an integer"},
      {"routing: {skewed: {exponent: -1}}",
       ":3:30: routing.skewed.exponent: '-1' is not a number "
       "from 0 to 64, written like 1 or 0.5"},
      {"routing: {skewed: {exponent: 1e1}}", ":3:30: routing.skewed.exponent: '1e1' is not"},
      {"routing: {skewed: {exponent: .nan}}", ":3:30: routing.skewed.exponent: '.nan' is not"},
      {"routing: {skewed: {exponent: 1.}}", ":3:30: routing.skewed.exponent: '1.' is not"},
      {"routing: {skewed: {exponent: '1'}}", ":3:30: routing.skewed.exponent: '1' is not"},
      {"routing: {skewed: {exponent: 65}}", ":3:30: routing.skewed.exponent: '65' is not"},
      {"routing: {skewed: {expnent: 1}}",
       ":3:20: routing.skewed: unknown key 'expnent'; known: "
       "exponent; did you mean 'exponent'?"},
      {"routing: {one_hot_expert: {expert: 8}}",
       ":3:36: routing.one_hot_expert.expert: '8' is not an integer from 0 to 7"},
      {"routing: {one_hot_expert: {expert: -1}}", ":3:36: routing.one_hot_expert.expert: '-1' is"},
      {"routing: {hot_rank: {rank: 2}}",
       ":3:28: routing.hot_rank.rank: '2' is not an integer from 0 "
       "to 1"},
      {"routing: {hot_rank: {share: 1.5}}",
       ":3:29: routing.hot_rank.share: '1.5' is not a number "
       "from 0 to 1"},
      {"model: {experts: 1, top_k: 1}\nrouting: {hot_rank: {rank: 1}}",
       ":4:21: routing.hot_rank.rank: rank 1 has none of the 1 experts"},
      {"routing: {masked: {share: -0.5}}", ":3:27: routing.masked.share: '-0.5' is not"},
      {"routing: {ids: 3}", ":3:16: routing.ids: '3' is not a list of rows"},
      {"routing: {ids: []}",
       ":3:16: routing.ids: an empty list, in the place of a list of rows of experts"},
      {"routing: {ids: [[0, 1], 3]}",
       ":3:25: routing.ids[1]: '3' is not a list of 2 experts (top_k)"},
      {"routing: {ids: [[0, 1, 2]]}", ":3:17: routing.ids[0]: a list of 3 is not a list of 2"},
      {"routing: {ids: [[0, 8]]}", ":3:21: routing.ids[0]: '8' is not an integer from -1 to 7"},
      {"routing: {ids: [[0, -2]]}", ":3:21: routing.ids[0]: '-2' is not"},
      {"routing: {ids: [[3, 3]]}", ":3:21: routing.ids[0]: expert 3 is listed twice for one token"},
      {"routing: {logits: {a: 1}}", ":3:20: routing.logits: unknown key 'a'; known: spread, shift"},
      {"routing: {logits: {spread: 0}}", ":3:28: routing.logits.spread: '0' is not a number from"},
      {"routing: {logits: {shift: -65}}", ":3:27: routing.logits.shift: '-65' is not a number"},
      {"routing: {logits: {shift: 0.3}}",
       ":3:27: routing.logits.shift: 0.3 is not whole sixteenths"},
      {"routing: {logits: {nan: 1.5}}", ":3:25: routing.logits.nan: '1.5' is not a number from 0"},
      {"model: {scoring: sigmoid}\nrouting: {logits: {shift: -5}}",
       ":4:19: routing.logits.spread: logits reach 9, sigmoid tells scores apart"},
      {"routing: {layers: [0, 1]}",
       ":3:19: routing.layers: is a range of a trace, and there is no"},
      {"routing: {steps: [0, 1]}", ":3:18: routing.steps: is a range of a trace"},
  });
}

TEST_CASE("scenario: steps, and lists that are empty") {
  check_refusals({
      {"steps: 3", ":3:8: steps: '3' is not a list of steps, each a list of 2 token counts"},
      {"steps: []",
       ":3:8: steps: an empty list, in the place of a list of steps, each a list of 2"},
      {with_steps("expect: []"), ":4:9: expect: an empty list is not one of same_bytes, derived"},
      {with_steps("same_under: []"),
       ":4:13: same_under: an empty list, in the place of a list of changes"},
      {"steps: [3, 4]", ":3:9: steps[0]: '3' is not a list of 2 token counts (world.dp)"},
      {"steps: [[1, 2], [3]]", ":3:17: steps[1]: a list of 1 is not a list of 2 token counts"},
      {"steps: [[1, 2, 3]]", ":3:9: steps[0]: a list of 3 is not a list of 2 token counts"},
      {"steps: [[1, -2]]", ":3:13: steps[0]: '-2' is not an integer from 0 to 1048576"},
      {"steps: [[1, 1048577]]", ":3:13: steps[0]: '1048577' is not an integer"},
      {"steps: [[0, 0], [0, 0]]", ":3:8: steps: no rank has a token in any step"},
  });
}

TEST_CASE("scenario: faults and runs") {
  check_refusals({
      {with_steps("faults: MF-07"), ":4:9: faults: 'MF-07' is not a list of faults"},
      {with_steps("faults: [MF-07]"), ":4:10: faults[0]: 'MF-07' is not a map like {name: MF-07}"},
      {with_steps("faults: [{rank: 1}]"), ":4:10: faults[0]: a fault needs a name"},
      {with_steps("faults: [{name: drop}]"), ":4:17: faults[0].name: 'drop' is not MF- and two"},
      {with_steps("faults: [{name: MF-07, rank: [1]}]"), ":4:30: faults[0].rank: a list is not a"},
      {with_steps("runs: []"), ":4:7: runs: an empty list, in the place of a list of runs"},
      {with_steps("runs: naive"), ":4:7: runs: 'naive' is not a list of runs"},
      {with_steps("runs: [naive]"), ":4:8: runs[0]: 'naive' is not a map of keys"},
      {with_steps("runs: [{}, {bakend: naive}]"),
       ":4:13: runs[1]: unknown key 'bakend'; known: "
       "backend, device, communicator"},
      {with_steps("runs: [{backend: }]"), ":4:9: runs[0].backend: an empty value is not a text"},
      {with_steps("runs: [{device: gpu}]"),
       ":4:17: runs[0].device: 'gpu' is not one of cpu, cuda, "
       "xpu; did you mean"},
      {with_steps("runs: [{communicator: mpi}]"),
       ":4:23: runs[0].communicator: 'mpi' is not one of "
       "gloo, nccl, local"},
      {with_steps("runs: [{communicator: nccl}]"),
       ":4:23: runs[0].communicator: nccl does not carry rows of cpu; choose gloo or local"},
      {with_steps("runs: [{communicator: gloo, device: cuda}]"),
       ":4:23: runs[0].communicator: gloo does not carry rows of cuda; choose nccl or local"},
      {with_steps("runs: [{communicator: local, ranks: processes}]"),
       ":4:23: runs[0].communicator: local joins threads of one process, and ranks are processes"},
      {with_steps("runs: [{path: device}]"),
       ":4:15: runs[0].path: device is not supported yet (only "
       "reference)"},
      {with_steps("runs: [{ranks: threds}]"),
       ":4:16: runs[0].ranks: 'threds' is not one of threads, "
       "processes; did you mean 'threads'?"},
      {with_steps("runs: [{profile: post-40413}]"),
       ":4:18: runs[0].profile: 'post-40413' is not one "
       "of post-40412, v0.9, pre-33724, post-33724, "
       "post-36294, post-36286, post-39107, post-33728, "
       "late-2026; did you mean 'post-40412'?"},
      {with_steps("runs: [{platform: tpu}]"),
       ":4:19: runs[0].platform: 'tpu' is not one of cuda, "
       "rocm, cpu, xpu"},
      {with_steps("runs: [{selection: late}]"),
       ":4:20: runs[0].selection: 'late' is not one of modular, monolithic"},
      {with_steps("runs: [{dispatch_site: running}]"),
       ":4:24: runs[0].dispatch_site: 'running' is not one of kernel, runner, "
       "runner_batched"},
      {with_steps("runs: [{arrival_seed: -1}]"), ":4:23: runs[0].arrival_seed: '-1' is not"},
  });
}
