// A judged capture as text for people and as JSON for programs.
// Called by verify_command.cc.

#pragma once

#include <string>

#include "golden/capture.h"
#include "sim/report.h"

namespace moe::sim {

struct JudgedCapture {
  std::string name;
  std::string backend;  // empty where the files could not be read
  int ep_size = 0;
  golden::CaptureJudgement judgement;
  Verdict verdict;
};

std::string capture_text(const JudgedCapture& judged, Ansi ansi);
JsonValue capture_json(const JudgedCapture& judged);

}  // namespace moe::sim
