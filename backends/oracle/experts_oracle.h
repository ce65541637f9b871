// The backend oracles: which experts backend and class a described deployment gets, with every
// candidate in order and the first predicate that refused it, or the error that vLLM raises
// (experts-and-oracles.md, 7). Pure functions of profile and deployment.

#pragma once

#include <functional>
#include <string>
#include <vector>

#include "backends/oracle/class_support.h"
#include "backends/oracle/oracle_family.h"

namespace moe {

// What is held against the deployment. Faults put others in their place.
struct OracleSources {
  std::span<const ExpertsClass> classes = all_experts_classes();
  std::function<ParallelTraits(const Profile&, const ExpertsDeployment&)> parallel =
      parallel_traits_of;
};

// A backend's class that was asked. Not refused: it was chosen.
struct Candidate {
  const OracleBackend* backend = nullptr;
  const ExpertsClass* experts = nullptr;
  std::optional<Refusal> refusal = {};
};

// A backend that a rule took out of the order.
struct DroppedBackend {
  std::string_view backend;
  std::string why;
};

// Null pointers: none. LIFETIME: of the pointers as the tables'.
struct ExpertsDecision {
  OracleFamilyName family = OracleFamilyName::unquantized;
  const OracleBackend* backend = nullptr;
  const ExpertsClass* experts = nullptr;  // also null with a backend that has no class: CPU, TPU
  bool is_unchecked = false;              // a rule took the class without asking it
  OracleError error = OracleError::none;
  std::string error_text = {};
  ActivationFormat format = ActivationFormat::standard;
  std::vector<std::string> rules = {};          // that acted, in order
  std::vector<std::string_view> priority = {};  // what would be tried, in order
  std::vector<DroppedBackend> dropped = {};
  std::vector<Candidate> trace = {};
  std::vector<std::string> notes = {};  // what follows, defects of vLLM among it

  bool is_monolithic() const { return experts != nullptr && experts->is_monolithic; }
};

// The one that the deployment's quantisation asks. REQUIRES a profile that has_oracles and a
// quantisation that it knows (quant_schemes_in).
ExpertsDecision select_experts_backend(const Profile& profile, const ExpertsDeployment& deployment,
                                       const OracleSources& sources = {});

// Each REQUIRES a quantisation of its own family.
ExpertsDecision select_unquantized(const Profile& profile, const ExpertsDeployment& deployment);
ExpertsDecision select_fp8(const Profile& profile, const ExpertsDeployment& deployment);
ExpertsDecision select_mxfp8(const Profile& profile, const ExpertsDeployment& deployment);
ExpertsDecision select_nvfp4(const Profile& profile, const ExpertsDeployment& deployment);
ExpertsDecision select_mxfp4(const Profile& profile, const ExpertsDeployment& deployment);
ExpertsDecision select_int8(const Profile& profile, const ExpertsDeployment& deployment);
ExpertsDecision select_wna16(const Profile& profile, const ExpertsDeployment& deployment);
ExpertsDecision select_mxfp4_generic(const Profile& profile, const ExpertsDeployment& deployment);
ExpertsDecision select_w4a8(const Profile& profile, const ExpertsDeployment& deployment);
ExpertsDecision select_w4a8_int8(const Profile& profile, const ExpertsDeployment& deployment);

// What a decision asked a backend's classes. LIFETIME: as the arguments'.
SupportQuestion question_of(const Profile& profile, const ExpertsDeployment& deployment,
                            const ExpertsDecision& decision, const OracleBackend& backend);

// Why a deployment did not get a backend or a class, a sentence for each of its classes.
// REQUIRES one of names_of_family.
std::vector<std::string> why_not(const Profile& profile, const ExpertsDeployment& deployment,
                                 std::string_view name);
// The backends and classes of a family in a profile, each once.
std::vector<std::string> names_of_family(const Profile& profile, const OracleFamily& family);

// What follows from a decision, vLLM's known defects among it; and what of the deployment it never
// looked at.
std::vector<std::string> notes_on(const Profile& profile, const ExpertsDeployment& deployment,
                                  const ExpertsDecision& decision);

// The sizes that mxfp4 weights are made for, before they are loaded (7.5).
struct ExpertsSizes {
  Count hidden_size = 0;
  Count intermediate_size = 0;
  bool operator==(const ExpertsSizes&) const = default;
};
ExpertsSizes mxfp4_sizes(const OracleBackend& backend, const ExpertsDeployment& deployment);

}  // namespace moe
