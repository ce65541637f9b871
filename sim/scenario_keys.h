// The keys of a scenario file (formats.md, 5): the one list of them in this program. The reader
// asks it what is known, and a test holds scenarios/scenario.schema.json against it.

#pragma once

#include <string>
#include <vector>

namespace moe::sim {

// read: the reader takes it. pending: known, but only the values in choices are supported so far.
// traced: as pending, but with a trace any value that agrees with it. router: the first choice
// alone, but with router logits any value, and with a trace any that agrees with it.
enum class KeyState { read, pending, traced, router };

struct ScenarioKey {
  std::string section;  // "", world, model, routing, routing.skewed, …, capacity, runs
  std::string name;
  KeyState state = KeyState::read;
  std::vector<std::string> choices = {};  // the words it takes; empty: whatever has the right type
  std::vector<std::string> later = {};    // words of formats.md that are not supported yet
};

const std::vector<ScenarioKey>& scenario_keys();

// Null if the section has no such key.
const ScenarioKey* find_key(const std::string& section, const std::string& name);

// "unknown key 'exprets'; known: …; did you mean 'experts'?", and the section that has the key.
std::string unknown_key_text(const std::string& section, const std::string& name);

// The word, if it is one of the choices. Throws ScenarioError "where: 'wrod' is not one of …" with
// the nearest. Also for the command line: where is then the option.
const std::string& chosen(const std::string& where, const std::string& word,
                          const std::vector<std::string>& choices);

}  // namespace moe::sim
