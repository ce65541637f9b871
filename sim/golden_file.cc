// Golden files from JSON to structs. A golden that cannot be trusted is refused with what to run.
// Called where a scenario is judged.

#include "sim/golden_file.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <initializer_list>
#include <numeric>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/input_file.h"
#include "sim/json_document.h"

namespace moe::sim {
namespace {

using golden::Golden;
using golden::GoldenStep;
using golden::StoredCell;
using golden::StoredRow;

constexpr Count bytes_max = 4 << 20;  // goldens have at most 200 KB
constexpr Count layers_max = 4096;
constexpr const char* golden_format = "moe-golden/1";

// A value of the document and how it was reached: "steps[0].digests[1]".
struct Field {
  const JsonValue& value;
  std::string where;

  [[noreturn]] void refuse(const std::string& why) const {
    throw ScenarioError(text(where.empty() ? "" : text(where, ": "), why));
  }

  [[noreturn]] void refuse_type(const std::string& wanted) const {
    refuse(text(described(value), " is not ", wanted));
  }

  // REQUIRES a value whose keys are among the known ones.
  void expect_keys(std::initializer_list<std::string_view> known) const {
    const JsonObject* members = value.object();
    if (members == nullptr) refuse_type("an object");
    for (const JsonMember& member : *members) {
      if (std::find(known.begin(), known.end(), member.key) != known.end()) continue;
      refuse(text("unknown key '", member.key.substr(0, 80), "'; known: ", joined(known)));
    }
  }

  Field at(const std::string& key) const {
    const JsonValue* member = value.find(key);
    if (member == nullptr) refuse(text("'", key, "' is missing"));
    return {*member, where.empty() ? key : text(where, ".", key)};
  }

  std::vector<Field> items() const {
    const JsonArray* array = value.array();
    if (array == nullptr) refuse_type("an array");
    std::vector<Field> fields;
    for (const JsonValue& item : *array)
      fields.push_back({item, text(where, "[", fields.size(), "]")});
    return fields;
  }

  const std::string& string() const {
    if (value.string() == nullptr) refuse_type("a string");
    return *value.string();
  }

  // An integer of [0, end).
  Count index(Count end) const {
    const std::int64_t* integer = value.integer();
    if (integer == nullptr || *integer < 0 || *integer >= end) {
      refuse_type(text("an integer from 0 to ", end - 1));
    }
    return *integer;
  }

  // A float32 as hexadecimal, the way C's %a and Python's float.hex write it.
  double hexadecimal() const {
    const std::string& digits = string();
    char* end = nullptr;
    const double number = std::strtod(digits.c_str(), &end);
    const bool is_hexadecimal = digits.starts_with("0x") || digits.starts_with("-0x");
    if (!is_hexadecimal || *end != 0 || !std::isfinite(number)) {
      refuse_type("a finite number in hexadecimal, like 0x1.8p+1");
    }
    return number;
  }

  double number() const {
    if (const std::int64_t* integer = value.integer()) return static_cast<double>(*integer);
    if (value.fraction() == nullptr) refuse_type("a number");
    return *value.fraction();
  }

