// Decorators around the layer's parts that tell a rank's watch what passes: stage, times, checks.
// They change no byte and healthy code knows nothing of them.

#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backends/expert_id_map.h"
#include "backends/shared_experts.h"
#include "comm/traced_communicator.h"
#include "sim/combine_replay.h"
#include "sim/layer_contract.h"
#include "sim/storage_checks.h"

namespace moe::sim {

// Stages of the layer that talk, as the traced communicator's places number them.
inline constexpr std::array<std::string_view, 3> stage_names = {"dispatch", "combine", "eplb"};

struct StageTimes {
  std::chrono::nanoseconds select{0};
  std::chrono::nanoseconds prepare{0};
  std::chrono::nanoseconds experts{0};
  std::chrono::nanoseconds finalize{0};
};

// What one rank's decorators write to. cell, with the world's number of the rank, is set by the
// rank's program before each layer.
struct LayerWatch {
  golden::Cell cell;
  CheckLedger ledger;
  StageTimes times;
  std::vector<ConstInput> inputs = {};                       // of the layer that is running
  std::function<std::string(Count row)> token_of = nullptr;  // of its dispatched rows
  bool is_probing = false;  // inputs are not the scenario's: what knows its rows stays silent
  bool is_cut = false;      // a call has a part of the cell's rows: so do its tensors
  std::optional<CallPart> part = {};   // of the call that runs, where checks know it
  WatchedCombine combine;              // of the last layer that ran, where it is kept
  Memory* keeps_combine_in = nullptr;  // host memory; null: not kept
};

std::unique_ptr<Router> watched(std::unique_ptr<Router> inner, LayerWatch& watch);

// Enters the stage in the traced communicator before each half. Checks what goes into the layer and
// that it is the same afterwards. Keeps what combine got and gave where the watch asks for it.
std::unique_ptr<PrepareFinalize> watched(std::unique_ptr<PrepareFinalize> inner, LayerWatch& watch,
                                         const LayerContract& contract, TracedCommunicator& trace,
                                         Memory& memory);

// Checks what was dispatched before the experts see it, and their output before combine does.
std::unique_ptr<Experts> watched(std::unique_ptr<Experts> inner, LayerWatch& watch,
                                 const LayerContract& contract, Memory& memory);

// Checks the ids that experts compute with.
std::unique_ptr<ExpertIdMap> watched(std::unique_ptr<ExpertIdMap> inner, LayerWatch& watch,
                                     const LayerContract& contract, Memory& memory);

// Checks that shared experts read the rows that are their rank's own. None stays none.
std::unique_ptr<SharedExperts> watched(std::unique_ptr<SharedExperts> inner, LayerWatch& watch,
                                       const ConservationFacts& facts, Memory& memory);

}  // namespace moe::sim
