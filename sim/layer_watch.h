// Decorators around the layer's four that tell a rank's watch what passes: stage, times, checks.
// They change no byte and healthy code knows nothing of them.

#pragma once

#include <chrono>
#include <memory>

#include "backends/moe_layer.h"
#include "backends/shared_experts.h"
#include "comm/traced_communicator.h"
#include "sim/check_ledger.h"
#include "sim/combine_replay.h"
#include "sim/conservation.h"

namespace moe::sim {

// Stages of the layer that talk, as the traced communicator's places number them.
inline constexpr std::array<std::string_view, 2> stage_names = {"dispatch", "combine"};

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
  bool is_probing = false;             // inputs are not the scenario's: only the clock runs
  WatchedCombine combine;              // of the last layer that ran, where it is kept
  Memory* keeps_combine_in = nullptr;  // host memory; null: not kept
};

std::unique_ptr<Router> watched(std::unique_ptr<Router> inner, LayerWatch& watch);

// Enters the stage in the traced communicator before each half. Keeps what combine got and gave
// where the watch asks for it.
std::unique_ptr<PrepareFinalize> watched(std::unique_ptr<PrepareFinalize> inner, LayerWatch& watch,
                                         TracedCommunicator& trace, Memory& memory);

// Checks what was dispatched before the experts see it, and their output before combine does.
std::unique_ptr<Experts> watched(std::unique_ptr<Experts> inner, LayerWatch& watch,
                                 const ConservationFacts& facts, Memory& memory);

// Checks that shared experts read the rows that are their rank's own. None stays none.
std::unique_ptr<SharedExperts> watched(std::unique_ptr<SharedExperts> inner, LayerWatch& watch,
                                       const ConservationFacts& facts, Memory& memory);

}  // namespace moe::sim
