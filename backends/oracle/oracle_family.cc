// Families asked by name and profile. The rows are oracle_families.cc and oracle_families_fp4.cc.
// Pure.

#include "backends/oracle/oracle_family.h"

#include <algorithm>
#include <array>

namespace moe {
namespace {

// Those of vLLM's configuration. Mapped by one oracle or another, see RequestWord.
struct BackendWord {
  std::string_view word;
  EraSpan eras = {};
};
constexpr EraSpan late{Era::late_2026, Era::late_2026};
constexpr std::array words = {BackendWord{"auto"},
                              BackendWord{"triton"},
                              BackendWord{"deep_gemm"},
                              BackendWord{"cutlass"},
                              BackendWord{"flashinfer_trtllm"},
                              BackendWord{"flashinfer_cutlass"},
                              BackendWord{"flashinfer_cutedsl"},
                              BackendWord{"marlin"},
                              BackendWord{"aiter"},
                              BackendWord{"emulation"},
                              BackendWord{"batched_triton", late},
                              BackendWord{"deep_gemm_mega_moe", late},
                              BackendWord{"flashinfer_b12x", late},
                              BackendWord{"humming", late},
                              BackendWord{"triton_unfused", late},
                              BackendWord{"flydsl", late},
                              BackendWord{"hpc", late}};

// Before #36294 the page says nothing of the oracles but that they were others.
constexpr EraSpan described{Era::post_36294, Era::late_2026};

}  // namespace

std::string_view name_of(OracleError error) {
  constexpr std::array<std::string_view, 3> names = {"none", "ValueError", "NotImplementedError"};
  return names[static_cast<std::size_t>(error)];
}

const OracleBackend* find_oracle_backend(const OracleFamily& family, const Profile& profile,
                                         std::string_view name) {
  const auto row = std::ranges::find_if(family.backends, [&](const OracleBackend& one) {
    return one.name == name && one.eras.covers(profile);
  });
  return row == family.backends.end() ? nullptr : &*row;
}

bool has_oracles(const Profile& profile) { return described.covers(profile); }

std::vector<std::string_view> oracle_profiles() {
  std::vector<std::string_view> names;
  for (const Profile& profile : all_profiles()) {
    if (has_oracles(profile)) names.push_back(profile.name);
  }
  return names;
}

std::vector<std::string_view> moe_backend_words(const Profile& profile) {
  std::vector<std::string_view> taken;
  for (const BackendWord& word : words) {
    if (word.eras.covers(profile)) taken.push_back(word.word);
  }
  return taken;
}

}  // namespace moe
