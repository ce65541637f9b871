// What the files that read options share: the options of every report, and run's own file.
// Called by command_line.cc and run_options.cc.

#pragma once

#include "sim/command_line.h"
#include "sim/given_options.h"

namespace moe::sim {

// --json, --quiet, --color, --log, --help at the end of a command's table.
void add_report_options(OptionTable& table);
ReportOptions report_options(const GivenOptions& given);

// arguments after the command's word. Throws ScenarioError with what is valid.
Command run_options(const std::vector<std::string>& arguments);

}  // namespace moe::sim
