// The options of moebius run and what they mean together.
// Every word that names something is checked here, with the valid ones in the message.

#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/backend_choice.h"
#include "sim/command_options.h"
#include "sim/faults.h"
#include "sim/job_place.h"
#include "sim/scenario_keys.h"

namespace moe::sim {
namespace {

using Words = std::vector<std::string>;

constexpr int jobs_max = 256;
constexpr Count worlds_max = 1'000'000'000;

std::string run_usage() {
  return text(
      "usage: moebius run [options] [PATH…]\n\n"
      "Runs scenarios (files, folders or names; none: all with the tag fast, and under --require\n"
      "cuda or nccl those with the tag gpu, too), judges every output and prints a verdict per "
      "run\n"
      "line.\n\n",
      job_help, "options");
}

OptionTable run_table() {
  const auto word = OptionKind::word;
  const auto words = OptionKind::words;
  OptionTable table = {
      {"tag", words, "TAG", "only scenarios with this tag"},
      {"backend", words, "A,B", "these backends in the run lines' place"},
      {"device", word, "KIND", "cpu, cuda, xpu"},
      {"communicator", word, "NAME", "local, gloo, nccl"},
      {"ranks", word, "HOW", "threads, processes"},
      {"path", word, "HOW", "reference; device is not in this build"},
      {"values", word, "KIND", "integers or real; the oracle judges"},
      {"dtype", word, "TYPE", "bf16, f16, f32; the oracle judges"},
      {"profile", word, "NAME", "a profile in the run lines' place"},
      {"platform", word, "NAME", "cuda, rocm, cpu, xpu: whose rules apply"},
      {"selection", word, "HOW", "modular or monolithic in the run lines' place"},
      {"dispatch-site", word, "WHO", "kernel, runner or runner_batched in the run lines' place"},
      {"trace", word, "FILE",
       "a recorded trace in the place of the scenarios' routing, judged by the oracle; without "
       "PATH: every backend that can take it, on local and Gloo, as threads and processes"},
      {"seed", word, "N", "the world's seed; the oracle judges"},
      {"deadline", OptionKind::number, "MS", "longest wait for a peer", "1 to 2147483647"},
      {"delay", OptionKind::number, "MS",
       "each rank waits a random while up to this before each operation (see --repeat)",
       "1 to 2147483647"},
      {"require", words, "A,B", "cpu, cuda, xpu, gloo, nccl: a skip for want of one of them fails"},
      {"fault", words, "NAME[:key=value,…]", "seed a fault (list faults)"},
      {"line", OptionKind::number, "N", "only that run line, from 0"},
      {"repeat", OptionKind::number, "N", "run everything N times", "1 to 2147483647"},
      {"jobs", OptionKind::number, "N", "run N lines at a time; order is kept",
       text("1 to ", jobs_max)},
      {"worlds", OptionKind::count, "N",
       "instead of paths: N made-up small worlds, every backend in each; they follow from --seed "
       "(1); of more than 10 only what does not pass is printed",
       text("1 to ", worlds_max)},
      {"first", OptionKind::count, "N", "the first small world, from 0", text("0 to ", worlds_max)},
      {"store", word, "HOST:PORT", "where the ranks of a job meet (rank 0's machine)"},
      {"alone", OptionKind::flag, "", "not as a rank of the job that this process belongs to"},
      {"junit", word, "FILE|-", "write JUnit's XML for build servers; - is standard output"},
  };
  add_report_options(table);
  return table;
}

RunOverrides overrides_of(const GivenOptions& given) {
  RunOverrides overrides;
  overrides.backends = given.listed("backend");
  for (const std::string& backend : overrides.backends) check_backend_name(backend);
  if (const auto place = given.place("device", {"cpu", "cuda", "xpu"})) {
    overrides.device = static_cast<DeviceKind>(*place);
  }
  if (const auto place = given.place("ranks", {"threads", "processes"})) {
    overrides.ranks = static_cast<RanksAre>(*place);
  }
  if (const auto word = given.chosen_word("selection", {"modular", "monolithic"})) {
    overrides.selection = selection_named(*word);
  }
  if (const auto word =
          given.chosen_word("dispatch-site", {"kernel", "runner", "runner_batched"})) {
    overrides.dispatch_site = dispatch_site_named(*word);
  }
  if (given.chosen_word("path", {"reference", "device"}).value_or("reference") == "device") {
    throw ScenarioError("--path device: not in this build, which has the reference path alone");
  }
  overrides.communicator = given.chosen_word("communicator", {"local", "gloo", "nccl"});
  Words profiles;
  for (const Profile& profile : all_profiles()) profiles.emplace_back(profile.name);
  overrides.profile = given.chosen_word("profile", profiles);
  overrides.platform = given.chosen_word("platform", {"cuda", "rocm", "cpu", "xpu"});
  return overrides;
}

// --jobs, and --worlds with what goes with it.
void take_worlds(const GivenOptions& given, RunCommand& run) {
  run.threads = given.number("jobs").value_or(1);
  if (run.threads < 1 || run.threads > jobs_max) {
    throw ScenarioError(text("--jobs: ", run.threads, " is not 1 to ", jobs_max));
  }
  run.worlds = given.count("worlds");
  run.first_world = given.count("first").value_or(0);
  if (!run.worlds) {
    if (given.has("first")) throw ScenarioError("--first goes with --worlds");
    return;
  }
  if (*run.worlds < 1 || *run.worlds > worlds_max) {
    throw ScenarioError(text("--worlds: ", *run.worlds, " is not 1 to ", worlds_max));
  }
  if (run.first_world < 0 || run.first_world > worlds_max) {
    throw ScenarioError(text("--first: ", run.first_world, " is not 0 to ", worlds_max));
  }
  if (!given.free_words().empty()) throw ScenarioError("--worlds makes its own scenarios: no PATH");
  for (const char* option : {"tag", "trace", "line", "repeat"}) {
    if (!given.has(option)) continue;
    throw ScenarioError(text("--worlds makes its own scenarios and cannot have --", option));
  }
}

// Each fault once: two of a kind would undo each other, or be one bug that nobody had.
std::vector<FaultSpec> seeded_faults(const Words& given) {
  std::vector<FaultSpec> faults;
  for (const std::string& words : given) {
    FaultSpec fault = parsed_fault(words);
    if (std::ranges::count(faults, fault.name, &FaultSpec::name) > 0) {
      throw ScenarioError(text("--fault ", words, ": ", fault.name,
                               " is seeded already; each fault is seeded once"));
    }
    faults.push_back(std::move(fault));
  }
  return faults;
}

}  // namespace

Command run_options(const std::vector<std::string>& arguments) {
  const GivenOptions given(arguments, run_table());
  if (given.has("help")) return PrintCommand{options_help(run_usage(), run_table())};
  RunCommand run;
  run.paths = given.free_words();
  run.tags = given.listed("tag");
  run.trace = given.word("trace").value_or("");
  run.overrides = overrides_of(given);
  if (const auto place = given.place("values", {"integers", "real"})) {
    run.values = static_cast<Values>(*place);
  }
  if (const auto word = given.chosen_word("dtype", {"bf16", "f16", "f32"})) {
    run.dtype = dtype_named(*word);
  }
  run.seed = given.seed();
  run.deadline_ms = given.number("deadline");
  if (run.deadline_ms && *run.deadline_ms <= 0) {
    throw ScenarioError(text("--deadline: ", *run.deadline_ms, " ms is no time"));
  }
  run.delay_max_ms = given.number("delay");
  if (run.delay_max_ms && *run.delay_max_ms <= 0) {
    throw ScenarioError(text("--delay: ", *run.delay_max_ms, " ms is no delay"));
  }
  run.required = given.listed("require");
  for (const std::string& word : run.required) {
    chosen("--require", word, {"cpu", "cuda", "xpu", "gloo", "nccl"});
  }
  run.faults = seeded_faults(given.words("fault"));
  run.line = given.number("line");
  run.repeat = given.number("repeat").value_or(1);
  if (run.repeat < 1) throw ScenarioError(text("--repeat: ", run.repeat, " times is nothing"));
  take_worlds(given, run);
  run.store = given.word("store").value_or("");
  run.alone = given.has("alone");
  if (run.alone && !run.store.empty()) throw ScenarioError("--alone meets nobody at a --store");
  run.report = report_options(given);
  run.report.junit = given.word("junit").value_or("");
  refuse_same_place({"--json", run.report.json}, {"--junit", run.report.junit});
  return run;
}

}  // namespace moe::sim
