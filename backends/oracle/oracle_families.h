// The files of rows behind all_oracle_families, and what more than one of them uses.
// Included by them alone.

#pragma once

#include "backends/oracle/oracle_family.h"

namespace moe::oracle_rows {

inline constexpr EraSpan before_36286{Era::v0_9, Era::post_36294};
inline constexpr EraSpan since_36286{Era::post_36286, Era::late_2026};
inline constexpr EraSpan until_late{Era::v0_9, Era::post_40412};
inline constexpr EraSpan full_until_late{Era::post_36286, Era::post_40412};
inline constexpr EraSpan late{Era::late_2026, Era::late_2026};

inline constexpr PlatformSet cuda = {OraclePlatform::cuda};
inline constexpr PlatformSet rocm = {OraclePlatform::rocm};
inline constexpr PlatformSet xpu = {OraclePlatform::xpu};
inline constexpr PlatformSet cpu = {OraclePlatform::cpu};
inline constexpr PlatformSet without_gpu_rules = {OraclePlatform::cpu, OraclePlatform::xpu,
                                                  OraclePlatform::tpu, OraclePlatform::out_of_tree};

inline bool is_cuda(const OracleQuestion& question) {
  return question.deployment.platform == OraclePlatform::cuda;
}
inline bool is_exact_sm90(const OracleQuestion& question) {
  return is_cuda(question) && question.deployment.capability == DeviceCapability{9, 0};
}
inline bool is_sm100_family(const OracleQuestion& question) {
  return is_cuda(question) && question.deployment.capability.major == 10;
}

// Humming's three, of which a batched layer takes the first (late 2026).
inline const std::vector<std::string_view> humming_classes = {
    "BatchedHummingGroupedExperts", "HummingGroupedExperts", "HummingIndexedExperts"};

OracleFamily unquantized_family();
OracleFamily fp8_family();
OracleFamily mxfp8_family();
OracleFamily nvfp4_family();
OracleFamily mxfp4_family();
OracleFamily int8_family();
OracleFamily wna16_family();
OracleFamily mxfp4_generic_family();
OracleFamily w4a8_family();
OracleFamily w4a8_int8_family();

// Both mxfp4 oracles have one enum and one mapping of words.
std::vector<OracleBackend> mxfp4_backends();
std::vector<RequestWord> mxfp4_requests();

}  // namespace moe::oracle_rows
