// The modular kernel: which prepare/finalize goes with which experts class, and why not
// (experts-and-oracles.md, 5). Rows of vLLM's prepare/finalize classes, the one that a deployment
// gets, and the reasons that refuse a wrong pair. Pure; reads rows, never names.

#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "backends/config/backend_traits.h"
#include "backends/oracle/experts_oracle.h"

namespace moe {

// Which of vLLM's classes moves rows for experts. transport: none for the one without EP.
struct PrepareFinalizeClass {
  std::string_view name;
  Transport transport = Transport::none;
  ActivationFormat format = ActivationFormat::standard;
  bool is_monolithic = false;   // router logits go through it
  bool supports_async = false;  // shared experts may run inside the kernel
  bool needs_even_experts = false;
  bool needs_aiter_experts = false;
  std::span<const QuantKey> carries = {};                // the rows that it can; empty: any
  OracleError carries_error = OracleError::value_error;  // for others
  std::string_view carries_since = {};
  EraSpan eras = {};
};
// ORDER: as vLLM's factory asks.
std::span<const PrepareFinalizeClass> all_prepare_finalize_classes();

// The sentence with which the factory refuses rows; empty: it carries them.
std::string rows_refusal(const PrepareFinalizeClass& moves, QuantKey activation);
// The modular one that moves rows of a backend's; null: none does in that profile.
const PrepareFinalizeClass* prepare_finalize_class_of(const Profile& profile, Transport transport);

// The one that the factory makes for a deployment. Null: it has none for such experts (a transport
// that router logits cannot travel with).
const PrepareFinalizeClass* prepare_finalize_class_of(const Profile& profile,
                                                      const ExpertsDeployment& deployment,
                                                      bool is_monolithic);

// How a kernel is put together beside its two halves. A batched class wants sizes: right_options.
struct KernelOptions {
  std::optional<Count> max_num_tokens = {};
  std::optional<int> num_dispatchers = {};
  QuantKey activation = QuantKey::none;  // of the rows that travel
  int num_experts = 8;                   // physical
  int ep_size = 1;
  int dp_size = 1;
  bool enable_eplb = false;
  bool is_linear = true;
  bool shared_experts_inside = false;
  bool in_place = false;
};
// Those that a class wants.
KernelOptions right_options(const ExpertsClass& experts);

// ORDER: as they are looked at.
enum class PairRule {
  no_prepare_finalize,
  same_interface,
  same_format,
  parallel_config,
  sizes_of_format,
  rows_carried,
  aiter_experts,
  even_experts,
  linear_experts,
  shared_experts,
  in_place
};
std::string_view name_of(PairRule rule);

struct PairRefusal {
  PairRule rule = PairRule::same_interface;
  std::string text;  // "ValueError: …", as vLLM raises it
};
// Null where there is none of them.
std::optional<PairRefusal> refusal_of(const PrepareFinalizeClass* prepare_finalize,
                                      const ExpertsClass& experts, const KernelOptions& options);

}  // namespace moe
