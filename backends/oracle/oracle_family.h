// OracleFamily: one of vLLM's backend oracles as data (seven, and three more in late 2026): its
// backends with their classes, the orders in which they are tried, and the rules around them
// (experts-and-oracles.md, 7). The rows are oracle_families.cc, oracle_families_fp4.cc and
// oracle_families_late.cc; experts_oracle.cc walks them.

#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "backends/oracle/experts_class.h"

namespace moe {

// Whose kernels a backend's are, as far as a switch turns them all off.
enum class KernelVendor { other, flashinfer, deep_gemm, vllm_cutlass, aiter };

// Multiples to which hidden and intermediate sizes are filled up before weights are made.
struct SizeMultiples {
  Count hidden = 1;
  Count hidden_on_xpu = 1;
  Count intermediate = 1;
};

// A member of vLLM's enum. classes: in order, the first that can wins.
struct OracleBackend {
  std::string_view name;
  std::vector<std::string_view> classes = {};
  std::optional<SizeMultiples> sizes = {};  // none: the platform's
  KernelVendor vendor = KernelVendor::other;
  std::string_view batched_twin = {};           // taken in its place in the batched format
  std::optional<QuantKey> activation_key = {};  // none: the deployment's
  EraSpan eras = {};
  std::string_view value = {};  // as messages have it; empty: the name
  std::string_view quant_config = {};
  std::string_view quant_config_per_tensor = {};  // of weights with one scale, where another
  bool clamps_swiglu = true;
  bool takes_any_key = false;  // no filter by the deployment's activation key drops it

  std::string_view shown() const { return value.empty() ? name : value; }
};

// What a rule looks at.
struct OracleQuestion {
  const Profile& profile;
  const ExpertsDeployment& deployment;
  const ParallelTraits& parallel;
};
using OracleCondition = bool (*)(const OracleQuestion& question);

// The platform answers, nothing is tried. Without a backend: NotImplementedError(error).
struct PlatformAnswer {
  PlatformSet platforms;
  std::string_view backend;
  std::string_view error = {};
};

// LoRA answers. backend: with its first class, which nobody asks. Empty:
// NotImplementedError(error).
struct LoraAnswer {
  std::string_view backend = {};
  std::string_view error = {};
  OracleCondition when = nullptr;  // null: always
};

struct PriorityRule {
  EraSpan eras = {};
  PlatformSet platforms = {};  // empty: any
  std::vector<std::string_view> backends = {};
};

enum class MoveTo { front, back };
struct MoveRule {
  EraSpan eras = {};
  std::vector<std::string_view> backends = {};  // one after the other
  MoveTo to = MoveTo::back;
  OracleCondition when = nullptr;
  std::string_view why = {};
};

// A word of moe_backend. is_batched: the word alone makes the format batched. also: what the word
// stands for beside, tried after the backend.
struct RequestWord {
  std::string_view word;
  std::string_view backend;
  EraSpan eras = {};
  bool is_batched = false;
  std::vector<std::string_view> also = {};
};

// What a variable does when it is set.
//   flashinfer_choice  0: drops the vendor. 1: VLLM_FLASHINFER_MOE_BACKEND's backend where that is
//                      set too, else the first of backends that can, else NotImplementedError
//   vendor_switch      any of variables off: drops the vendor. Else the first of backends, or error
//   force_on           on: the first of backends, or error
//   by_device          off: drops backends. On: the first of backends on SM90, the second on SM100
enum class VariableEffect { flashinfer_choice, vendor_switch, force_on, by_device };
struct VariableRule {
  VariableEffect effect = VariableEffect::force_on;
  std::vector<std::string_view> variables = {};
  std::vector<std::string_view> backends = {};
  KernelVendor drops = KernelVendor::other;
  EraSpan eras = {};
};

// The backends are not tried where the condition holds, once nothing has forced one.
struct DropRule {
  std::vector<std::string_view> backends = {};
  OracleCondition when = nullptr;
  std::string_view why = {};
  EraSpan eras = {};
};

enum class OracleError { none, value_error, not_implemented_error };
std::string_view name_of(OracleError error);

// When nothing can. none_on: platforms that get the backend NONE in silence.
struct OracleEnd {
  OracleError error = OracleError::not_implemented_error;
  std::string_view text;
  PlatformSet none_on = {};
  std::optional<PlatformAnswer> last_resort = {};  // there: that backend or ValueError
  bool says_last_reason = false;
};

struct OracleFamily {
  OracleFamilyName name = OracleFamilyName::unquantized;
  std::string_view title;  // in messages: "FP8 MoE"
  std::vector<OracleBackend> backends = {};
  std::optional<QuantKey> activation_key = {};  // of backends that say none; none: the deployment's
  std::vector<PlatformAnswer> platforms = {};
  std::vector<LoraAnswer> lora = {};          // the first whose condition holds
  std::vector<PriorityRule> priorities = {};  // the first that fits
  std::vector<MoveRule> moves = {};
  std::vector<RequestWord> requests = {};
  std::string_view vllm_cutlass_disabled = {};  // the error where the caller must allow it
  std::optional<EraSpan> ignores_requests = {};
  std::optional<EraSpan> goes_on_without_device = {};  // a request whose device is missing
  // A deployment's activation key, where it has one, leaves the backends with that key alone, of
  // the list and of what a word of moe_backend stands for.
  std::optional<EraSpan> filters_by_activation = {};
  std::vector<VariableRule> variables = {};
  std::vector<DropRule> drops = {};
  OracleEnd end = {};
  std::optional<EraSpan> end_lists_reasons = {};
  std::optional<EraSpan> wants_clamps = {};  // of a model with a limit of its own (swiglu_limit)
};

// ORDER: as OracleFamilyName.
std::span<const OracleFamily> all_oracle_families();
const OracleFamily& oracle_family(OracleFamilyName name);

// The member of the enum in a profile; null if it has none of that name.
const OracleBackend* find_oracle_backend(const OracleFamily& family, const Profile& profile,
                                         std::string_view name);

// The profiles for which the oracles are described, and whether one of them is.
std::vector<std::string_view> oracle_profiles();
bool has_oracles(const Profile& profile);

// The words that moe_backend takes in a profile, "auto" first; of those some oracles map none.
std::vector<std::string_view> moe_backend_words(const Profile& profile);

}  // namespace moe
