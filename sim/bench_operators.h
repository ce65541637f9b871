// moebius bench --operators: what one device computes, operator by operator, without a layer and
// without a peer. Work is recorded and replayed, so that times are the device's. Called by
// bench_command.cc only.

#pragma once

#include "sim/bench.h"

namespace moe::sim {

struct OperatorRow {
  std::string name;
  std::string shape;  // a model's; of the experts that it has here
  Count tokens = 0;
  double us = 0;  // median
  double us_p99 = 0;
  double flops = 0;      // of the products; 0: none
  Count bytes = 0;       // the fewest that must move: each input once, each output once
  double anchor_us = 0;  // what there is to beat; 0: none
};

struct OperatorBench {
  std::string device;
  int iterations = 0;
  double copy_gb_per_s = 0;  // read and written by a large copy of this run
  std::vector<OperatorRow> rows;
};

// On the device's first one, in bf16. sizes: shapes and tokens to take; none: those that have
// something to beat. Throws ScenarioError for what a machine has no memory for.
OperatorBench run_operator_bench(const BenchSettings& settings,
                                 const std::vector<BenchSettings>& sizes);

// The floor: bytes at the copy's rate, or products at the tensor cores', whichever takes longer.
double floor_us(const OperatorBench& bench, const OperatorRow& row);

JsonValue to_json(const OperatorBench& bench);
std::string operators_text(const OperatorBench& bench);

}  // namespace moe::sim
