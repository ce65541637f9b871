// Parsing with Boost.Program_options: one description per command, which is also its help.
// Every word that names something is checked here, with the valid ones in the message.

#include "sim/command_line.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <sstream>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/backend_choice.h"
#include "sim/faults.h"
#include "sim/job_place.h"
#include "sim/scenario_keys.h"
#include "sim/version.h"

namespace moe::sim {
namespace {

namespace options = boost::program_options;
using Words = std::vector<std::string>;

constexpr int jobs_max = 256;
constexpr Count worlds_max = 1'000'000'000;

constexpr const char* overview =
    "moebius: runs, checks and explains the expert-parallel distribution layer of MoE inference.\n"
    "\n"
    "usage: moebius COMMAND [options] [paths]\n"
    "\n"
    "commands:\n"
    "  run [PATH…]   run scenarios, judge their outputs, print verdicts\n"
    "  explain PATH  one token's way and one step's traffic, with real numbers, for students\n"
    "  list WHAT     what exists and what this build lacks: backends, communicators, devices,\n"
    "                profiles, checks, faults, scenarios\n"
    "  bench         measure dispatch, experts, combine and the layer, beside their limits\n"
    "\n"
    "  moebius COMMAND --help    the options of a command\n"
    "  moebius --version         commit, compiler, libraries\n"
    "\n"
    "exit: 0 all passed, 1 something differed or a fault was caught or survived, 2 bad input,\n"
    "      3 a peer, a wire or a deadline failed, 4 our own contract broke, 130 interrupted\n";

// Words separated by commas, in one option or several. Throws for an empty one.
Words listed(const options::variables_map& given, const char* option) {
  Words words;
  if (given.count(option) == 0) return words;
  for (const std::string& value : given[option].as<Words>()) {
    std::istringstream stream(value + ",");
    for (std::string word; std::getline(stream, word, ',');) {
      if (word.empty()) throw ScenarioError(text("--", option, " '", value, "': a word is empty"));
      words.push_back(word);
    }
  }
  return words;
}

template <typename Value>
std::optional<Value> given_value(const options::variables_map& given, const char* option) {
  return given.count(option) == 0 ? std::nullopt : std::optional(given[option].as<Value>());
}

// A number from 0: Boost would read -1 as the largest one.
std::optional<std::uint64_t> given_seed(const options::variables_map& given) {
  const auto words = given_value<std::string>(given, "seed");
  if (!words) return std::nullopt;
  std::int64_t seed = -1;  // files hold seeds up to the same limit
  const auto [end, error] = std::from_chars(words->data(), words->data() + words->size(), seed);
  if (error != std::errc() || end != words->data() + words->size() || seed < 0) {
    throw ScenarioError(text("--seed: '", *words, "' is not a whole number from 0 to ", INT64_MAX));
  }
  return static_cast<std::uint64_t>(seed);
}

// The place of a word among the valid ones. Throws with the nearest.
std::size_t place_of(const std::string& option, const std::string& word, const Words& valid) {
  return static_cast<std::size_t>(std::ranges::find(valid, chosen(option, word, valid)) -
                                  valid.begin());
}

std::optional<std::string> chosen_word(const options::variables_map& given, const char* option,
                                       const Words& valid) {
  const auto word = given_value<std::string>(given, option);
  if (word) chosen(text("--", option), *word, valid);
  return word;
}

void add_report_options(options::options_description& description) {
  description.add_options()                                          //
      ("json", options::value<std::string>()->value_name("FILE|-"),  //
       "write one JSON object per result; - or nothing is standard output")(
          "quiet", "print only what did not pass, and the summary")  //
      ("color", options::value<std::string>()->value_name("WHEN"),   //
       "auto (default), always, never; NO_COLOR is honoured")        //
      ("log", options::value<std::string>()->value_name("LEVEL"),
       "error, warning (default), info, debug: what is told on standard error")  //
      ("help", "print this");
}

ReportOptions report_options(const options::variables_map& given) {
  ReportOptions report;
  report.json = given_value<std::string>(given, "json").value_or("");
  report.quiet = given.count("quiet") > 0;
  if (const auto word = given_value<std::string>(given, "color")) {
    report.color = static_cast<Color>(place_of("--color", *word, {"auto", "always", "never"}));
  }
  if (const auto word = given_value<std::string>(given, "log")) {
    report.log_level =
        static_cast<LogLevel>(place_of("--log", *word, {"error", "warning", "info", "debug"}));
  }
  return report;
}

options::options_description run_description() {
  options::options_description description(
      "usage: moebius run [options] [PATH…]\n\n"
      "Runs scenarios (files, folders or names; none: all with the tag fast), judges every output\n"
      "and prints a verdict per run line.\n\n" +
      std::string(job_help) + "options");
  const auto words = [] { return options::value<Words>()->composing(); };
  const auto word = [] { return options::value<std::string>(); };
  description.add_options()                                                                      //
      ("tag", words()->value_name("TAG"), "only scenarios with this tag")                        //
      ("backend", words()->value_name("A,B"), "these backends in the run lines' place")          //
      ("device", word()->value_name("KIND"), "cpu, cuda, xpu")                                   //
      ("communicator", word()->value_name("NAME"), "local, gloo, nccl")                          //
      ("ranks", word()->value_name("HOW"), "threads, processes")                                 //
      ("path", word()->value_name("HOW"), "reference; device is not in this build")              //
      ("values", word()->value_name("KIND"), "integers or real; the oracle judges")              //
      ("dtype", word()->value_name("TYPE"), "bf16, f16, f32; the oracle judges")                 //
      ("profile", word()->value_name("NAME"), "a profile in the run lines' place")               //
      ("platform", word()->value_name("NAME"), "cuda, rocm, cpu, xpu: whose rules apply")        //
      ("selection", word()->value_name("HOW"), "modular or monolithic in the run lines' place")  //
      ("dispatch-site", word()->value_name("WHO"), "kernel or runner in the run lines' place")   //
      ("trace", word()->value_name("FILE"),
       "a recorded trace in the place of the scenarios' routing, judged by the oracle; without "
       "PATH: every backend that can take it, on local and Gloo, as threads and processes")  //
      ("seed", word()->value_name("N"), "the world's seed; the oracle judges")               //
      ("deadline", options::value<int>()->value_name("MS"), "longest wait for a peer")       //
      ("require", words()->value_name("A,B"),
       "cpu, cuda, xpu, gloo, nccl: a skip for want of one of them fails")                      //
      ("fault", words()->value_name("NAME[:key=value,…]"), "seed a fault (list faults)")        //
      ("line", options::value<int>()->value_name("N"), "only that run line, from 0")            //
      ("repeat", options::value<int>()->value_name("N"), "run everything N times")              //
      ("jobs", options::value<int>()->value_name("N"), "run N lines at a time; order is kept")  //
      ("worlds", options::value<Count>()->value_name("N"),
       "instead of paths: N made-up small worlds, every backend in each; they follow from --seed "
       "(1); of more than 10 only what does not pass is printed")                           //
      ("first", options::value<Count>()->value_name("N"), "the first small world, from 0")  //
      ("store", word()->value_name("HOST:PORT"),
       "where the ranks of a job meet (rank 0's machine)")(
          "alone", "not as a rank of the job that this process belongs to")  //
      ("junit", word()->value_name("FILE"), "write JUnit's XML for build servers");
  add_report_options(description);
  return description;
}

options::options_description explain_description() {
  options::options_description description(
      "usage: moebius explain PATH [options]\n\n"
      "Follows one token of a scenario through the layer, with real numbers: who holds it, which\n"
      "experts it chose, where its row goes, who multiplies and adds what, and how the sum comes\n"
      "home. With --step and no --token: what every rank sends in that step, and every expert's\n"
      "load. With neither: both, for the first step that has tokens.\n\noptions");
  const auto number = [] { return options::value<int>()->value_name("N"); };
  description.add_options()                                                               //
      ("step", number(), "the step, from 0")                                              //
      ("layer", number(), "the layer, from 0 (the default)")                              //
      ("token", options::value<Count>()->value_name("N"),                                 //
       "the token of its rank, from 0 (the default)")                                     //
      ("rank", number(), "the rank that holds the token")                                 //
      ("run", number(), "the run line whose backend is explained, from 0 (the default)")  //
      ("help", "print this");
  return description;
}

options::options_description list_description() {
  options::options_description description(
      "usage: moebius list WHAT\n\n"
      "WHAT: backends, communicators, devices, profiles, checks, faults, scenarios.\n\noptions");
  description.add_options()("profile", options::value<std::string>(), "of backends: a profile");
  add_report_options(description);
  return description;
}

std::string help_text(const options::options_description& description) {
  std::ostringstream out;
  out << description;
  return out.str();
}

// --json at the end or before another option means standard output.
Words with_json_target(const Words& arguments) {
  Words words;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    words.push_back(arguments[i]);
    const bool is_followed = i + 1 < arguments.size() && !arguments[i + 1].starts_with("--");
    if (arguments[i] == "--json" && !is_followed) words.push_back("-");
  }
  return words;
}

// Under which name Boost keeps the words that belong to no option.
constexpr const char* no_option = "words without an option";

Words words_of(const options::variables_map& given) {
  return given_value<Words>(given, no_option).value_or(Words{});
}

options::variables_map parsed(const Words& arguments, const options::options_description& visible) {
  options::options_description all;
  all.add(visible).add_options()(no_option, options::value<Words>());
  options::positional_options_description positional;
  positional.add(no_option, -1);
  options::variables_map given;
  try {
    options::store(options::command_line_parser(with_json_target(arguments))
                       .options(all)
                       .positional(positional)
                       .style(options::command_line_style::unix_style &
                              ~options::command_line_style::allow_guessing)
                       .run(),
                   given);
  } catch (const options::unknown_option& error) {
    Words known;
    for (const auto& option : visible.options()) known.push_back("--" + option->long_name());
    chosen("unknown option", error.get_option_name(), known);
    throw ScenarioError(error.what());
  } catch (const options::error& error) {
    throw ScenarioError(error.what());
  }
  return given;
}

RunOverrides overrides_of(const options::variables_map& given) {
  RunOverrides overrides;
  overrides.backends = listed(given, "backend");
  for (const std::string& backend : overrides.backends) check_backend_name(backend);
  if (const auto word = given_value<std::string>(given, "device")) {
    overrides.device = static_cast<DeviceKind>(place_of("--device", *word, {"cpu", "cuda", "xpu"}));
  }
  if (const auto word = given_value<std::string>(given, "ranks")) {
    overrides.ranks = static_cast<RanksAre>(place_of("--ranks", *word, {"threads", "processes"}));
  }
  if (const auto word = chosen_word(given, "selection", {"modular", "monolithic"})) {
    overrides.selection = selection_named(*word);
  }
  if (const auto word = chosen_word(given, "dispatch-site", {"kernel", "runner"})) {
    overrides.dispatch_site = dispatch_site_named(*word);
  }
  if (chosen_word(given, "path", {"reference", "device"}).value_or("reference") == "device") {
    throw ScenarioError("--path device: not in this build, which has the reference path alone");
  }
  overrides.communicator = chosen_word(given, "communicator", {"local", "gloo", "nccl"});
  Words profiles;
  for (const Profile& profile : all_profiles()) profiles.emplace_back(profile.name);
  overrides.profile = chosen_word(given, "profile", profiles);
  overrides.platform = chosen_word(given, "platform", {"cuda", "rocm", "cpu", "xpu"});
  return overrides;
}

// --jobs, and --worlds with what goes with it.
void take_worlds(const options::variables_map& given, RunCommand& run) {
  run.threads = given_value<int>(given, "jobs").value_or(1);
  if (run.threads < 1 || run.threads > jobs_max) {
    throw ScenarioError(text("--jobs: ", run.threads, " is not 1 to ", jobs_max));
  }
  run.worlds = given_value<Count>(given, "worlds");
  run.first_world = given_value<Count>(given, "first").value_or(0);
  if (!run.worlds) {
    if (given.count("first") > 0) throw ScenarioError("--first goes with --worlds");
    return;
  }
  if (*run.worlds < 1 || *run.worlds > worlds_max) {
    throw ScenarioError(text("--worlds: ", *run.worlds, " is not 1 to ", worlds_max));
  }
  if (run.first_world < 0 || run.first_world > worlds_max) {
    throw ScenarioError(text("--first: ", run.first_world, " is not 0 to ", worlds_max));
  }
  if (!words_of(given).empty()) throw ScenarioError("--worlds makes its own scenarios: no PATH");
  for (const char* option : {"tag", "trace", "line", "repeat"}) {
    if (given.count(option) == 0) continue;
    throw ScenarioError(text("--worlds makes its own scenarios and cannot have --", option));
  }
}

Command run_command(const Words& arguments) {
  const options::options_description description = run_description();
  const options::variables_map given = parsed(arguments, description);
  if (given.count("help") > 0) return PrintCommand{help_text(description)};
  RunCommand run;
  run.paths = words_of(given);
  run.tags = listed(given, "tag");
  run.trace = given_value<std::string>(given, "trace").value_or("");
  run.overrides = overrides_of(given);
  if (const auto word = given_value<std::string>(given, "values")) {
    run.values = static_cast<Values>(place_of("--values", *word, {"integers", "real"}));
  }
  if (const auto word = chosen_word(given, "dtype", {"bf16", "f16", "f32"})) {
    run.dtype = dtype_named(*word);
  }
  run.seed = given_seed(given);
  run.deadline_ms = given_value<int>(given, "deadline");
  if (run.deadline_ms && *run.deadline_ms <= 0) {
    throw ScenarioError(text("--deadline: ", *run.deadline_ms, " ms is no time"));
  }
  run.required = listed(given, "require");
  for (const std::string& word : run.required) {
    chosen("--require", word, {"cpu", "cuda", "xpu", "gloo", "nccl"});
  }
  if (given.count("fault") > 0) {
    for (const std::string& words : given["fault"].as<Words>()) {
      run.faults.push_back(parsed_fault(words));
    }
  }
  run.line = given_value<int>(given, "line");
  run.repeat = given_value<int>(given, "repeat").value_or(1);
  if (run.repeat < 1) throw ScenarioError(text("--repeat: ", run.repeat, " times is nothing"));
  take_worlds(given, run);
  run.store = given_value<std::string>(given, "store").value_or("");
  run.alone = given.count("alone") > 0;
  if (run.alone && !run.store.empty()) throw ScenarioError("--alone meets nobody at a --store");
  run.report = report_options(given);
  run.report.junit = given_value<std::string>(given, "junit").value_or("");
  return run;
}

Command explain_command(const Words& arguments) {
  const options::options_description description = explain_description();
  const options::variables_map given = parsed(arguments, description);
  if (given.count("help") > 0) return PrintCommand{help_text(description)};
  const Words paths = words_of(given);
  if (paths.size() != 1) {
    throw ScenarioError("explain which scenario? moebius explain PATH (moebius list scenarios)");
  }
  return ExplainCommand{paths.front(),
                        given_value<int>(given, "step"),
                        given_value<int>(given, "layer"),
                        given_value<int>(given, "rank"),
                        given_value<Count>(given, "token"),
                        given_value<int>(given, "run")};
}

Command list_command(const Words& arguments) {
  const options::options_description description = list_description();
  const options::variables_map given = parsed(arguments, description);
  if (given.count("help") > 0) return PrintCommand{help_text(description)};
  const Words valid = {"backends", "communicators", "devices",  "profiles",
                       "checks",   "faults",        "scenarios"};
  const Words what = words_of(given);
  if (what.size() != 1) throw ScenarioError(text("list what? One of: ", joined(valid)));
  const auto profile = given_value<std::string>(given, "profile").value_or("");
  return ListCommand{chosen("list", what.front(), valid), profile, report_options(given)};
}

Command bench_command_line(const Words& arguments) {
  const std::optional<BenchCommand> bench = bench_options(arguments);
  if (!bench) return PrintCommand{bench_help()};
  return *bench;
}

Command rank_command(const Words& arguments) {
  options::options_description description("usage: started by moebius itself, not by people");
  description.add_options()("store", options::value<std::string>()->required(), "")(
      "token", options::value<std::string>()->required(), "")(
      "rank", options::value<int>()->required(), "");
  const options::variables_map given = parsed(arguments, description);
  for (const char* option : {"store", "token", "rank"}) {
    if (given.count(option) == 0) {
      throw ScenarioError(text("rank: --", option, " is missing; moebius starts ranks by itself"));
    }
  }
  return RankPlace{store_address(given["store"].as<std::string>()),
                   given["token"].as<std::string>(), given["rank"].as<int>()};
}

}  // namespace

Command parsed_command_line(const std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h" ||
      arguments[0] == "help") {
    return PrintCommand{overview};
  }
  if (arguments[0] == "--version") return PrintCommand{version_text()};
  const Words rest(arguments.begin() + 1, arguments.end());
  if (arguments[0] == "run") return run_command(rest);
  if (arguments[0] == "explain") return explain_command(rest);
  if (arguments[0] == "list") return list_command(rest);
  if (arguments[0] == "rank") return rank_command(rest);
  if (arguments[0] == "bench") return bench_command_line(rest);
  if (arguments[0] == "bench-rank") return bench_rank_options(rest);
  const std::string near = nearest(arguments[0], {"run", "explain", "list", "bench"});
  throw ScenarioError(text("unknown command '", arguments[0], "'",
                           near.empty() ? "" : text("; did you mean ", near, "?"),
                           "; commands: run, explain, list, bench (moebius --help)"));
}

}  // namespace moe::sim