  std::uint64_t digest() const {
    const std::string& digits = string();
    std::uint64_t bits = 0;
    const char* end = digits.data() + digits.size();
    const auto [stopped, error] = std::from_chars(digits.data(), end, bits, 16);
    if (digits.size() != 16 || error != std::errc() || stopped != end || hex16(bits) != digits) {
      refuse_type("16 lower-case hexadecimal digits");
    }
    return bits;
  }
};

// What a golden's rows are: exact numbers and digests, or samples with bounds.
enum class Kept { digests, bounds };

GoldenStep step_of(const Field& field, Kept kept) {
  field.expect_keys({"tokens", "digests", "routing"});
  GoldenStep step;
  for (const Field& count : field.at("tokens").items()) step.tokens.push_back(count.index(1 << 30));
  if (step.tokens.empty()) field.at("tokens").refuse("no ranks");
  if (field.value.find("routing") != nullptr) step.routing_digest = field.at("routing").digest();
  if (kept == Kept::bounds) return step;
  for (const Field& layer : field.at("digests").items()) {
    std::vector<std::uint64_t>& digests = step.digests.emplace_back();
    for (const Field& rank : layer.items()) digests.push_back(rank.digest());
    if (digests.size() != step.tokens.size()) {
      layer.refuse(text(digests.size(), " digests for ", step.tokens.size(), " ranks"));
    }
  }
  if (step.digests.empty()) field.at("digests").refuse("no layers");
  return step;
}

std::vector<GoldenStep> steps_of(const Field& field, Kept kept) {
  std::vector<GoldenStep> steps;
  for (const Field& item : field.items()) {
    steps.push_back(step_of(item, kept));
    const GoldenStep& first = steps.front();
    const GoldenStep& step = steps.back();
    if (step.tokens.size() != first.tokens.size() || step.digests.size() != first.digests.size()) {
      item.refuse(text(step.tokens.size(), " ranks and ", step.digests.size(),
                       " layers, the first ", "step has ", first.tokens.size(), " and ",
                       first.digests.size()));
    }
  }
  if (steps.empty()) field.refuse("no steps");
  return steps;
}

// columns may be absent: then the values are the first columns of the row.
StoredRow row_of(const Field& field, Count num_tokens, Kept kept) {
  field.expect_keys({"token", "columns", "values", "bounds"});
  StoredRow row;
  row.token = field.at("token").index(num_tokens);
  for (const Field& value : field.at("values").items()) {
    row.values.push_back(kept == Kept::bounds ? value.hexadecimal() : value.number());
  }
  if (kept == Kept::bounds) {
    for (const Field& bound : field.at("bounds").items()) {
      row.bounds.push_back(bound.number());
      if (!(row.bounds.back() > 0)) bound.refuse_type("a bound above 0");
    }
    if (row.bounds.size() != row.values.size()) {
      field.refuse(text(row.values.size(), " values and ", row.bounds.size(), " bounds"));
    }
  }
  row.columns.resize(row.values.size());
  std::iota(row.columns.begin(), row.columns.end(), Count{0});
  if (field.value.find("columns") != nullptr) {
    row.columns.clear();
    for (const Field& column : field.at("columns").items()) {
      const Count least = row.columns.empty() ? 0 : row.columns.back() + 1;
      row.columns.push_back(column.index(1 << 20));
      if (row.columns.back() < least) column.refuse(text(row.columns.back(), " does not ascend"));
    }
  }
  if (row.values.empty() || row.columns.size() != row.values.size()) {
    field.refuse(text(row.values.size(), " values for ", row.columns.size(), " columns"));
  }
  return row;
}

StoredCell cell_of(const Field& field, const std::vector<GoldenStep>& steps, Kept kept) {
  field.expect_keys({"step", "layer", "rank", "rows"});
  StoredCell stored;
  stored.cell.step = static_cast<int>(field.at("step").index(std::ssize(steps)));
  const GoldenStep& step = steps[static_cast<std::size_t>(stored.cell.step)];
  const Count num_layers = kept == Kept::bounds ? layers_max : std::ssize(step.digests);
  stored.cell.layer = static_cast<int>(field.at("layer").index(num_layers));
  stored.cell.rank = static_cast<int>(field.at("rank").index(std::ssize(step.tokens)));
  const Count num_tokens = step.tokens[static_cast<std::size_t>(stored.cell.rank)];
  for (const Field& row : field.at("rows").items()) {
    const Count least = stored.rows.empty() ? 0 : stored.rows.back().token + 1;
    stored.rows.push_back(row_of(row, num_tokens, kept));
    if (stored.rows.back().token < least)
      row.refuse("its token does not come after the last row's");
  }
  if (stored.rows.empty()) field.refuse("no rows");
  return stored;
}

Golden golden_of(const JsonValue& document) {
  const Field root{document, ""};
  if (document.object() == nullptr) root.refuse(text(described(document), " is not an object"));
  const Field format = root.at("format");
  if (format.string() != golden_format) {
    format.refuse(text("'", format.string().substr(0, 80), "' is not '", golden_format, "'"));
  }
  root.expect_keys(
      {"format", "scenario", "scenario_sha256", "generator", "values", "steps", "stored"});
  const bool is_real = document.find("values") != nullptr && root.at("values").string() == "real";
  const Kept kept = is_real ? Kept::bounds : Kept::digests;
  Golden golden;
  golden.scenario = root.at("scenario").string();
  golden.scenario_sha256 = root.at("scenario_sha256").string();
  golden.generator = root.at("generator").string();
  golden.has_bounds = is_real;
  golden.steps = steps_of(root.at("steps"), kept);
  for (const Field& cell : root.at("stored").items()) {
    golden.stored.push_back(cell_of(cell, golden.steps, kept));
    const std::size_t count = golden.stored.size();
    if (count > 1 && !(golden.stored[count - 2].cell < golden.stored[count - 1].cell)) {
      cell.refuse("its step, layer and rank do not come after the last cell's");
    }
  }
  return golden;
}

// The scenario's path as it is usually written, from the name of its golden.
std::string command_for(const std::string& golden_path) {
  constexpr std::string_view folder = "golden/data/";
  constexpr std::string_view ending = ".golden.json";
  const std::size_t start = golden_path.rfind(folder);
  if (start == std::string::npos || !golden_path.ends_with(ending)) {
    return "golden/make_golden.py SCENARIO";
  }
  const std::string name = golden_path.substr(start + folder.size());
  return text("golden/make_golden.py scenarios/", name.substr(0, name.size() - ending.size()),
              ".yaml");
}

[[noreturn]] void refuse_golden(const Scenario& scenario, const std::string& what) {
  throw ScenarioError(text("the golden of ", scenario.name, " ", what,
                           ": run golden/make_golden.py ", scenario.path));
}

// REQUIRES a trace to have been adopted, so that both ends of its range are there.
Count steps_in(const Scenario& scenario) {
  const auto* trace = std::get_if<TraceRouting>(&scenario.routing);
  if (trace == nullptr) return std::ssize(scenario.steps);
  MOE_CHECK(trace->first_step && trace->last_step, text(scenario.name, ": no trace was adopted"));
  return *trace->last_step - *trace->first_step;
}

// Each row has as many values as golden/make_golden.py keeps of a layer's width, and no column
// beside it. REQUIRES layers that the scenario has.
void check_rows_fit(const Golden& golden, const Scenario& scenario) {
  const Count kept_max = golden.has_bounds ? 16 : 64;
  for (std::size_t cell = 0; cell < golden.stored.size(); ++cell) {
    const auto& [where, rows] = golden.stored[cell];
    const Count width = scenario.model.layer(where.layer).hidden_size;
    const Count due = std::min(kept_max, width);
    for (std::size_t row = 0; row < rows.size(); ++row) {
      const auto refuse = [&](const std::string& why) {
        refuse_golden(scenario, text("is damaged: stored[", cell, "].rows[", row, "] (step ",
                                     where.step, ", layer ", where.layer, ", rank ", where.rank,
                                     ", token ", rows[row].token, ") has ", why));
      };
      const std::vector<Count>& columns = rows[row].columns;
      if (std::ssize(columns) != due) refuse(text(columns.size(), " values, due are ", due));
      if (columns.back() >= width) refuse(text("column ", columns.back(), " of ", width));
    }
  }
}

void check_shape_fits(const Golden& golden, const Scenario& scenario) {
  const std::size_t num_ranks = static_cast<std::size_t>(scenario.world.dp);
  const std::size_t num_layers = static_cast<std::size_t>(scenario.model.num_layers);
  const GoldenStep& first = golden.steps.at(0);
  const bool is_real = scenario.values == Values::real;
  if (golden.has_bounds != is_real) {
    refuse_golden(scenario, is_real ? "is of a world of integers" : "is of a world of real values");
  }
  for (const StoredCell& stored : golden.stored) {
    if (std::cmp_less(stored.cell.layer, num_layers)) continue;
    refuse_golden(scenario, text("stores rows of layer ", stored.cell.layer, " of ", num_layers));
  }
  if (first.tokens.size() != num_ranks || (!is_real && first.digests.size() != num_layers)) {
    refuse_golden(scenario, text("has ", first.tokens.size(), " ranks and ", first.digests.size(),
                                 " layers, the scenario ", num_ranks, " and ", num_layers));
  }
  check_rows_fit(golden, scenario);
  const Count num_steps = steps_in(scenario);
  if (std::ssize(golden.steps) != num_steps) {
    refuse_golden(scenario, text("has ", golden.steps.size(), " steps, the scenario ", num_steps));
  }
  for (std::size_t step = 0; step < scenario.steps.size(); ++step) {
    if (golden.steps[step].tokens == scenario.steps[step]) continue;
    refuse_golden(scenario,
                  text("has the tokens [", joined(golden.steps[step].tokens), "] in step ", step,
                       ", the scenario [", joined(scenario.steps[step]), "]"));
  }
}

}  // namespace

Golden read_golden(const std::string& path) {
  try {
    return golden_of(parse_json(read_input_text(path, bytes_max), path));
  } catch (const ScenarioError& error) {
    std::string why = error.what();
    if (!why.starts_with(path)) why = text(path, ": ", why);
    throw ScenarioError(text(why, ": run ", command_for(path)));
  }
}

void check_golden_fits(const Golden& golden, const Scenario& scenario) {
  if (golden.scenario != scenario.name) {
    refuse_golden(scenario, text("is of another scenario, '", golden.scenario, "'"));
  }
  if (golden.scenario_sha256 != scenario.sha256) {
    refuse_golden(scenario, text("was made from other bytes of the scenario (sha256 ",
                                 golden.scenario_sha256.substr(0, 12), "…, now ",
                                 scenario.sha256.substr(0, 12), "…)"));
  }
  if (golden.generator != golden_generator) {
    refuse_golden(scenario, text("was made by '", golden.generator, "', this program judges with '",
                                 golden_generator, "'"));
  }
  check_shape_fits(golden, scenario);
}

}  // namespace moe::sim
