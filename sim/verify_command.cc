// moebius verify: reads captures, has them judged, prints what was found. Files that are no capture
// are named on standard error; the others are judged all the same.

#include <filesystem>
#include <iostream>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/capture_file.h"
#include "sim/capture_report.h"
#include "sim/commands.h"
#include "sim/run_printer.h"
#include "sim/text_layout.h"
#include "sim/utf8.h"

namespace moe::sim {
namespace {

JudgedCapture judged_capture(const std::string& name) {
  JudgedCapture judged{.name = std::filesystem::path(name).filename().string()};
  try {
    const golden::Capture capture = read_capture(name);
    judged.backend = capture.backend;
    judged.ep_size = capture.ep_size();
    judged.judgement = golden::judge(capture);
    const Count findings = std::ssize(judged.judgement.findings);
    if (findings > 0) judged.verdict = Failed{counted(findings, "finding")};
  } catch (const ScenarioError& error) {
    judged.verdict = Errored{error.what(), 2};
  }
  return judged;
}

}  // namespace

int verify_command(const VerifyCommand& command, const Surroundings& surroundings) {
  JsonLines json(command.report.json);
  const Ansi ansi = ansi_of(command.report.color, surroundings);
  const auto print = [&](const std::string& words) {
    if (!json.is_on_standard_output()) std::cout << words << std::endl;
  };
  Summary summary;
  int exit_code = 0;
  for (const std::string& name : capture_names(command.files)) {
    if (surroundings.stop.load()) {
      exit_code = 130;
      break;
    }
    const JudgedCapture judged = judged_capture(name);
    summary.add(judged.verdict);
    exit_code = std::max(exit_code, exit_code_of(judged.verdict));
    json.write(capture_json(judged));
    if (std::holds_alternative<Errored>(judged.verdict)) {
      std::cerr << "moebius: " << printable(reason_of(judged.verdict)) << "\n";
    } else if (!command.report.quiet || !std::holds_alternative<Passed>(judged.verdict)) {
      print(capture_text(judged, ansi));
    }
  }
  json.write(summary_json(summary));
  print(summary_text(summary));
  json.finish();
  return exit_code;
}

}  // namespace moe::sim
