// Made-up router logits, and which experts they choose by a plain reckoning of its own in double.
// Checks read the choices; the layer's own router gets the logits. golden/oracle.py has the rules.

#pragma once

#include <vector>

#include "backends/routers.h"
#include "sim/scenario.h"

namespace moe::sim {

// A token's logits [num_experts]: whole sixteenths, or NaN. REQUIRES a LogitsRouting.
std::vector<float> generated_logits(const Scenario& scenario, int layer, Count token);

// The layer's router as the model's keys describe it, with its bias. Sigmoid, top-1, neither
// renormalised nor grouped nor biased is Llama-4's, whose model brings a function of its own.
RouterSpec router_spec(const Scenario& scenario, int layer);

// The score of every expert for these logits, in double and without a bias: softmax or sigmoid, as
// the router has it; of NaN all are 0.
std::vector<double> plain_scores(const RouterSpec& spec, const std::vector<float>& logits);

// What vLLM's rules choose for that token, without the kernels. Throws ScenarioError where float
// could decide otherwise than double: scores that differ by less than 2^-16 of their size.
std::vector<int> plainly_chosen(const Scenario& scenario, int layer, Count token);

// The same for a row of zeros: hidden states of zeros go through vLLM's gate, which makes logits of
// zeros of them, and then the router's bias decides.
std::vector<int> chosen_by_zeros(const Scenario& scenario, int layer);

}  // namespace moe::sim
