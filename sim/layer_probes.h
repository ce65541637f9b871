// Calls of a layer beside those that are judged, once a rank's last step is over: TWICE calls two
// cells again, LIN and WONCE call one of them with other weights and other rows
// (fault-catalogue.md, 2). All ranks probe the same cells, so that their collective calls match.
// Called by rank_program.cc.

#pragma once

#include <functional>
#include <vector>

#include "backends/parallel/rank_grid.h"
#include "kernels/base/buffer.h"
#include "sim/back_check.h"
#include "sim/check_ledger.h"
#include "sim/scenario.h"
#include "sim/world_inputs.h"

namespace moe::sim {

// What stays the same for a rank. LIFETIME: the references outlive the probes.
struct ProbedWorld {
  const Scenario& scenario;
  const WorldInputs& inputs;
  LayerRange stage;
  int world_rank = 0;  // for sentences
  const RowsAtExperts& how;
  int num_roundings = 0;  // of a sum on its way home (golden/oracle.h)
};

class LayerProbes {
 public:
  // Runs the cell's layer on these inputs. RETURNS its output [tokens, hidden_size] in host memory.
  using Forward = std::function<Buffer(golden::Cell cell, const CellInputs& inputs)>;

  // Probed are the first layer of the first step that has a token, and the last one of the last;
  // in real worlds that rearrange experts, of the steps since the last time.
  LayerProbes(const ProbedWorld& world, CheckLedger& ledger);

  // The output [tokens, hidden_size] of a cell's own run, host memory: adds to what the rank's
  // layers gave, and keeps it where the cell is probed. cell.rank is the DP rank.
  void note(golden::Cell cell, const CellInputs& inputs, const Tensor& output,
            RankOutputs& outputs);

  // Collective. REQUIRES that every cell was noted.
  void run(const Forward& forward);

 private:
  struct Kept {
    golden::Cell cell;
    Buffer output;
  };

  // What weights of 0 leave of a cell, and what the oracle says of that.
  struct SharedPart {
    Buffer output;
    std::vector<double> expected;
  };

  bool is_probed(golden::Cell cell) const;
  std::vector<OutputSample> samples_of(golden::Cell cell, const CellInputs& inputs,
                                       const Tensor& output, Count token) const;
  void twice(const Kept& kept, const Forward& forward);
  void linear(golden::Cell cell, const SharedPart& shared, const Forward& forward);
  void weighted_once(golden::Cell cell, const SharedPart& shared, const Forward& forward);
  Buffer with_weights(golden::Cell cell, float weight, const Forward& forward);
  CellInputs inputs_with(golden::Cell cell, float weight) const;
  golden::Expected expected_with(golden::Cell cell, float weight) const;
  void found(std::string_view check, golden::Cell cell, const std::string& what);

  ProbedWorld world_;
  CheckLedger& ledger_;
  std::unique_ptr<Memory> host_;
  std::vector<golden::Cell> cells_;
  std::vector<Kept> kept_;
};

}  // namespace moe::sim
