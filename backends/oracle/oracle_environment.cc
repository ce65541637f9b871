// The table, and values by name. Defaults are those of vllm/envs.py; FlashInfer's switches went
// away with the later oracles. UNVERIFIED: when exactly each of them went; the spec says so of [H]
// only, so they last until post-40412 here.

#include "backends/oracle/oracle_environment.h"

#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

using enum Era;

constexpr EraSpan until_late{v0_9, post_40412};

const OracleVariable* find_variable(std::string_view name) {
  const auto rows = all_oracle_variables();
  const auto row = std::ranges::find(rows, name, &OracleVariable::name);
  return row == rows.end() ? nullptr : &*row;
}

}  // namespace

std::span<const OracleVariable> all_oracle_variables() {
  static const std::vector<OracleVariable> rows = {
      {"VLLM_USE_FLASHINFER_MOE_FP16", "0", until_late},
      {"VLLM_USE_FLASHINFER_MOE_FP8", "0", until_late},
      {"VLLM_USE_FLASHINFER_MOE_FP4", "0", until_late},
      {"VLLM_FLASHINFER_MOE_BACKEND",
       "latency",
       until_late,
       {"throughput", "latency", "masked_gemm"}},
      {"VLLM_USE_FLASHINFER_MOE_MXFP4_BF16", "0", until_late},
      {"VLLM_USE_FLASHINFER_MOE_MXFP4_MXFP8", "0", until_late},
      {"VLLM_USE_FLASHINFER_MOE_MXFP4_MXFP8_CUTLASS", "0", until_late},
      {"VLLM_MXFP4_USE_MARLIN", ""},  // none of both unless set
      {"VLLM_ROCM_USE_AITER", "0"},
      {"VLLM_ROCM_USE_AITER_MOE", "1"},
      {"VLLM_USE_DEEP_GEMM", "1"},
      {"VLLM_MOE_USE_DEEP_GEMM", "1"},
      {"VLLM_TEST_FORCE_FP8_MARLIN", "0"},
  };
  return rows;
}

OracleEnvironment::OracleEnvironment(
    std::initializer_list<std::pair<const std::string, std::string>> set)
    : values_(set) {
  for (const auto& [name, value] : values_) {
    const OracleVariable* row = find_variable(name);
    MOE_CHECK(row != nullptr && variable_value(*row, value) == value, text(name, "=", value));
  }
}

void OracleEnvironment::set(const std::string& name, const std::string& value) {
  const OracleVariable* row = find_variable(name);
  MOE_CHECK(row != nullptr && variable_value(*row, value) == value, text(name, "=", value));
  values_[name] = value;
}

std::string_view OracleEnvironment::value(std::string_view name) const {
  const auto set = values_.find(std::string(name));
  if (set != values_.end()) return set->second;
  const OracleVariable* row = find_variable(name);
  MOE_CHECK(row != nullptr, text("no oracle reads ", name));
  return row->default_value;
}

std::optional<std::string> variable_value(const OracleVariable& variable, std::string_view word) {
  if (!variable.words.empty()) {
    if (std::ranges::count(variable.words, word) == 0) return std::nullopt;
    return std::string(word);
  }
  if (word == "1" || word == "true" || word == "True") return "1";
  if (word == "0" || word == "false" || word == "False") return "0";
  return std::nullopt;
}

std::vector<std::string> values_taken(const OracleVariable& variable) {
  if (variable.words.empty()) return {"0", "1"};
  return {variable.words.begin(), variable.words.end()};
}

}  // namespace moe
