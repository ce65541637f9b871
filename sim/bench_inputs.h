// What a bench computes with: made-up rows and weights in a rank's memory, and the experts'
// products without a layer around them. Used by bench_rank.cc and
// bench_operators.cc.

#pragma once

#include <memory>
#include <vector>

#include "kernels/kernels.h"
#include "sim/bench.h"

namespace moe::sim {

enum class BenchSeed : std::uint64_t { hidden_states = 1, router_logits, w13, w2 };

// Uniform in [-bound, bound].
Buffer random_rows(Memory& memory, Shape shape, std::uint64_t seed, double bound);

// Weights of this rank's experts, in a scale that keeps rows at their size. On a device all experts
// have the same: values cost no time there, and making them on the host would.
GemmWeights random_weights(const BenchSettings& settings, Memory& memory, Count num_local_experts,
                           int rank);

// The products of this rank's experts alone, on weights of their own.
class BareExperts {
 public:
  virtual ~BareExperts() = default;
  virtual void multiply() = 0;
};

// first: the first row of each expert, and the number of all. On a device with the activation.
std::unique_ptr<BareExperts> make_bare_experts(const BenchSettings& settings, Kernels& kernels,
                                               std::vector<std::int32_t> first);

}  // namespace moe::sim
