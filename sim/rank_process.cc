// Ranks as processes: the rank's side. It loads what the parent loaded, joins the others, runs, and
// leaves its report in the store. A failure says which rank is gone where the store knows.

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>

#include "comm/board.h"
#include "kernels/base/text.h"
#include "sim/backend_choice.h"
#include "sim/json_reading.h"
#include "sim/process_job.h"
#include "sim/rank_over_store.h"
#include "sim/rank_worlds.h"
#include "sim/row_named.h"

namespace moe::sim {
namespace {

RankReport joined_and_run(const ProcessJob& job, const RankPlace& place, StoreClient& store,
                          const std::atomic<bool>& stop) {
  const Scenario scenario = load_scenario(job.source);
  const std::optional<golden::Golden> golden = load_golden(job.source, scenario);
  const WorldInputs inputs(scenario);
  const BackendChoice choice = backend_choice(scenario, job.line);
  MOE_CHECK(choice.backend != nullptr,
            text("ranks started without a backend: ", choice.absence, choice.decision.error));
  const RankJob rank_job{scenario,        job.faults, inputs, golden ? &*golden : nullptr,
                         *choice.backend, job.line,   stop};
  Board board(BoardSeat{job.board, place.rank});
  const Meeting meeting{.size = scenario.world.num_ranks(),
                        .deadline = std::chrono::milliseconds(scenario.deadline_ms),
                        .store = &store,
                        .board = &board,
                        .local_rank = place.rank};
  const CommunicatorMaker& maker =
      row_named("communicator", communicator_makers(), job.line.communicator);
  return run_rank_over_store(rank_job, maker, meeting, place.rank);
}

RankReport report_of(const ProcessJob& job, const RankPlace& place, StoreClient& store,
                     const std::atomic<bool>& stop) {
  RankReport report;
  report.rank = place.rank;
  try {
    return joined_and_run(job, place, store, stop);
  } catch (const std::exception& error) {
    report.failure = failure_before_run(error);
    if (report.failure.kind == FailureKind::system) name_lost_ranks(report.failure, store);
  }
  return report;
}

}  // namespace

std::string report_key(int rank) { return text("report/", rank); }

JsonValue to_json(const ProcessJob& job) {
  JsonArray faults;
  for (const FaultSpec& fault : job.faults) {
    JsonArray parameters;
    for (const auto& [name, value] : fault.parameters) {
      parameters.push_back(JsonObject{{"name", name}, {"value", value}});
    }
    faults.push_back(JsonObject{{"name", fault.name}, {"parameters", std::move(parameters)}});
  }
  return JsonObject{{"source", to_json(job.source)},
                    {"backend", job.line.backend},
                    {"communicator", job.line.communicator},
                    {"device", std::string(name_of(job.line.device))},
                    {"profile", job.line.profile},
                    {"platform", job.line.platform},
                    {"selection", name_of(job.line.selection)},
                    {"dispatch_site", name_of(job.line.dispatch_site)},
                    {"faults", std::move(faults)},
                    {"board", job.board}};
}

ProcessJob process_job_from(const JsonValue& value) {
  ProcessJob job;
  job.source = scenario_source_from(member(value, "source"));
  job.line.backend = string_at(value, "backend");
  job.line.communicator = string_at(value, "communicator");
  job.line.device = device_at(value, "device");
  job.line.profile = string_at(value, "profile");
  job.line.platform = string_at(value, "platform");
  job.line.selection = selection_named(string_at(value, "selection"));
  job.line.dispatch_site = dispatch_site_named(string_at(value, "dispatch_site"));
  job.line.ranks = RanksAre::processes;
  for (const JsonValue& one : array_at(value, "faults")) {
    FaultSpec fault{string_at(one, "name"), {}};
    for (const JsonValue& parameter : array_at(one, "parameters")) {
      fault.parameters.emplace_back(string_at(parameter, "name"), string_at(parameter, "value"));
    }
    job.faults.push_back(std::move(fault));
  }
  job.board = static_cast<int>(integer_at(value, "board"));
  return job;
}

int rank_process(const RankPlace& place, const std::atomic<bool>& stop) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const std::chrono::milliseconds patience(10000);
  StoreClient store(place.store, place.token, place.rank, patience);
  const auto words = store.get(job_key, patience);
  if (!words) throw SystemError("the store has no job for this rank");
  const ProcessJob job = process_job_from(parse_json(*words, "the job"));
  const RankReport report = report_of(job, place, store, stop);
  store.set(report_key(place.rank), json_text(to_json(report)));
  store.goodbye();
  return 0;
}

}  // namespace moe::sim
