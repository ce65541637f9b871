// moebius oracle --fault: an oracle that lies, held against the table by the check ORACLE over both
// cross products. A fault that changes no answer of theirs survives.

#include <algorithm>
#include <iostream>

#include "backends/oracle/faulty_oracle.h"
#include "backends/oracle/oracle_table.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/commands.h"
#include "sim/faults.h"
#include "sim/report.h"
#include "sim/row_named.h"

namespace moe::sim {
namespace {

// The classes that have bits, and the bits of a class, in a profile.
std::vector<std::string> classes_with_bits(const Profile& profile) {
  std::vector<std::string> names;
  for (const ExpertsClass& row : all_experts_classes()) {
    if (row.eras.covers(profile) && !class_bits(row).empty()) names.emplace_back(row.name);
  }
  return names;
}

std::vector<ClassBit> bits_of(const std::string& profile, const std::string& experts) {
  return class_bits(*find_experts_class(all_experts_classes(), profile_named(profile), experts));
}

// What the lying oracle answers.
AnswerMaker lying_answers(const Profile& profile, const OracleFault& fault) {
  if (fault.name == "MF-30") {
    return [&profile](const ExpertsDeployment& deployment) {
      const OracleAnswer asked = answer_of(profile, deployment);
      return asked.decided.empty() ? asked : answer_of(profile, without_request(deployment));
    };
  }
  OracleSources sources;
  if (fault.name == "MF-29") {
    const auto bits = bits_of(std::string(profile.name), fault.experts);
    const auto bit = std::ranges::find(bits, fault.bit, &ClassBit::name);
    return [&profile, classes = with_lie(sources.classes, profile.name, fault.experts, *bit)](
               const ExpertsDeployment& deployment) {
      return answer_of(profile, deployment, {.classes = classes});
    };
  }
  const auto bits = all_parallel_bits();
  const auto bit = std::ranges::find(bits, std::string_view(fault.bit),
                                     [](ParallelBit one) { return name_of(one); });
  sources.parallel = [bit = *bit](const Profile& whose, const ExpertsDeployment& deployment) {
    return with_lie(parallel_traits_of(whose, deployment), bit);
  };
  return [&profile, sources](const ExpertsDeployment& deployment) {
    return answer_of(profile, deployment, sources);
  };
}

}  // namespace

OracleFault parsed_oracle_fault(const std::string& words, const std::string& profile) {
  const std::size_t colon = words.find(':');
  OracleFault fault{words.substr(0, colon)};
  if (std::ranges::count(all_faults(), fault.name, &FaultRow::name) > 0) {
    throw ScenarioError(text("--fault ", fault.name,
                             " is of runs, not of the oracles: moebius run PACK ", "--fault ",
                             fault.name));
  }
  const std::string name(row_named("fault of the oracles", all_oracle_faults(), fault.name).name);
  std::size_t at = colon == std::string::npos ? words.size() : colon + 1;
  while (at < words.size()) {
    const std::size_t end = std::min(words.find(',', at), words.size());
    const std::string pair = words.substr(at, end - at);
    const std::size_t equals = pair.find('=');
    const std::string key = pair.substr(0, equals);
    std::vector<std::string> keys;
    if (name == "MF-29") keys = {"experts", "bit"};
    if (name == "MF-31") keys = {"bit"};
    if (equals == std::string::npos || std::ranges::count(keys, key) == 0) {
      throw ScenarioError(text("--fault ", name, ": '", pair, "' is no parameter of it; it has: ",
                               keys.empty() ? "none" : joined(keys)));
    }
    std::string& value = key == "bit" ? fault.bit : fault.experts;
    if (!value.empty()) throw ScenarioError(text("--fault ", name, ": ", key, " is given twice"));
    value = pair.substr(equals + 1);
    at = end + 1;
  }
  if (name == "MF-29") {
    chosen("--fault MF-29: experts", fault.experts, classes_with_bits(profile_named(profile)));
    chosen("--fault MF-29: bit", fault.bit, names_in(bits_of(profile, fault.experts)));
  }
  if (name == "MF-31") {
    chosen("--fault MF-31: bit", fault.bit, names_in(all_parallel_bits()));
  }
  return fault;
}

int oracle_fault_command(const OracleCommand& command) {
  const OracleFault& fault = command.query.fault;
  const Profile& profile = profile_named(command.query.profile);
  const AnswerMaker lying = lying_answers(profile, fault);
  const AnswerMaker table = [&profile](const ExpertsDeployment& deployment) {
    return answer_of(profile, deployment);
  };
  JsonLines json(command.report.json);
  Count num_cells = 0;
  Count num_wrong = 0;
  JsonArray lines;
  for (const OracleAxes* axes : {&oracle_axes(), &choice_axes()}) {
    const OracleTree tree = disagreement(*axes, table, lying);
    num_cells += tree.num_cells;
    num_wrong += tree.num_shown;
    for (const std::string& line : tree.lines) {
      lines.emplace_back(line);
      if (!command.report.quiet && !json.is_on_standard_output()) std::cout << line << "\n";
    }
  }
  const std::string said =
      num_wrong == 0 ? text("SURVIVED: ", fault.name, " changes none of ", num_cells, " answers")
                     : text("ORACLE caught ", fault.name, ": ", num_wrong, " of ", num_cells,
                            " answers are not the table's");
  json.write(JsonObject{{"fault", fault.name},
                        {"experts", fault.experts},
                        {"bit", fault.bit},
                        {"caught", num_wrong > 0},
                        {"cells", num_cells},
                        {"wrong", num_wrong},
                        {"reason", said},
                        {"lines", lines}});
  if (!json.is_on_standard_output()) std::cout << said << "\n";
  json.finish();
  return 1;
}

}  // namespace moe::sim
