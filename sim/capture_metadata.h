// The metadata of a capture's file as checked values, and what they must be together.
// Called by capture_file.cc for every rank.

#pragma once

#include <vector>

#include "golden/capture.h"
#include "sim/safetensors.h"

namespace moe::sim {

struct CaptureMetadata {
  golden::Capture capture;  // without ranks and capacity
  int ep_size = 1;
  std::vector<Count> num_tokens;      // of each rank
  Count max_num_tokens_per_rank = 0;  // batched only
};

// Throws ScenarioError "path: metadata 'key': …"; rank is the one that the file's name says.
CaptureMetadata capture_from_metadata(const SafetensorsHeader& header, int rank);

// Throws ScenarioError where the file has another format, or is not that rank's: what is left to
// hold against a file that says the same as one that was taken.
void check_rank(const SafetensorsHeader& header, int rank);

// Throws ScenarioError for the first key that says something else in the other file.
void check_same_capture(const SafetensorsHeader& one, const SafetensorsHeader& other);

}  // namespace moe::sim
