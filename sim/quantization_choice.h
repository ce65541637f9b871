// How a run line's rows are quantised: the scenario's scheme on the line's backend, and the scales
// that a checkpoint would bring. The judge reads the same numbers from the scenario.

#pragma once

#include "backends/quantized_weights.h"
#include "backends/row_quantization.h"
#include "sim/world_inputs.h"

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

// How a line's rows come to its experts, for the judge.
RowsAtExperts rows_arriving(const Scenario& scenario, const Capabilities& capabilities,
                            bool layer_moves_rows);

// Whether a scenario's golden is of rows that come to experts like that: it has the scheme's own
// quantiser, and where a scale is made of all rows of a rank, linear placement and rows that come
// to the owners of their choices alone, or to everybody where a line's runner gathers them
// (golden/schemes.py). Else the oracle judges.
bool golden_knows(const Scenario& scenario, const RowsAtExperts& how);

// The static scale, or nvfp4's global one, of a scenario's activations; 1 where there is none.
float activation_scale(const Scenario& scenario);

}  // namespace moe::sim
