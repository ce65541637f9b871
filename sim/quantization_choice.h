// How a run line's rows are quantised: the scenario's scheme on the line's backend, and the scales
// that a checkpoint would bring. The judge reads the same numbers from the scenario.

#pragma once

#include "backends/quantized_weights.h"
#include "backends/row_quantization.h"
#include "golden/oracle.h"
#include "sim/scenario.h"

namespace moe::sim {

// REQUIRES a backend that takes the scheme (backend_refusal). layer_moves_rows: else rows are
// quantised where the layer gets them, whatever the backend does.
RowQuantization row_quantization(const Scenario& scenario, const Capabilities& capabilities,
                                 bool layer_moves_rows);

// What ranks do, faults included: where it differs, the contract is row_quantization's.
RowQuantization quantization_done(RowQuantization contract, const std::vector<FaultSpec>& faults);

// How the scenario's experts quantise beside that.
ExpertQuantization expert_quantization(const Scenario& scenario);

// The same for the judge, with rows in a1's codes: the scheme's own, or a backend's.
golden::ExpertQuantisation judged_quantisation(const Scenario& scenario, QuantRecipe a1);

// Whether a scenario's golden is of rows in a1's codes: it has the scheme's own quantiser. Where a
// dispatch has another one the oracle judges.
bool golden_knows(const Scenario& scenario, QuantRecipe a1);

// The static scale, or nvfp4's global one, of a scenario's activations; 1 where there is none.
float activation_scale(const Scenario& scenario);

}  // namespace moe::sim
