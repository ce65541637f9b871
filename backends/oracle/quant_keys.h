// The one mapping between the program's two vocabularies of quantisation: a scenario's schemes
// (quant_schemes.h), whose recipes say how codes are made, and the oracles' (deployment_words.h),
// whose keys say what vLLM asks an experts class. Many recipes have one key. Pure.

#pragma once

#include <optional>

#include "backends/oracle/deployment_words.h"
#include "backends/quant_schemes.h"

namespace moe {

// None: vLLM has no key for it. A tensor's dynamic scale over weights is a static one: it is made
// once, when they are loaded.
std::optional<QuantKey> weight_key_of(QuantRecipe weights);
std::optional<QuantKey> activation_key_of(QuantRecipe activations);

// What the oracles call a scenario's scheme; null: none is asked about such a pair of keys. Of two
// with the same keys the first: mxfp4 is gpt-oss's.
const QuantScheme* oracle_scheme_of(const QuantizationScheme& scheme);

}  // namespace moe
