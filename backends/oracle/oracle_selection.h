// Selection: one question to an oracle while it is answered, step by step as vLLM asks. The steps
// are experts_oracle.cc, those that follow what a user asks for are oracle_requests.cc. Included by
// these two alone.

#pragma once

#include "backends/oracle/experts_oracle.h"

namespace moe::oracle_steps {

class Selection {
 public:
  Selection(const Profile& profile, const ExpertsDeployment& deployment,
            const OracleSources& sources);
  ExpertsDecision decide();

 private:
  // Steps, each of which may answer. RETURNS whether it did.
  bool answered_by_platform();
  bool answered_by_lora();
  bool answered_by_request();
  bool answered_by(const VariableRule& rule);
  bool answered_by_flashinfer(const VariableRule& rule, const std::string& setting);
  bool answered_by_device(const VariableRule& rule, const std::string& setting);
  void end();

  // The list, and what leaves it.
  void set_priority();
  void move(std::string_view backend, MoveTo to);
  void drop(std::string_view backend, const std::string& why);
  void drop_vendor(KernelVendor vendor, const std::string& why);
  void apply_drops();
  // Whether the deployment asks for rows that this backend does not take.
  bool is_filtered(const OracleBackend& backend) const;

  // What is tried. force is vLLM's "return that or raise", refuse the second half of it.
  bool try_one(const OracleBackend& backend);
  bool try_all(const std::vector<std::string_view>& backends);
  bool force(const OracleBackend& backend);
  void refuse(const OracleBackend& backend);
  std::optional<Refusal> ask(const OracleBackend& backend, const ExpertsClass& experts) const;
  SupportQuestion question_for(const OracleBackend& backend) const;
  std::optional<QuantKey> key_of(const OracleBackend& backend) const;

  // Of a word of moe_backend. wanted_by: in the deployment's format, those with other rows than it
  // asks for left out. is_disabled: what may not be asked for although the word is known.
  // is_on_device: also where the family does not go on without a device that it would need.
  const RequestWord* request_of(std::string_view word) const;
  std::vector<const OracleBackend*> wanted_by(const RequestWord& request) const;
  bool refuse_word(const std::string& word);
  bool is_disabled(const OracleBackend& backend);
  bool is_on_device(const OracleBackend& backend) const;

  // REQUIRE names of the family, of the profile. in_format: in the batched format its twin.
  const OracleBackend& backend_named(std::string_view name) const;
  const OracleBackend& in_format(std::string_view name) const;
  const ExpertsClass& class_named(std::string_view name) const;

  std::string setting_text(const VariableRule& rule) const;  // "A=1, B=0 by default"
  void say(const std::string& rule);
  void raise(OracleError error, const std::string& words);

  const OracleFamily& family_;
  ParallelTraits parallel_;
  OracleQuestion asked_;
  SupportQuestion question_;
  ExpertsDecision decision_;
};

}  // namespace moe::oracle_steps
