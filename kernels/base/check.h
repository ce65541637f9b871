// The three kinds of error and MOE_CHECK. A differing output is a result, never an exception.
// Exit codes (formats.md, 6): ScenarioError 2, SystemError 3, ContractError 4.

#pragma once

#include <stdexcept>
#include <string>

namespace moe {

// Bad input: says file:line:column or the option, the value and the valid choices.
class ScenarioError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A peer, a wire, a device or a deadline failed.
class SystemError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// We are wrong: a rule between two rooms was broken.
class ContractError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] void contract_broken(const char* condition, const char* place, const std::string& why);

}  // namespace moe

#define MOE_CHECK_TEXT_(line) #line
#define MOE_CHECK_PLACE_(file, line) file ":" MOE_CHECK_TEXT_(line)

// MOE_CHECK(condition, why): throws ContractError with the condition, the place and why, a string
// that is built only on failure.
#define MOE_CHECK(condition, why)                                                      \
  do {                                                                                 \
    if (!(condition)) {                                                                \
      ::moe::contract_broken(#condition, MOE_CHECK_PLACE_(__FILE__, __LINE__), (why)); \
    }                                                                                  \
  } while (false)
