// In which types grouped top-k computes: the reach of vLLM's small kernel
// (experts-and-oracles.md, 3.3), each limit by the last case inside and the first one outside.

#include "kernels/router_settings.h"
#include "tests/catch.h"

using namespace moe;

namespace {

struct Case {
  Count num_experts;
  int groups;
  int topk_group;
  Count top_k;
};

GroupedTopkSettings settings_of(const Case& one, GroupedTopkRules rules) {
  return {.topk = {.scoring = Scoring::sigmoid},
          .num_expert_group = one.groups,
          .topk_group = one.topk_group,
          .rules = rules};
}

GroupedTopkTypes types(const Case& one, GroupedTopkRules rules = GroupedTopkRules::cuda_op) {
  return types_of(settings_of(one, rules), {nullptr, 0, one.num_experts, DType::bf16, {}},
                  one.top_k);
}

}  // namespace

TEST_CASE("grouped top-k types: in float as far as the op's small kernel reaches") {
  for (const Case& one : {Case{512, 1, 1, 8}, Case{512, 1, 1, 22}, Case{256, 8, 4, 8},
                          Case{128, 4, 4, 8}, Case{64, 2, 2, 8}}) {
    INFO(one.num_experts << " experts in " << one.groups << " groups, top-" << one.top_k);
    CHECK(types(one).score == DType::f32);
    CHECK(types(one).bias == DType::f32);
  }
  for (const Case& one :
       {Case{513, 1, 1, 8}, Case{512, 1, 1, 9}, Case{512, 1, 1, 21}, Case{288, 9, 4, 8},
        Case{66, 2, 2, 8}, Case{160, 5, 5, 8}, Case{128, 4, 4, 9}, Case{80, 10, 5, 8}}) {
    INFO(one.num_experts << " experts in " << one.groups << " groups, top-" << one.top_k);
    CHECK(types(one).score == DType::bf16);
    CHECK(types(one).bias == DType::bf16);
  }
}

TEST_CASE("grouped top-k types: torch scores in the logits' type and adds the bias in float") {
  const GroupedTopkTypes torch = types({64, 8, 4, 8}, GroupedTopkRules::torch);
  CHECK(torch.score == DType::bf16);
  CHECK(torch.bias == DType::f32);
}

TEST_CASE("grouped top-k types: softmax is torch's for any kernel, and a model may ask for bf16") {
  GroupedTopkSettings settings = settings_of({64, 8, 4, 8}, GroupedTopkRules::cuda_op);
  settings.topk.scoring = Scoring::softmax;
  CHECK(types_of(settings, {nullptr, 0, 64, DType::f16, {}}, 8).score == DType::f16);
  settings.topk.scoring = Scoring::sigmoid;
  settings.topk.score_rounding = ScoreRounding::bf16;
  CHECK(types_of(settings, {nullptr, 0, 64, DType::f32, {}}, 8).score == DType::bf16);
}
