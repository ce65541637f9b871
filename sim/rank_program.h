// What one rank does in a run: build its layers, go through steps and layers, check and judge its
// own cells, and report. The same in a thread and in a process; nothing here starts either.

#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "backends/backend.h"
#include "comm/makers.h"
#include "comm/traced_communicator.h"
#include "golden/golden.h"
#include "sim/back_check.h"
#include "sim/json_document.h"
#include "sim/layer_watch.h"
#include "sim/progress.h"
#include "sim/rank_failure.h"
#include "sim/rank_groups.h"
#include "sim/scenario.h"
#include "sim/world_inputs.h"

namespace moe::sim {

struct RankJob {
  const Scenario& scenario;
  const std::vector<FaultSpec>& faults;
  const WorldInputs& inputs;
  const golden::Golden* golden = nullptr;  // null: the oracle judges
  const Backend& backend;
  const RunLine& line;
  const std::atomic<bool>& stop;  // true: leave at the next layer
  LineProgress* progress = nullptr;
};

// One differing cell of the judge's.
struct CellFinding {
  golden::Cell cell;
  golden::Finding finding = golden::Finding::agrees;
  std::optional<golden::Mismatch> mismatch;
  std::string sentence;
};

// An element of an output, in its cell.
struct LocatedElement {
  golden::Cell cell;
  golden::Mismatch mismatch;
};

struct RankReport {
  int rank = 0;
  Count rows = 0;        // judged: tokens of all cells
  Count mismatches = 0;  // elements
  Count differing_cells = 0;
  std::vector<CellFinding> findings;      // the first few
  std::optional<LocatedElement> nearest;  // real worlds: the largest share of a bound
  RankOutputs outputs;
  CheckLedger ledger;
  Traffic traffic;
  StageTimes times;
  std::chrono::nanoseconds judging{0};
  std::string last_operation;
  RankFailure failure;
};

// Runs the rank over a communicator of its world. Never throws: failures are in the report. The
// wires are gone when it returns, so that peers that still wait learn of a failure.
RankReport run_rank(const RankJob& job, RankWires wires);

JsonValue to_json(const RankReport& report);
RankReport rank_report_from(const JsonValue& value);

}  // namespace moe::sim
