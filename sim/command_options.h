// What the files that read options share: the options of every report, and the files of run and
// oracle. Called by command_line.cc, run_options.cc and oracle_options.cc.

#pragma once

#include "sim/command_line.h"
#include "sim/given_options.h"

namespace moe::sim {

// --json, --quiet, --color, --log, --help at the end of a command's table.
void add_report_options(OptionTable& table);
ReportOptions report_options(const GivenOptions& given);

// A file that an option names; empty: none.
struct FileOption {
  std::string_view option;
  const std::string& file;
};

// Two reports in one place would be neither. Devices take what they get.
void refuse_same_place(const FileOption& one, const FileOption& other);

// arguments after the command's word. Throws ScenarioError with what is valid.
Command run_options(const std::vector<std::string>& arguments);
Command oracle_options(const std::vector<std::string>& arguments);

}  // namespace moe::sim
