// The lies, each in its simplest form: one bit turned, one rule left out, one word unread.
// Called by sim/oracle_fault.cc and by tests.

#include "backends/oracle/faulty_oracle.h"

#include <algorithm>
#include <array>

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

constexpr std::array rows = {
    OracleFaultRow{"MF-29", "an experts class claims what it cannot, or hides what it can",
                   "vllm#53472, vllm#33738, vllm#37931",
                   "experts=NAME (the class), bit=NAME (of its row)",
                   "MF-29:experts=TritonExperts,bit=format"},
    OracleFaultRow{"MF-30", "an explicit moe_backend is ignored", "vllm#55232", "none", "MF-30"},
    OracleFaultRow{"MF-31", "a predicate of the parallel configuration is answered wrongly",
                   "vllm#47070, vllm#48656, vllm#40412", "bit=NAME (of the predicate)",
                   "MF-31:bit=use_batched_activation_format"},
};

template <typename Enum>
EnumSet<Enum> flipped(EnumSet<Enum> set, int value) {
  const EnumSet<Enum> one = {static_cast<Enum>(value)};
  return set.has_all(one) ? set.without(one) : set.with(one);
}

// The rules but the first or the last.
template <typename Rule>
std::span<const Rule> without_rule(std::span<const Rule> rules, int left_out) {
  return static_cast<std::size_t>(left_out) == 0 ? rules.subspan(1) : rules.first(rules.size() - 1);
}

}  // namespace

std::span<const OracleFaultRow> all_oracle_faults() { return rows; }

std::vector<ClassBit> class_bits(const ExpertsClass& row) {
  if (row.is_composite()) return {};  // what it can is what its parts can
  std::vector<ClassBit> bits = {
      {"format",
       [](ExpertsClass& one, int) {
         one.format = one.format == ActivationFormat::standard ? ActivationFormat::batched_experts
                                                               : ActivationFormat::standard;
       }},
      {"no_act_and_mul", [](ExpertsClass& one, int) { one.no_act_and_mul = !one.no_act_and_mul; }},
      {"batch_invariant",
       [](ExpertsClass& one, int) { one.batch_invariant = !one.batch_invariant; }}};
  for (const MoEActivation activation : all_moe_activations()) {
    bits.push_back(
        {text("activation ", name_of(activation)),
         [](ExpertsClass& one, int value) { one.activations = flipped(one.activations, value); },
         static_cast<int>(activation)});
  }
  for (int limit = 0; limit <= static_cast<int>(ParallelLimit::dp_size_1); ++limit) {
    bits.push_back(
        {text("parallel ", name_of(static_cast<ParallelLimit>(limit))),
         [](ExpertsClass& one, int value) { one.parallel = flipped(one.parallel, value); }, limit});
  }
  if (row.hidden_multiple > 1) {
    bits.push_back({"hidden", [](ExpertsClass& one, int) { one.hidden_multiple = 1; }});
  }
  if (row.intermediate_multiple > 1) {
    bits.push_back({"intermediate", [](ExpertsClass& one, int) { one.intermediate_multiple = 1; }});
  }
  if (row.float32_logits) {
    bits.push_back({"float32_logits", [](ExpertsClass& one, int) { one.float32_logits = {}; }});
  }
  const auto leave_out = [&bits](const char* what, std::size_t count, auto flip) {
    if (count == 0) return;
    bits.push_back({text("first ", what), flip, 0});
    if (count > 1) bits.push_back({text("last ", what), flip, 1});
  };
  leave_out("scheme", row.schemes.size(),
            [](ExpertsClass& one, int value) { one.schemes = without_rule(one.schemes, value); });
  leave_out("device", row.devices.size(),
            [](ExpertsClass& one, int value) { one.devices = without_rule(one.devices, value); });
  return bits;
}

std::vector<ExpertsClass> with_lie(std::span<const ExpertsClass> rows_of, std::string_view profile,
                                   std::string_view experts, const ClassBit& bit) {
  std::vector<ExpertsClass> lying(rows_of.begin(), rows_of.end());
  for (ExpertsClass& row : lying) {
    if (row.name == experts && row.eras.covers(profile_named(profile))) bit.flip(row, bit.value);
  }
  return lying;
}

std::string_view name_of(ParallelBit bit) {
  constexpr std::array<std::string_view, 6> words = {
      "use_all2all_kernels",   "use_ag_rs_all2all_kernels",     "use_flashinfer_nvlink_kernels",
      "use_deepep_ht_kernels", "use_batched_activation_format", "enable_eplb"};
  return words[static_cast<std::size_t>(bit)];
}

std::span<const ParallelBit> all_parallel_bits() {
  using enum ParallelBit;
  static constexpr std::array bits = {all2all, ag_rs, flashinfer, deepep_ht, batched, eplb};
  return bits;
}

ParallelTraits with_lie(ParallelTraits traits, ParallelBit bit) {
  const auto turn = [](bool& flag) { flag = !flag; };
  switch (bit) {
    case ParallelBit::all2all:
      turn(traits.use_all2all_kernels);
      break;
    case ParallelBit::ag_rs:
      turn(traits.use_ag_rs_all2all_kernels);
      break;
    case ParallelBit::flashinfer:
      turn(traits.use_flashinfer_nvlink_kernels);
      break;
    case ParallelBit::deepep_ht:
      turn(traits.use_deepep_ht_kernels);
      break;
    case ParallelBit::batched:
      turn(traits.use_batched_activation_format);
      break;
    case ParallelBit::eplb:
      turn(traits.enable_eplb);
      break;
  }
  return traits;
}

ExpertsDeployment without_request(ExpertsDeployment deployment) {
  deployment.moe_backend = "auto";
  return deployment;
}

}  // namespace moe
