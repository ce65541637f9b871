// Reads captures of foreign implementations (formats.md, 3): all ranks' files of a name, as the
// struct that the judge takes. What the values mean is golden/capture.h.

#pragma once

#include <string>
#include <vector>

#include "golden/capture.h"

namespace moe::sim {

// The captures that arguments name, each once and in their order: paths without
// ".rank<r>.safetensors". Throws ScenarioError for a file of another name.
std::vector<std::string> capture_names(const std::vector<std::string>& arguments);

// Throws ScenarioError "path: reason" for files that are no capture: broken, misshapen, ranks that
// are missing or disagree, a backend without a contract, tensors that nothing would judge.
golden::Capture read_capture(const std::string& name);

}  // namespace moe::sim
