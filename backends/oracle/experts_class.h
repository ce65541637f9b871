// ExpertsClass: one of vLLM's experts classes as a row of capabilities (experts-and-oracles.md,
// 6.2). The one table of them is experts_classes.cc and experts_classes_late.cc; what asks it is
// class_support.h, and nobody asks for a name.

#pragma once

#include <array>
#include <span>
#include <string_view>

#include "backends/oracle/experts_deployment.h"

namespace moe {

// A device that is taken: all of what it says. below: not included. majors: any, where empty.
struct DeviceRule {
  PlatformSet platforms;
  DeviceCapability least = {};
  DeviceCapability below = {1000, 0};
  std::span<const int> majors = {};
  LibrarySet needs = {};
  bool needs_aiter_variables = false;  // VLLM_ROCM_USE_AITER and _MOE
};

// A pair of keys that is taken, and where the class routes by itself, with which methods.
// any_activation: whatever the rows' key is, they stay as they are. devices: where the pair is
// taken on some devices only.
struct SchemeRule {
  QuantKey weight = QuantKey::none;
  QuantKey activation = QuantKey::none;
  bool any_activation = false;
  bool any_weight = false;
  std::span<const DeviceRule> devices = {};
  std::optional<RoutingSet> routing = {};  // none: any
};

// What a parallel configuration must not be.
enum class ParallelLimit {
  no_flashinfer_nvlink,
  no_deepep_high_throughput,
  ep_size_1,
  no_all2all,
  no_all2all_but_ag_rs,
  all2all_other_than_ag_rs,  // it must be one
  no_eplb,
  dp_size_1
};
using ParallelLimits = EnumSet<ParallelLimit>;
std::string_view name_of(ParallelLimit limit);

// Where a token's k outputs are weighted and summed. no_op: in the experts. delegate: by
// prepare/finalize. in_kernel: a monolithic kernel gives finished rows.
enum class ExpertsReduce { no_op, delegate, in_kernel };
std::string_view name_of(ExpertsReduce reduce);

struct ExpertsClass {
  std::string_view name;
  EraSpan eras = {};
  ActivationFormat format = ActivationFormat::standard;
  bool is_monolithic = false;
  std::span<const DeviceRule> devices = {};
  std::span<const SchemeRule> schemes = {};
  ActivationSet activations = {};
  bool no_act_and_mul = false;
  ParallelLimits parallel = {};
  std::optional<RoutingSet> float32_logits = {};  // none: with any routing method
  Count hidden_multiple = 1;
  Count intermediate_multiple = 1;  // of one rank's share
  bool batch_invariant = false;
  bool takes_bias = true;
  bool expert_map = false;  // takes a map of non-local experts; else even, linear placement
  ExpertsReduce reduce = ExpertsReduce::no_op;
  // Two classes in one, of which a run takes the second where it can: supported is what both are.
  std::array<std::string_view, 2> parts = {};
  std::string_view not_wired = {};  // why no oracle has it; empty: one has

  bool is_composite() const { return !parts[0].empty(); }
};

// ORDER: as the page. A class whose capabilities changed has a row for each span of eras.
std::span<const ExpertsClass> all_experts_classes();

// The row that is in force in a profile; null if there is none.
const ExpertsClass* find_experts_class(std::span<const ExpertsClass> rows, const Profile& profile,
                                       std::string_view name);

}  // namespace moe
